import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { beside, startChild } from '../child.ts';
import { writeResult } from '../results.ts';
import { type HeldSize, holdOpen } from './held.ts';
import type { Report } from './overload.ts';

// L7. Memory is judged at the size of a release only: a few connections say nothing about it.

/** 5,000 for a release. */
const EACH = Number(process.env.TEST_HELD ?? 200);
const IS_LONG = process.env.TEST_HELD !== undefined;
const KIBIBYTES_MOST = 20;
const report = { id: 'L7', seed: 0, figures: {}, passed: false, planted: false };
after(() => writeResult(report));

async function run(t: TestContext, size: HeldSize, ...faults: string[]): Promise<Report> {
  const plane = join(import.meta.dirname, 'held-plane.ts');
  const planted = beside(join(import.meta.dirname, 'faults'), ...faults);
  const server = await startChild(t, { faults: [plane, ...planted] });
  const found = await holdOpen(server, size);
  t.diagnostic(JSON.stringify(found.figures));
  return found;
}

describe('parked requests and idle sockets', { skip: process.platform !== 'linux' && 'reads /proc' }, () => {
  test('take no place from tokens, and little memory', async (t) => {
    const { figures, broken } = await run(t, { each: EACH, seconds: IS_LONG ? 10 : 1, patienceMs: 60_000 });
    report.figures = figures;
    assert.deepEqual(broken, []);
    if (IS_LONG)
      for (const name of ['kibibytesPerSocket', 'kibibytesPerParked'])
        assert.ok(Number(figures[name]) <= KIBIBYTES_MOST, `${name}: ${figures[name]}`);
    report.passed = true;
  });

  test('the harness reports parked requests that keep their place', async (t) => {
    const { broken } = await run(t, { each: 200, seconds: 1, patienceMs: 1_000 }, 'parked-in-place.ts');
    assert.ok(
      broken.some((words) => words.includes('were not parked')),
      broken.join(),
    );
    report.planted = true;
  });
});
