import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PositionTable } from '../../src/revocation/position-table.ts';
import { Random } from '../harness/revocation/simulation.ts';

const SEED = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
const ENTRIES = Number(process.env.TEST_POSITIONS ?? 100_000);
const LARGEST = Number.MAX_SAFE_INTEGER;

const randomKey = (random: Random): Uint32Array =>
  Uint32Array.from({ length: 4 }, () => Math.floor(random.next() * 2 ** 32));

describe('the table of positions', () => {
  test('takes 24 bytes a slot, and grows by a quarter when one more would fill 85 % of them', () => {
    const table = new PositionTable();
    const key = (n: number) => Uint32Array.of(n * 2 ** 24, n, n, n);
    const sizes = () => [table.size, table.bytes, table.bytesForOneMore];
    assert.deepEqual(sizes(), [0, 64 * 24, 64 * 24]);
    for (let n = 1; n <= 53; n += 1) table.raise(key(n), n);
    assert.deepEqual(sizes(), [53, 64 * 24, 64 * 24]);
    table.raise(key(54), 54);
    assert.deepEqual(sizes(), [54, 64 * 24, (64 + 80) * 24]);
    table.raise(key(54), 55);
    assert.equal(table.get(key(99)), 0);
    assert.deepEqual(sizes(), [54, 64 * 24, (64 + 80) * 24], 'a key that is there needs no place');
    table.raise(key(55), 1);
    assert.deepEqual(sizes(), [55, 80 * 24, 80 * 24]);
    for (let n = 1; n <= 55; n += 1) assert.equal(table.get(key(n)), n < 54 ? n : n === 54 ? 55 : 1);
    table.discard();
    assert.equal(table.bytes, 0);
  });

  test('drops the entries up to a position when it makes room, and keeps a quarter more than the others take', () => {
    const table = new PositionTable();
    const key = (n: number) => Uint32Array.of(n * 2 ** 20, n, n, n);
    assert.equal(table.highest, 0);
    for (let n = 1; n <= 1000; n += 1) table.raise(key(n), n === 7 ? 5000 : n);
    assert.equal(table.highest, 5000);
    table.reserve(400);
    assert.deepEqual([table.size, table.bytes, table.isFull], [601, Math.ceil((601 / 0.85) * 1.25) * 24, false]);
    for (let n = 1; n <= 1000; n += 1) assert.equal(table.get(key(n)), n === 7 ? 5000 : n <= 400 ? 0 : n);
    table.raise(key(1), 1);
    assert.equal(table.get(key(1)), 1);
    table.reserve(4999);
    assert.deepEqual([table.size, table.bytes, table.highest], [1, 64 * 24, 5000]);
    table.reserve(5000);
    assert.deepEqual([table.size, table.highest, table.get(key(7))], [0, 0, 0]);
  });

  test('holds the largest positions there are, and never lowers one', () => {
    const table = new PositionTable();
    const key = Uint32Array.of(1, 2, 3, 4);
    table.raise(key, LARGEST);
    table.raise(key, LARGEST - 1);
    assert.equal(table.get(key), LARGEST);
    assert.equal(table.size, 1);
  });

  test('keeps keys apart that begin alike, share a word, or lie at the edges', () => {
    const table = new PositionTable();
    const words = [0, 1, 2 ** 31, 2 ** 32 - 1];
    const keys = words.flatMap((a) => words.flatMap((b) => words.flatMap((c) => words.map((d) => [a, b, c, d]))));
    for (const [index, key] of keys.entries()) table.raise(Uint32Array.from(key), index + 1);
    assert.equal(table.size, keys.length);
    for (const [index, key] of keys.entries()) assert.equal(table.get(Uint32Array.from(key)), index + 1);
  });

  test(`does as a Map does, over ${ENTRIES} entries`, (t) => {
    t.diagnostic(`TEST_SEED=${SEED}`);
    const random = new Random(SEED);
    const table = new PositionTable();
    const map = new Map<string, number>();
    const keys: Uint32Array[] = [];
    while (map.size < ENTRIES) {
      const key = keys.length > 0 && random.chance(0.3) ? random.pick(keys) : randomKey(random);
      const position = 1 + Math.floor(random.next() * 2 ** random.pick([3, 31, 45, 52]));
      table.raise(key, position);
      const before = map.get(key.join());
      if (before === undefined) keys.push(key);
      map.set(key.join(), Math.max(before ?? 0, position));
    }
    assert.equal(table.size, map.size);
    for (const key of keys) assert.equal(table.get(key), map.get(key.join()));
    for (let n = 0; n < ENTRIES; n += 1) assert.equal(table.get(randomKey(random)), 0);
  });

  test('takes at most 40 bytes an entry once it is not small any more', () => {
    const random = new Random(1);
    const table = new PositionTable();
    let most = 0;
    for (let size = 1; size <= 2 * ENTRIES; size += 1) {
      table.raise(randomKey(random), size);
      if (size > 1000) most = Math.max(most, table.bytes / size);
    }
    assert.ok(most <= 49, `${most} bytes an entry just after it has grown`);
    assert.ok(table.bytes / table.size <= 49);
  });
});
