import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { FairQueue } from '../../src/lib/fair-queue.ts';

/** Jobs that end when they are told to, and the order in which they began. */
function jobs(queue: FairQueue) {
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const add = (holder: string, name = holder): Promise<string> =>
    queue.run(holder, async () => {
      begun.push(name);
      await new Promise<void>((resolve) => ends.push(resolve));
      return name;
    });
  const endOne = async (): Promise<void> => {
    ends.shift()?.();
    await turn();
  };
  return { begun, add, endOne };
}

test('no more run at a time than may, and each returns what it made', async () => {
  const { begun, add, endOne } = jobs(new FairQueue(2));
  const all = Promise.all(['a', 'b', 'c', 'd'].map((name) => add('one', name)));
  await turn();
  assert.deepEqual(begun, ['a', 'b']);
  for (let ended = 0; ended < 4; ended += 1) await endOne();
  assert.deepEqual(await all, ['a', 'b', 'c', 'd']);
});

test('a holder with one job waits for one of each of the others, not for all of them', async () => {
  const { begun, add, endOne } = jobs(new FairQueue(1));
  const all = [
    ...Array.from({ length: 50 }, () => add('greedy')),
    ...Array.from({ length: 2 }, () => add('other')),
    add('modest'),
  ];
  for (let ended = 0; ended < 53; ended += 1) await endOne();
  await Promise.all(all);
  assert.deepEqual(begun.slice(0, 7), ['greedy', 'greedy', 'other', 'modest', 'greedy', 'other', 'greedy']);
  assert.equal(begun.length, 53);
});

test('a job that fails gives its place back', async () => {
  const queue = new FairQueue(1);
  const failing = [1, 2, 3].map(() => queue.run('one', () => Promise.reject(new Error('no'))));
  for (const result of await Promise.allSettled(failing)) assert.equal(result.status, 'rejected');
  assert.equal(await queue.run('one', async () => 'good'), 'good');
});
