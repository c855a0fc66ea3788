import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { beside } from '../child.ts';
import { type HarnessResult, writeResult } from '../results.ts';
import { fairness, twoResources } from './fairness.ts';
import { fairnessTimes } from './fairness-times.ts';
import type { Report } from './overload.ts';
import { isBroken, verdict } from './times.ts';

// L4. In a short run refusals are judged; how long the modest one waits is judged in a long run, on a machine of its own.

const SECONDS = Number(process.env.TEST_FAIRNESS_SECONDS ?? 1);
const FEW_PLACES = { LINARITE_REQUESTS_MOST: '16' };
/** Rounds of two windows, for the times. */
const ROUNDS = Number(process.env.TEST_FAIRNESS_ROUNDS ?? 1);
const LONG = ROUNDS >= 5;
const WINDOWS = { rounds: ROUNDS, seconds: LONG ? 5 : 0.5 };
/** 99th percentile beside the greedy one ÷ alone. */
const RATIO_MOST = 1.5;
const report: HarnessResult = { id: 'L4', seed: 0, figures: {}, passed: false, planted: false };
after(() => writeResult(report));

async function run(t: TestContext, seconds: number, ...faults: string[]): Promise<Report> {
  const planted = beside(join(import.meta.dirname, 'faults'), ...faults);
  const found = await fairness(await twoResources(t, FEW_PLACES, planted), seconds);
  t.diagnostic(JSON.stringify(found.figures));
  return found;
}

describe('one resource that asks for everything', { skip: process.platform !== 'linux' && 'reads /proc' }, () => {
  test('does not keep another one from its place', async (t) => {
    const { figures, broken } = await run(t, SECONDS);
    report.figures = { ...report.figures, ...figures };
    assert.deepEqual(broken, []);
    report.passed = true;
  });

  test('does not keep it waiting', async (t) => {
    const quotas = await fairnessTimes(t, await twoResources(t, { LINARITE_QUOTAS: 'acs' }), 'tenQuotas', WINDOWS);
    const noEnd = await fairnessTimes(t, await twoResources(t, {}), 'withoutEnd', WINDOWS);
    report.figures = {
      ...report.figures,
      rounds: ROUNDS,
      modestP99MsAlone: quotas.usualMs,
      modestP99MsBesideTenQuotas: quotas.loadedMs,
      p99Ratio: quotas.ratio,
      p99RatioLimit: verdict(quotas, RATIO_MOST),
      p99RatioBesideOneWithoutEnd: noEnd.ratio,
    };
    t.diagnostic(JSON.stringify(report.figures));
    assert.ok(quotas.ratio > 0 && noEnd.ratio > 0, 'nothing was served');
    if (LONG) {
      report.passed &&= !isBroken(quotas, RATIO_MOST);
      assert.ok(!isBroken(quotas, RATIO_MOST), `the modest one waits ${quotas.ratio} times as long`);
    }
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
