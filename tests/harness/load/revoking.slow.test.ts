import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { findPostgres, startPostgres } from '../../../scripts/postgres.ts';
import { beside, startChild } from '../child.ts';
import { writeResult } from '../results.ts';
import type { Report } from './overload.ts';
import { revokeBySingles } from './revoking.ts';

// R10: revocations, one per call. That they share transactions is judged, times are reported: the goal decides no test.

const SECONDS = Number(process.env.TEST_REVOKING_SECONDS ?? 2);
const CONNECTIONS = 128;
/** Revocations a second, for the table of promises. */
const GOAL = 5000;
const binaries = findPostgres();
const isLinux = process.platform === 'linux';

async function run(
  t: TestContext,
  store: 'sqlite' | 'postgres',
  seconds: number,
  ...faults: string[]
): Promise<Report> {
  const postgres = store === 'postgres' ? await startPostgres(binaries) : undefined;
  t.after(() => postgres?.stop());
  const server = await startChild(t, {
    env: postgres ? { LINARITE_DATABASE_URL: postgres.url } : {},
    faults: beside(join(import.meta.dirname, 'faults'), ...faults),
  });
  const found = await revokeBySingles(server, { connections: CONNECTIONS, seconds }, postgres?.pid);
  await server.end('SIGTERM');
  t.diagnostic(JSON.stringify(found.figures));
  return found;
}

for (const store of ['sqlite', 'postgres'] as const) {
  const missing = store === 'postgres' && !binaries && 'PostgreSQL is missing: apt-get install postgresql';
  describe(`revocations one by one from ${CONNECTIONS} clients on ${store}`, { skip: !isLinux || missing }, () => {
    const id = store === 'sqlite' ? 'R10' : 'R10-postgres';
    const report = { id, seed: 'none', figures: {}, passed: false, planted: false };
    after(() => writeResult(report));

    test('share their transactions, and each holds when it is answered', async (t) => {
      const { figures, broken } = await run(t, store, SECONDS);
      report.figures = figures;
      assert.deepEqual(broken, []);
      report.passed = Number(figures.perSecond) >= GOAL;
    });

    test('the harness reports a transaction for each', async (t) => {
      const { broken } = await run(t, store, 1, 'one-revocation-each.ts');
      assert.ok(
        broken.some((words) => words.includes('share a transaction')),
        broken.join(),
      );
      report.planted = true;
    });
  });
}
