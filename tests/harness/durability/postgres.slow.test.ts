import assert from 'node:assert/strict';
import { after, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { findPostgres, startPostgres } from '../../../scripts/postgres.ts';
import { writeResult } from '../results.ts';
import { Random } from '../revocation/simulation.ts';
import { startChild } from './child-server.ts';
import { givenFolder } from './folders.ts';
import { until } from './until.ts';
import { broken, byHttp, Clients } from './workload.ts';

// D5: the database is killed, a single primary. What is confirmed holds; what is not is answered 503, and nothing else.

/** 200 for a release. */
const KILLS = Number(process.env.TEST_PG_KILLS ?? 3);
const SEED = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
const RECOVERY_MS = 5000;
const binaries = findPostgres();
const skip = binaries === undefined && 'PostgreSQL is missing: apt-get install postgresql';

const report = { id: 'D5', seed: SEED, figures: {}, passed: false, planted: false };
after(() => skip || writeResult(report));

interface Found {
  kills: number;
  acknowledged: number;
  unknown: number;
  lost: number;
  resurrected: number;
  recoveryMsMost: number;
}

/** Kills the database under clients that write, starts it again, and compares; stops at the first kill that lost something. */
async function found(t: TestContext, kills: number, settings: readonly string[] = []): Promise<Found> {
  const random = new Random(SEED);
  // How it makes the folder last before it recovers, which takes seconds otherwise.
  const postgres = await startPostgres(binaries, [...settings, 'recovery_init_sync_method=syncfs']);
  t.after(() => postgres.stop());
  const env = { LINARITE_DATABASE_URL: postgres.url };
  const server = await startChild(givenFolder(t, 'postgres'), { env });
  t.after(() => server.kill());
  const clients = new Clients(random);
  const found: Found = { kills: 0, acknowledged: 0, unknown: 0, lost: 0, resurrected: 0, recoveryMsMost: 0 };
  while (found.kills < kills && found.lost + found.resurrected === 0) {
    let enough = false;
    const contradictions = clients
      .write(server.port, () => enough)
      .then(
        () => [],
        (cause: unknown) => [`something is lost, a writer met it: ${cause}`],
      );
    const before = clients.written;
    await until('writes go on', () => clients.written > before + 10);
    await sleep(random.between(0, 200));
    process.kill(postgres.pid, 'SIGKILL');
    await sleep(random.between(0, 50));
    await postgres.restart();
    const atRestart = clients.written;
    // A server that notices that its database has lost something takes no writes any more.
    const recoveryMs = await until('writes resume', () => clients.written > atRestart, RECOVERY_MS).catch(
      () => RECOVERY_MS,
    );
    enough = true;
    // Then one that is started anew tells what is there.
    const judge = recoveryMs < RECOVERY_MS ? server : await startChild(givenFolder(t, 'postgres'), { env });
    const problems = [...(await contradictions), ...(await broken(clients.lives, byHttp(judge.port)))];
    if (judge !== server) await judge.kill();
    for (const text of problems.slice(0, 5)) t.diagnostic(text);
    found.kills += 1;
    found.acknowledged = clients.confirmed;
    found.unknown = clients.unconfirmed;
    found.lost += problems.filter((text) => text.includes('is lost')).length;
    found.resurrected += problems.filter((text) => text.includes('came back')).length;
    found.recoveryMsMost = Math.max(found.recoveryMsMost, Math.round(recoveryMs));
    assert.equal(clients.withoutRetryAfter, 0);
    clients.forgetOld(100);
  }
  return found;
}

describe('PostgreSQL killed under load', { skip }, () => {
  test(`${KILLS} times: what was confirmed holds, what was not is answered 503`, async (t) => {
    t.diagnostic(`seed ${SEED}`);
    const figures = await found(t, KILLS);
    report.figures = figures;
    t.diagnostic(JSON.stringify(figures));
    assert.deepEqual([figures.kills, figures.lost, figures.resurrected], [KILLS, 0, 0]);
    assert.ok(figures.recoveryMsMost < RECOVERY_MS);
    report.passed = true;
  });

  test('the harness reports a database that confirms before it has written', async (t) => {
    const { lost, resurrected } = await found(t, 5, ['synchronous_commit=off', 'wal_writer_delay=10s']);
    assert.ok(lost + resurrected > 0);
    report.planted = true;
  });
});
