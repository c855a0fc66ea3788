import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecentMap } from '../../src/lib/recent-map.ts';

const LEAST = 10;

test('the last entries are remembered, and at most twice as many', () => {
  for (let count = 1; count <= 5 * LEAST; count += 1) {
    const map = new RecentMap<number>(LEAST);
    for (let index = 0; index < count; index += 1) map.set(`${index}`, index);
    for (let index = Math.max(0, count - LEAST); index < count; index += 1) assert.equal(map.get(`${index}`), index);
    assert.equal(map.get(`${count - 2 * LEAST - 1}`), undefined);
  }
});

test('an entry that is asked for stays', () => {
  const map = new RecentMap<string>(LEAST);
  map.set('used', 'value');
  map.set('unused', 'value');
  for (let index = 0; index < 10 * LEAST; index += 1) {
    map.set(`${index}`, 'another');
    assert.equal(map.get('used'), 'value', `after ${index} others`);
  }
  assert.equal(map.get('unused'), undefined);
});

test('an entry is put in anew under a key that is there', () => {
  const map = new RecentMap<number>(LEAST);
  map.set('key', 1);
  map.set('key', 2);
  assert.equal(map.get('key'), 2);
  for (let index = 0; index < LEAST; index += 1) map.set(`${index}`, 0);
  map.set('key', 3);
  assert.equal(map.get('key'), 3);
});
