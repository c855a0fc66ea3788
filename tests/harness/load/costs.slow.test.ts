import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { beside } from '../child.ts';
import { type HarnessResult, writeResult } from '../results.ts';
import { type CostTimes, costTimes } from './costs.ts';
import { twoResources } from './fairness.ts';
import { isBroken, verdict } from './times.ts';

// L4 for requests that cost very different amounts. In a short run refusals are judged; how long the quiet resource waits is
// judged in a long run, on a machine of its own.

const ROUNDS = Number(process.env.TEST_COSTS_ROUNDS ?? 1);
const LONG = ROUNDS >= 5;
const WINDOWS = { rounds: ROUNDS, seconds: LONG ? 5 : 1 };
/** 99th percentile of a revocation beside the costly requests ÷ alone. */
const RATIO_MOST = 2;
const REVOCATION_MS_MOST = 50;
const HEALTH_MS_MOST = 100;
const report: HarnessResult = { id: 'L4-costs', seed: 0, figures: {}, passed: false, planted: false };
const kept: boolean[] = [];
after(() => writeResult({ ...report, passed: kept.length > 0 && kept.every(Boolean) }));

async function run(t: TestContext, connections: number, ...faults: string[]): Promise<CostTimes> {
  const planted = beside(join(import.meta.dirname, 'faults'), ...faults);
  const times = await costTimes(t, await twoResources(t, {}, planted), { connections, ...WINDOWS });
  t.diagnostic(JSON.stringify(times));
  return times;
}

/** What is judged however busy the machine is. */
function brokenBy({ unexpected, costlyServed, costlyRefused }: CostTimes): string[] {
  const rules: [boolean, string][] = [
    [unexpected === 0, `${unexpected} answers were neither a success nor a refusal with Retry-After`],
    [costlyServed > 0, 'nothing costly was served'],
    [costlyRefused > 0, 'nothing costly was refused'],
  ];
  return rules.filter(([kept]) => !kept).map(([, words]) => words);
}

function slowBy({ loadedMs, healthMs, ...comparison }: CostTimes): string[] {
  const rules: [boolean, string][] = [
    [comparison.ratio <= RATIO_MOST, `a revocation takes ${comparison.ratio} times as long`],
    [loadedMs <= REVOCATION_MS_MOST, `a revocation takes ${loadedMs} ms`],
    [healthMs <= HEALTH_MS_MOST, `health takes ${healthMs} ms`],
  ];
  const isJudged = isBroken({ ...comparison, loadedMs }, -1); // no ratio is below that: only whether others had the machine
  return rules.filter(([kept]) => isJudged && !kept).map(([, words]) => words);
}

describe('one resource whose requests each cost much', { skip: process.platform !== 'linux' && 'reads /proc' }, () => {
  for (const connections of LONG ? [8, 100] : [100]) {
    test(`over ${connections} connections does not keep another one waiting`, async (t) => {
      const times = await run(t, connections);
      report.figures = {
        ...report.figures,
        rounds: ROUNDS,
        [`revocationP99MsAlone${connections}`]: times.usualMs,
        [`revocationP99MsBeside${connections}`]: times.loadedMs,
        [`p99Ratio${connections}`]: times.ratio,
        [`p99RatioLimit${connections}`]: verdict(times, RATIO_MOST),
        [`healthP99Ms${connections}`]: times.healthMs,
        [`costlyServed${connections}`]: times.costlyServed,
        [`costlyRefused${connections}`]: times.costlyRefused,
      };
      const broken = [...brokenBy(times), ...(LONG ? slowBy(times) : [])];
      kept.push(broken.length === 0);
      assert.deepEqual(broken, []);
    });
  }

  test('the harness reports a server that counts requests and not what they cost', async (t) => {
    const broken = brokenBy(await run(t, 100, 'no-weights.ts'));
    assert.ok(
      broken.some((words) => /nothing costly was refused/.test(words)),
      broken.join(),
    );
    report.planted = true;
  });
});
