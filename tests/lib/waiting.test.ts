import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { Backoff } from '../../src/lib/backoff.ts';
import { unlessAborted } from '../../src/lib/unless-aborted.ts';

test('pauses grow to the longest one, and begin again', () => {
  const backoff = new Backoff(100, 1000);
  const isWithin = (ms: number, most: number): boolean => ms >= most / 2 && ms <= most;
  for (const most of [100, 200, 400, 800, 1000, 1000]) assert.ok(isWithin(backoff.next(), most), String(most));
  backoff.reset();
  assert.ok(isWithin(backoff.next(), 100));
});

test('work is waited for until the signal is given, and leaves no listener behind', async () => {
  const ending = new AbortController();
  const { signal } = ending;
  assert.equal(await unlessAborted(signal, Promise.resolve(1)), 1);
  await assert.rejects(unlessAborted(signal, Promise.reject(new Error('no'))), /no/);
  const never = unlessAborted(signal, new Promise(() => undefined));
  const { promise, reject } = Promise.withResolvers<void>();
  const failing = unlessAborted(signal, promise);
  ending.abort();
  reject(new Error('late, and nobody is told'));
  assert.deepEqual([await never, await failing], [undefined, undefined]);
  assert.equal(await unlessAborted(signal, Promise.resolve(1)), undefined);
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});
