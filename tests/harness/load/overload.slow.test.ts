import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { beside, startChild } from '../child.ts';
import { type HarnessResult, writeResult } from '../results.ts';
import { Random } from '../revocation/simulation.ts';
import { type OverloadSize, overload, type Report } from './overload.ts';
import { overloadTimes } from './overload-times.ts';
import { isBroken, verdict } from './times.ts';

// L1, and R10 as far as overload goes. How long the served ones wait is judged in a long run, on a machine of its own.

const SEED = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
/** 600 for a release. */
const SECONDS = Number(process.env.TEST_OVERLOAD_SECONDS ?? 2);
/** What the server has; in a short run so few that they are taken however little of a processor there is. */
const PLACES = Number(process.env.TEST_OVERLOAD_PLACES ?? (SECONDS >= 60 ? 256 : 16));
const FEW = 16;

const size: OverloadSize = {
  seconds: Math.min(20, Math.max(1, SECONDS / 4)),
  overloadSeconds: SECONDS,
  places: PLACES,
};
const short: OverloadSize = { seconds: 0.5, overloadSeconds: 1, places: FEW };
/** Rounds of two windows, for the times. */
const ROUNDS = Number(process.env.TEST_OVERLOAD_ROUNDS ?? 1);
const LONG = ROUNDS >= 5;
const WINDOWS = { rounds: ROUNDS, seconds: LONG ? 4 : 0.5 };
/** 99th percentile of the served at four times the capacity ÷ at 80 % of it. */
const RATIO_MOST = 2;
const report: HarnessResult = { id: 'L1', seed: SEED, figures: {}, passed: false, planted: false };
after(() => writeResult(report));

async function run(t: TestContext, size: OverloadSize, ...faults: string[]): Promise<Report> {
  t.diagnostic(`seed ${SEED}`);
  const server = await startChild(t, {
    env: { LINARITE_REQUESTS_MOST: String(size.places) },
    faults: beside(join(import.meta.dirname, 'faults'), ...faults),
  });
  const found = await overload(server, size, new Random(SEED));
  t.diagnostic(JSON.stringify(found.figures));
  return found;
}

describe('four times what the server can do', { skip: process.platform !== 'linux' && 'reads /proc' }, () => {
  test('is refused, not absorbed: nothing acknowledged is lost, revoking goes on', async (t) => {
    const { figures, broken } = await run(t, size);
    report.figures = { ...report.figures, ...figures };
    assert.deepEqual(broken, [], `seed ${SEED}`);
    report.passed = true;
  });

  test('keeps the served ones waiting little longer than usual', async (t) => {
    const found = await overloadTimes(t, await startChild(t), WINDOWS);
    report.figures = {
      ...report.figures,
      rounds: ROUNDS,
      p99MsAt80Percent: found.usualMs,
      p99MsOverloaded: found.loadedMs,
      p99RatioOverloaded: found.ratio,
      p99RatioLimit: verdict(found, RATIO_MOST),
      servedShareOverloaded: found.servedShare,
      servedPerCpuShareOverloaded: found.servedPerCpuShare,
    };
    t.diagnostic(JSON.stringify(report.figures));
    assert.ok(found.servedShare > 0, 'nothing was served');
    if (LONG) {
      report.passed &&= !isBroken(found, RATIO_MOST);
      assert.ok(!isBroken(found, RATIO_MOST), `the served ones wait ${found.ratio} times as long`);
    }
  });

  test('the harness sees that everybody waits for everybody where everything is taken in', {
    skip: !LONG && 'takes many windows',
  }, async (t) => {
    const server = await startChild(t, { faults: beside(join(import.meta.dirname, 'faults'), 'no-places.ts') });
    const { ratio } = await overloadTimes(t, server, WINDOWS);
    t.diagnostic(`ratio ${ratio}`);
    assert.ok(ratio > RATIO_MOST, `${ratio}`);
  });

  test('the harness reports a server that takes everything in', async (t) => {
    const { broken } = await run(t, short, 'no-places.ts');
    assert.ok(broken.includes('nothing was refused at four times the capacity'), broken.join());
  });

  test('the harness reports revocations that wait in line with everything else', async (t) => {
    const { broken } = await run(t, short, 'no-urgent-lane.ts');
    assert.ok(
      broken.some((words) => words.endsWith('revocations were done')),
      broken.join(),
    );
    report.planted = true;
  });
});
