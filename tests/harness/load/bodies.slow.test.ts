import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { beside, startChild } from '../child.ts';
import { writeResult } from '../results.ts';
import { bigBodies } from './bodies.ts';
import type { Report } from './overload.ts';

// L3.

/** Of each of six ways; 250 for a release, which makes 1,000 of 10 MiB each. */
const EACH = Number(process.env.TEST_BODIES_EACH ?? 10);
const report = { id: 'L3', seed: 0, figures: {}, passed: false, planted: false };
after(() => writeResult(report));

async function run(t: TestContext, each: number, ...faults: string[]): Promise<Report> {
  const server = await startChild(t, { faults: beside(join(import.meta.dirname, 'faults'), ...faults) });
  const found = await bigBodies(server, { each, bytes: 10 * 1024 * 1024 });
  t.diagnostic(JSON.stringify(found.figures));
  return found;
}

describe('big bodies', { skip: process.platform !== 'linux' && 'reads /proc' }, () => {
  test('are refused by their length or at the limit, and cost less than 100 MiB all together', async (t) => {
    const { figures, broken } = await run(t, EACH);
    report.figures = figures;
    assert.deepEqual(broken, []);
    report.passed = true;
  });

  test('the harness reports a server that takes them in', async (t) => {
    const { broken } = await run(t, 10, 'endless-bodies.ts');
    assert.ok(
      broken.some((words) => words.startsWith('memory grew by')),
      broken.join(),
    );
    assert.ok(
      broken.some((words) => words.startsWith('announced, signed: answered 400')),
      broken.join(),
    );
    report.planted = true;
  });
});
