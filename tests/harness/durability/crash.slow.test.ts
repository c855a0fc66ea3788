import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeResult } from '../results.ts';
import { Random } from '../revocation/simulation.ts';
import { startChild } from './child-server.ts';
import { givenFolder, integrity } from './folders.ts';
import { until } from './until.ts';
import { broken, byHttp, Clients, type Life } from './workload.ts';

// D1: the process is killed at any instant.

/** 1,000 for a release, 50 for a pull request. */
const CYCLES = Number(process.env.TEST_CRASH_CYCLES ?? 5);
const SEED = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);

const report = { id: 'D1', seed: SEED, figures: {}, passed: false, planted: false };
after(() => writeResult(report));

const isRevoked = ({ deletions, revocations }: Life): boolean =>
  deletions.length === 0 && revocations.some(({ stage }) => stage === 'confirmed');

/** A server that was killed while clients were writing, after which somebody else changed its database. */
async function brokenAfter(t: TestContext, change: string): Promise<string[]> {
  const folder = givenFolder(t, 'crash');
  const clients = new Clients(new Random(SEED));
  const first = await startChild(folder);
  t.after(() => first.kill());
  const writing = clients.write(first.port);
  await sleep(700);
  await until('there is enough to lose', () => clients.lives.filter(isRevoked).length > 3); // on a busy machine
  await first.kill();
  await writing;
  const db = new DatabaseSync(join(folder, 'linarite.db'));
  db.exec(change);
  db.close();
  const second = await startChild(folder);
  t.after(() => second.kill());
  return broken(clients.lives, byHttp(second.port));
}

describe('kill -9 at any moment', () => {
  test(`${CYCLES} times: what was confirmed holds, and nothing that was ended comes back`, async (t) => {
    const random = new Random(SEED);
    const folder = givenFolder(t, 'crash');
    const clients = new Clients(random);
    t.diagnostic(`seed ${SEED}`);
    let server = await startChild(folder);
    t.after(() => server.kill());
    for (let cycle = 1; cycle <= CYCLES; cycle += 1) {
      const before = clients.confirmed;
      const writing = clients.write(server.port);
      await sleep(random.between(50, 500));
      await until('enough is confirmed', () => clients.confirmed - before > 10); // on a busy machine
      await server.kill();
      await writing;
      const sound = integrity(folder);
      server = await startChild(folder);
      const found = await broken(clients.lives, byHttp(server.port));
      clients.forgetOld();
      report.figures = {
        cycles: cycle,
        acknowledged: clients.confirmed,
        lost: found.filter((text) => text.includes('is lost')).length,
        resurrected: found.filter((text) => text.includes('came back')).length,
        integrityErrors: sound === 'ok' ? 0 : 1,
      };
      assert.equal(sound, 'ok');
      assert.deepEqual(found, [], `seed ${SEED}, cycle ${cycle}`);
    }
    t.diagnostic(`${clients.confirmed} confirmed operations`);
    report.passed = true;
  });

  test('the harness reports revocations and deletions that were kept in memory only', async (t) => {
    const found = await brokenAfter(t, 'delete from revocation_log; update identities set revoked_seq = 0');
    assert.ok(found.some((text) => text.includes('came back')));
    report.planted = true;
  });

  test('the harness reports confirmed identities that are lost', async (t) => {
    const found = await brokenAfter(t, "delete from identities where substr(id, -1) < '8'");
    assert.ok(found.some((text) => text.includes('is lost')));
  });
});
