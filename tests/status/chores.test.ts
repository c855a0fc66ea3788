import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startTestServer } from '../harness/server.ts';

test('a chore that fails is reported, and keeps none of the others from being done', async (t) => {
  const server = await startTestServer(t);
  // One of the first; the comparison of the clocks is the last.
  t.mock.method(server.server.keys, 'rotate', () => Promise.reject(new Error('out of order')));
  const began = Date.now();
  while (!/^linarite_clock_offset_seconds /m.test((await server.send({ target: '/-/metrics' })).text)) {
    assert.ok(Date.now() - began < 20_000, 'the other chores were not done');
    await sleep(50);
  }
  assert.ok(
    server.log.lines.some(({ level, message }) => level === 'error' && message === 'rotating signing keys failed'),
  );
});
