import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { beside, startChild } from '../child.ts';
import { writeResult } from '../results.ts';
import { Random } from '../revocation/simulation.ts';
import { clockJumps, followingFile, LIBRARY, Skewed } from './clock.ts';
import type { Report } from './overload.ts';

// R9 and O5: the wall clock of a running server jumps by hours and days.

const ROUNDS = Number(process.env.TEST_CLOCK_ROUNDS ?? 1);
const SEED = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
const report = { id: 'R9', seed: SEED, figures: {}, passed: false, planted: false };
after(() => {
  writeResult(report);
  writeResult({ ...report, id: 'O5' });
});

async function run(t: TestContext, rounds: number, ...faults: string[]): Promise<Report> {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-clock-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'time');
  const env = followingFile(file);
  new Skewed({} as never, file).set(0);
  const server = await startChild(t, { env, faults: beside(join(import.meta.dirname, 'faults'), ...faults) });
  const found = await clockJumps(new Skewed(server, file), rounds, new Random(SEED));
  t.diagnostic(`seed ${SEED} ${JSON.stringify(found.figures)}`);
  return found;
}

describe('a clock that jumps', {
  skip: LIBRARY === undefined && 'needs libfaketime (apt-get install faketime)',
}, () => {
  test('changes no verdict on revocation, and brings no expired token back', async (t) => {
    const { figures, broken } = await run(t, ROUNDS);
    report.figures = figures;
    assert.deepEqual(broken, [], `seed ${SEED}`);
    report.passed = true;
  });

  test('the harness reports revocation by instants', async (t) => {
    const { broken } = await run(t, 2, 'instants-decide.ts');
    assert.ok(
      broken.some((words) => words.includes('changed with the clock')),
      broken.join(),
    );
  });

  test('the harness reports expiry by the wall clock alone', async (t) => {
    const { broken } = await run(t, 1, 'wall-clock.ts');
    assert.ok(
      broken.some((words) => words.includes('expired tokens')),
      broken.join(),
    );
    report.planted = true;
  });
});
