import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { beside, startChild } from '../harness/child.ts';
import { writeResult } from '../harness/results.ts';
import { Random } from '../revocation/simulation.ts';
import { type OverloadSize, overload, type Report } from './overload.ts';

// L1, and R10 as far as overload goes. Times are reported, never judged: the machine has other things to do.

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
const report = { id: 'L1', seed: SEED, figures: {}, passed: false, planted: false };
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
    report.figures = figures;
    assert.deepEqual(broken, [], `seed ${SEED}`);
    report.passed = true;
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
