import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { beside } from '../harness/child.ts';
import { writeResult } from '../harness/results.ts';
import { fairness, twoResources } from './fairness.ts';
import type { Report } from './overload.ts';

// L4. Refusals are judged, times are reported.

const SECONDS = Number(process.env.TEST_FAIRNESS_SECONDS ?? 1);
const report = { id: 'L4', seed: 0, figures: {}, passed: false, planted: false };
after(() => writeResult(report));

async function run(t: TestContext, seconds: number, ...faults: string[]): Promise<Report> {
  const found = await fairness(await twoResources(t, beside(join(import.meta.dirname, 'faults'), ...faults)), seconds);
  t.diagnostic(JSON.stringify(found.figures));
  return found;
}

describe('one resource that asks for everything', { skip: process.platform !== 'linux' && 'reads /proc' }, () => {
  test('does not keep another one from its place', async (t) => {
    const { figures, broken } = await run(t, SECONDS);
    report.figures = figures;
    assert.deepEqual(broken, []);
    report.passed = true;
  });

  test('the harness reports places that all resources share', async (t) => {
    const { broken } = await run(t, 2, 'one-share.ts');
    assert.ok(
      broken.some((words) => /the modest one was refused/.test(words)),
      broken.join(),
    );
    report.planted = true;
  });
});
