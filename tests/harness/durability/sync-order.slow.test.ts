import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { writeResult } from '../results.ts';
import { Random } from '../revocation/simulation.ts';
import { startChild } from './child-server.ts';
import { givenFolder } from './folders.ts';
import { readTrace, requestsIn, successesIn, TRACED_ENV, traced, traceEnded, whyNoTrace } from './trace.ts';
import { Clients } from './workload.ts';

// D2: the disk has it before the client hears of it. The server's system calls tell.

/** 10,000 for a release. */
const WRITES = Number(process.env.TEST_SYNC_ORDER_WRITES ?? 300);
const SEED = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
const skip = whyNoTrace();
/** A page of the log, and the head of a request or an answer. */
const BYTES_MOST = 4096;
const IDENTITY_ID = /8:acs:[0-9a-f-]{36}_[0-9a-f-]{36}/g;

const report = { id: 'D2', seed: SEED, figures: {}, passed: false, planted: false };
after(() => skip || writeResult(report));

interface Found {
  acknowledged: number;
  syncs: number;
  violations: string[];
}

/** Runs a server until enough writes are acknowledged, and reads what it did. */
async function found(t: TestContext, writes: number, faults: readonly string[] = []): Promise<Found> {
  const folder = givenFolder(t, 'sync-order');
  const file = join(folder, 'trace');
  const data = join(folder, 'data');
  const server = await startChild(data, { faults, env: TRACED_ENV, under: traced(file, BYTES_MOST) });
  t.after(() => server.kill());
  const clients = new Clients(new Random(SEED));
  await clients.write(server.port, () => clients.written >= writes);
  await server.kill();
  await traceEnded(file, server.pid);
  return readOrder(file, join(data, 'linarite.db-wal'), clients);
}

/**
 * For every success that is about a write: since its request arrived the log was written, and everything written to the
 * log has been synced since. The server commits on the thread that answers, so nothing else can lie between. Where an
 * identity was created, its id stands in what was written.
 */
async function readOrder(file: string, log: string, { calls: all, lives }: Clients): Promise<Found> {
  const calls = new Map(all.map((call) => [call.id, call]));
  const created = new Map(lives.map(({ created, id }) => [created.id, id]));
  const found: Found = { acknowledged: 0, syncs: 0, violations: [] };
  const arrivedAt = new Map<string, number>();
  const logged = new Set<string>();
  let writtenAt = 0;
  let syncedAt = 0;
  for await (const { begin, end, name, path, data } of readTrace(file)) {
    if (path === log) {
      if (name === 'pwrite64' || name === 'ftruncate') writtenAt = end;
      for (const [id] of data.toString('latin1').matchAll(IDENTITY_ID)) logged.add(id);
      if (name === 'fsync' || name === 'fdatasync') {
        found.syncs += 1;
        if (begin > writtenAt) syncedAt = end;
      }
    }
    if (!path.startsWith('socket:')) continue;
    if (name === 'read') for (const id of requestsIn(data)) arrivedAt.set(id, end);
    if (!name.startsWith('write')) continue;
    for (const id of successesIn(data)) {
      if (!calls.get(id)?.writes) continue;
      found.acknowledged += 1;
      const arrived = arrivedAt.get(id) ?? Number.POSITIVE_INFINITY;
      const identity = created.get(id);
      const isWritten = writtenAt > arrived && (identity === undefined || logged.has(identity));
      if (!isWritten) found.violations.push(`${id}: answered before it was written`);
      else if (syncedAt < writtenAt || syncedAt > begin) found.violations.push(`${id}: answered before the sync`);
    }
  }
  return found;
}

describe('the sync comes before the answer', { skip }, () => {
  test(`for ${WRITES} acknowledged writes`, async (t) => {
    t.diagnostic(`seed ${SEED}`);
    const { acknowledged, syncs, violations } = await found(t, WRITES);
    report.figures = { acknowledged, syncs, violations: violations.length };
    t.diagnostic(`${acknowledged} acknowledged writes, ${syncs} syncs`);
    assert.deepEqual(violations.slice(0, 10), []);
    assert.ok(acknowledged >= WRITES);
    assert.ok(syncs > acknowledged / 20, 'there are far fewer syncs than the clients make necessary');
    report.passed = true;
  });

  const caught = new Set<string>();
  for (const fault of ['sync-normal.ts', 'early-answer.ts']) {
    test(`the harness reports ${fault}`, async (t) => {
      const { acknowledged, violations } = await found(t, 50, [fault]);
      assert.ok(violations.length > acknowledged / 10, `${violations.length} of ${acknowledged}`);
      caught.add(fault);
      report.planted = caught.size === 2;
    });
  }
});
