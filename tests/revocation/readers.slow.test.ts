import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { startChild } from '../harness/child.ts';
import { freshDatabase, STORES } from '../harness/postgres.ts';
import { writeResult } from '../harness/results.ts';
import { revokeUnderReaders } from '../harness/revocation/readers.ts';

// R2 on one node.

const SEED = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
/** 2,000 for a release. */
const REVOCATIONS = { sqlite: 200, postgres: 80 };
if (process.env.TEST_REVOCATION_READERS)
  REVOCATIONS.sqlite = REVOCATIONS.postgres = Number(process.env.TEST_REVOCATION_READERS);
const LOAD = { seed: SEED, readers: 100, revokers: 8 };

for (const store of STORES) {
  describe(`revocations among readers on ${store}`, { skip: process.platform !== 'linux' && 'reads /proc' }, () => {
    const revocations = REVOCATIONS[store];
    const report = { id: store === 'sqlite' ? 'R2' : 'R2-postgres', figures: {}, passed: false, planted: false };
    after(() => writeResult({ ...report, seed: SEED }));

    test(`${revocations} under load: what begins after the answer is refused, what ended before the call was accepted`, async (t) => {
      t.diagnostic(`seed ${SEED}`);
      const env: Record<string, string> = store === 'postgres' ? { LINARITE_DATABASE_URL: await freshDatabase(t) } : {};
      const found = await revokeUnderReaders(await startChild(t, { env }), { ...LOAD, revocations });
      t.diagnostic(JSON.stringify(found));
      report.figures = { readers: LOAD.readers, ...found };
      assert.deepEqual([found.revocations, found.late, found.wrong, found.other], [revocations, 0, 0, 0]);
      assert.ok(found.uses > revocations);
      report.passed = true;
    });

    test('the harness reports an answer that comes before the revocation', async (t) => {
      const server = await startChild(t, {
        faults: [join(import.meta.dirname, '../harness/revocation/faults/answer-early.ts')],
      });
      const { late } = await revokeUnderReaders(server, { ...LOAD, revocations: 40 });
      assert.ok(late > 0);
      report.planted = true;
    });
  });
}
