import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { beside, startChild } from '../child.ts';
import { writeResult } from '../results.ts';
import type { Report } from './overload.ts';
import { stopUnderLoad } from './stopping.ts';

// O1.

const ROUNDS = Number(process.env.TEST_STOPS ?? 1);
const report = { id: 'O1', seed: 0, figures: {}, passed: false, planted: false };
after(() => writeResult(report));

async function run(t: TestContext, ...faults: string[]): Promise<Report> {
  const server = await startChild(t, {
    env: { LINARITE_DRAIN_SECONDS: '3', LINARITE_STOP_SECONDS: '1' },
    faults: beside(join(import.meta.dirname, 'faults'), ...faults),
  });
  const found = await stopUnderLoad(server);
  t.diagnostic(JSON.stringify(found.figures));
  return found;
}

describe('a stop under load', { skip: process.platform !== 'linux' && 'reads /proc' }, () => {
  test('is told first; what is under way is finished or refused, and nothing acknowledged is lost', async (t) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const { figures, broken } = await run(t);
      report.figures = { ...figures, stops: round + 1 };
      assert.deepEqual(broken, []);
    }
    report.passed = true;
  });

  test('the harness reports a process that just ends', async (t) => {
    const { broken } = await run(t, 'exit-at-once.ts');
    assert.ok(
      broken.some((words) => words.includes('cut without an answer')),
      broken.join(),
    );
    assert.ok(
      broken.some((words) => words.includes('health check')),
      broken.join(),
    );
    report.planted = true;
  });
});
