import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeResult } from '../results.ts';
import { Random } from '../revocation/simulation.ts';
import { problemsAfterCut } from './after-cut.ts';
import { type ChildServer, startChild } from './child-server.ts';
import { Disk } from './disk-states.ts';
import { FailingDisk, type Failure, givenSmallDisk, whyNoFailingDisk, whyNoSmallDisk } from './failing-disk.ts';
import { givenFolder, integrity } from './folders.ts';
import { readTrace, TRACED_ENV, traced, traceEnded, whyNoTrace } from './trace.ts';
import { until } from './until.ts';
import { broken, byHttp, Clients, type Life } from './workload.ts';

// D4: the disk is full, or fails.

/** 50 for a release. */
const CYCLES = Number(process.env.TEST_DISK_FULL_CYCLES ?? 3);
const SEED = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
const skip = whyNoFailingDisk();
const RECOVERY_MS = 5000;
const PATIENCE_MS = 20_000;
const SMALL_DISK_MB = 24;

const report = {
  id: 'D4',
  seed: SEED,
  figures: { cycles: 0, writeErrorCycles: 0, failedSyncs: 0, acknowledged: 0, refused: 0, lost: 0, recoveryMsMost: 0 },
  passed: false,
  planted: false,
};
const done = new Set<string>();
after(() => {
  report.passed = done.size === 4;
  if (!skip) writeResult(report);
});

/** Fails the disk and repairs it, again and again, under clients that write on. */
async function cycle(clients: Clients, server: ChildServer, count: number, fail: () => void, repair: () => void) {
  let enough = false;
  const writing = clients.write(server.port, () => enough);
  let recoveryMsMost = 0;
  try {
    for (let done = 0; done < count; done += 1) {
      const confirmed = clients.written;
      await until('writes go on', () => clients.written > confirmed + 20);
      const refused = clients.unconfirmed;
      fail();
      await until('writes are refused', () => clients.unconfirmed > refused + 16);
      await requireReads(clients, server);
      const before = clients.written;
      repair();
      recoveryMsMost = Math.max(recoveryMsMost, await until('writes resume', () => clients.written > before));
    }
  } finally {
    enough = true;
    await writing;
  }
  return recoveryMsMost;
}

/** Reads and token checks go on while writes are refused. */
async function requireReads({ lives }: Clients, { port }: ChildServer): Promise<void> {
  const stable = ({ deletions, tokens }: Life): boolean =>
    deletions.length === 0 && tokens.some(({ ends }) => ends.length === 0);
  const life = lives.filter(({ deletions }) => deletions.length === 0).at(0);
  assert.ok(life);
  assert.equal(await byHttp(port).identity(life.id), 200);
  const token = lives
    .filter(stable)
    .at(0)
    ?.tokens.find(({ ends }) => ends.length === 0);
  if (token) assert.equal((await byHttp(port).token(token.jwt)).status, 200);
  const ended = lives
    .flatMap(({ tokens }) => tokens)
    .find(({ ends }) => ends.some(({ stage }) => stage === 'confirmed'));
  assert.ok(ended);
  assert.equal((await byHttp(port).token(ended.jwt)).status, 401);
}

/** Kills the server, starts another one on the same folder, and compares. */
async function brokenAfterRestart(t: TestContext, clients: Clients, server: ChildServer, folder: string) {
  await server.kill();
  assert.equal(integrity(folder), 'ok');
  const next = await startChild(folder);
  t.after(() => next.kill());
  return broken(clients.lives, byHttp(next.port));
}

function account(clients: Clients, found: readonly string[]): void {
  const { figures } = report;
  figures.acknowledged += clients.confirmed;
  figures.refused += clients.unconfirmed;
  figures.lost += found.length;
  assert.deepEqual(found.slice(0, 10), [], `seed ${SEED}`);
  assert.equal(clients.withoutRetryAfter, 0);
}

/**
 * A sync fails, the process ends, another one goes on from there, and then the power is cut. What the first one had not
 * synced the kernel still shows to the second, and the disk never had it.
 */
async function brokenAfterLostLog(t: TestContext, faults: readonly string[] = []): Promise<string[]> {
  const disk = new FailingDisk(t);
  const folder = givenFolder(t, 'disk-full');
  const data = join(folder, 'data');
  const model = new Disk(data);
  const clients = new Clients(new Random(SEED));
  for (const isFirst of [true, false]) {
    const trace = join(folder, `trace-${isFirst}`);
    const env = { ...TRACED_ENV, ...disk.env };
    const server = await startChild(data, { env, faults, under: traced(trace, 1 << 20) });
    t.after(() => server.kill());
    const enough = clients.confirmed + 60;
    await clients.write(server.port, () => clients.confirmed >= enough);
    if (isFirst) {
      disk.set('sync');
      await clients.write(server.port);
      await server.exited;
    }
    await server.kill();
    await traceEnded(trace, server.pid);
    for await (const call of readTrace(trace)) model.follow(call);
    if (isFirst) model.loseUnsynced();
  }
  return problemsAfterCut(t, data, model.afterCut(new Random(SEED)), clients.lives);
}

describe('a full disk', { skip: skip || whyNoSmallDisk() }, () => {
  test(`filled and freed ${CYCLES} times: writes are refused, reads go on, writes resume`, async (t) => {
    t.diagnostic(`seed ${SEED}`);
    const disk = givenSmallDisk(t, SMALL_DISK_MB);
    const folder = join(disk.folder, 'data');
    const clients = new Clients(new Random(SEED));
    const server = await startChild(folder, { faults: ['small-log.ts'] });
    t.after(() => server.kill());
    const recoveryMs = await cycle(clients, server, CYCLES, disk.fill, disk.free);
    report.figures.cycles = CYCLES;
    report.figures.recoveryMsMost = Math.round(recoveryMs);
    account(clients, await brokenAfterRestart(t, clients, server, folder));
    assert.ok(recoveryMs < RECOVERY_MS, `${recoveryMs} ms`);
    t.diagnostic(
      `${clients.confirmed} confirmed, ${clients.unconfirmed} refused, recovery ${Math.round(recoveryMs)} ms`,
    );
    done.add('full');
  });
});

describe('a failing disk', { skip }, () => {
  for (const failure of ['writes', 'full'] satisfies Failure[]) {
    test(`${CYCLES} times, ${failure}: writes are refused, reads go on, writes resume`, async (t) => {
      const disk = new FailingDisk(t);
      const folder = givenFolder(t, 'disk-full');
      const clients = new Clients(new Random(SEED));
      const server = await startChild(folder, { env: disk.env });
      t.after(() => server.kill());
      const recoveryMs = await cycle(
        clients,
        server,
        CYCLES,
        () => disk.set(failure),
        () => disk.set('none'),
      );
      account(clients, await brokenAfterRestart(t, clients, server, folder));
      assert.ok(recoveryMs < RECOVERY_MS, `${recoveryMs} ms`);
      report.figures.writeErrorCycles += CYCLES;
      done.add('writes');
    });
  }

  test('after a sync that failed the process writes nothing more and ends; started again, it has what was confirmed', async (t) => {
    const disk = new FailingDisk(t);
    const folder = givenFolder(t, 'disk-full');
    const clients = new Clients(new Random(SEED));
    for (let round = 0; round < CYCLES; round += 1) {
      disk.forget();
      const server = await startChild(folder, { env: disk.env });
      t.after(() => server.kill());
      const writing = clients.write(server.port);
      await sleep(300);
      disk.set('sync');
      const code = await Promise.race([server.exited, sleep(PATIENCE_MS, 'it goes on', { ref: false })]);
      assert.equal(code, 1);
      await writing;
      assert.equal(disk.changesAfterFailedSync, 0, 'it went on to write or to sync');
      assert.ok(
        server.log.some((line) => line.includes('"fatal"') && line.includes('sync')),
        server.log.join('\n'),
      );
      report.figures.failedSyncs += 1;
    }
    const last = await startChild(folder);
    account(clients, await brokenAfterRestart(t, clients, last, folder));
    done.add('sync');
  });

  test('what comes after a failed sync does not rest on what the disk has lost', { skip: whyNoTrace() }, async (t) => {
    assert.deepEqual(await brokenAfterLostLog(t), []);
    done.add('lost log');
  });

  test('the harness reports a log that is trusted after a failed sync', { skip: whyNoTrace() }, async (t) => {
    assert.match((await brokenAfterLostLog(t, ['log-trusted.ts'])).join(), /is lost|came back|is damaged/);
  });

  test('the harness reports failures that are swallowed', async (t) => {
    const disk = new FailingDisk(t);
    const folder = givenFolder(t, 'disk-full');
    const clients = new Clients(new Random(SEED));
    const server = await startChild(folder, { env: disk.env, faults: ['swallow-failure.ts'] });
    t.after(() => server.kill());
    const complaint = clients.write(server.port).then(
      () => '',
      (cause: unknown) => String(cause), // a writer has already met the loss
    );
    await sleep(300);
    disk.set('full');
    await sleep(300);
    disk.set('none');
    await server.kill();
    const found = await brokenAfterRestart(t, clients, server, folder);
    assert.match(`${found.join()} ${await complaint}`, /is lost|came back|IdentityNotFound/);
    report.planted = true;
  });
});
