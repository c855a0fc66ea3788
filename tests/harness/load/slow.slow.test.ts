import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { beside, startChild } from '../child.ts';
import { writeResult } from '../results.ts';
import type { Report } from './overload.ts';
import { type SlowSize, slowClients } from './slow.ts';

// L2. The short size has deadlines of a tenth.

/** 5,000 for a release; without it few connections and short deadlines. */
const CONNECTIONS = process.env.TEST_SLOW_CONNECTIONS;
const size: SlowSize = CONNECTIONS
  ? { connections: Number(CONNECTIONS), withinMs: 60_000, dripMs: 1000 }
  : { connections: 200, withinMs: 30_000, dripMs: 100 };
const report = { id: 'L2', seed: 0, figures: {}, passed: false, planted: false };
after(() => writeResult(report));

async function run(t: TestContext, size: SlowSize, ...faults: string[]): Promise<Report> {
  const server = await startChild(t, { faults: beside(join(import.meta.dirname, 'faults'), ...faults) });
  const found = await slowClients(server, size);
  t.diagnostic(JSON.stringify(found.figures));
  return found;
}

describe('slow clients', { skip: process.platform !== 'linux' && 'reads /proc' }, () => {
  test('are cut off; others are served meanwhile, and descriptors come back', async (t) => {
    const { figures, broken } = await run(t, size, ...(CONNECTIONS ? [] : ['short-timeouts.ts']));
    report.figures = figures;
    assert.deepEqual(broken, []);
    report.passed = true;
  });

  test('the harness reports connections that nobody cuts', async (t) => {
    const { broken } = await run(t, { connections: 100, withinMs: 6000, dripMs: 100 }, 'no-timeouts.ts');
    for (const way of ['headers', 'body', 'handshake', 'silence'])
      assert.ok(
        broken.some((words) => words.includes(`(${way})`)),
        broken.join(),
      );
    report.planted = true;
  });
});
