import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { IdentityId, ResourceId } from '../../src/callers.ts';
import { Bounds } from '../../src/revocation/bounds.ts';
import { type RevocableToken, revocable } from '../../src/revocation/event.ts';
import { RevocationState } from '../../src/revocation/revocation-state.ts';

const [HERE, THERE] = ['one', 'two'] as ResourceId[] as [ResourceId, ResourceId];
const MANY_BYTES = 2 ** 28;
/** Of a new table. */
const TABLE_BYTES = 64 * 24;
/** Identities that it takes before it grows. */
const TABLE_SIZE = 54;
/** So much memory that one table of this size fits, and a byte more does not; a growing one takes 9 / 4. */
const roomFor = (bytes: number): number => (bytes * 9) / 4;

const identity = (n: number): IdentityId => `8:acs:${n}` as IdentityId;

const issued = (issuedAtSeconds: number, n = 1, resourceId = HERE): RevocableToken =>
  revocable({
    resourceId,
    identityId: identity(n),
    keySlot: 'primary',
    trustId: undefined,
    assignmentId: undefined,
    kid: 'K',
    position: 0,
    issuedAtSeconds,
  });

const raise = (bounds: Bounds, seconds: number, n = 1, resourceId = HERE, outlived = 0): boolean =>
  bounds.raise(resourceId, issued(0, n, resourceId).fingerprint, seconds, outlived);

describe('bounds on the instant of issue', () => {
  test('concern what was issued before, of their identity and resource', () => {
    const bounds = new Bounds(0, MANY_BYTES);
    assert.ok(!bounds.mayEnd(issued(0)));
    assert.ok(raise(bounds, 100));
    assert.deepEqual(
      [0, 99, 100, 101].map((seconds) => bounds.mayEnd(issued(seconds))),
      [true, true, false, false],
    );
    assert.ok(!bounds.mayEnd(issued(0, 2)));
    assert.ok(!bounds.mayEnd(issued(0, 1, THERE)));
    assert.deepEqual([bounds.size, bounds.bytes], [1, TABLE_BYTES]);
  });

  test('are never lowered', () => {
    const bounds = new Bounds(0, MANY_BYTES);
    raise(bounds, 100);
    assert.ok(raise(bounds, 50));
    assert.ok(bounds.mayEnd(issued(99)));
    assert.ok(raise(bounds, 200));
    assert.ok(bounds.mayEnd(issued(199)));
    assert.ok(!bounds.mayEnd(issued(200)));
    assert.equal(bounds.size, 1);
  });

  test('make a table grow when it is full, and not before', () => {
    const bounds = new Bounds(0, MANY_BYTES);
    for (let n = 1; n <= TABLE_SIZE; n += 1) raise(bounds, 100, n);
    assert.equal(bounds.bytes, TABLE_BYTES);
    for (let n = 1; n <= TABLE_SIZE + 2; n += 1) raise(bounds, 101, n);
    assert.deepEqual([bounds.size, bounds.bytes], [TABLE_SIZE + 2, 80 * 24]);
  });

  test('from before 1970 concern nobody', () => {
    const bounds = new Bounds(0, MANY_BYTES);
    assert.ok(!raise(bounds, 0));
    assert.ok(!raise(bounds, -1));
    assert.equal(bounds.size, 0);
    assert.ok(!bounds.mayEnd(issued(0)));
  });

  test('up to the floor are left to the rows, with every token from before it', () => {
    const bounds = new Bounds(100, MANY_BYTES);
    assert.ok(!raise(bounds, 99));
    assert.ok(!raise(bounds, 100));
    assert.equal(bounds.size, 0);
    for (const resourceId of [HERE, THERE]) {
      assert.ok(bounds.mayEnd(issued(99, 1, resourceId)));
      assert.ok(!bounds.mayEnd(issued(100, 1, resourceId)));
    }
    assert.ok(raise(bounds, 101));
    assert.equal(bounds.size, 1);
    assert.ok(bounds.mayEnd(issued(100)));
    assert.ok(!bounds.mayEnd(issued(100, 2)));
  });

  test('that no living token can meet are left to the rows', () => {
    const bounds = new Bounds(10, MANY_BYTES);
    assert.ok(!raise(bounds, 50, 1, HERE, 50));
    assert.equal(bounds.size, 0);
    assert.ok(!raise(bounds, 40, 1, HERE, 50), 'which lowers no floor');
    assert.ok(bounds.mayEnd(issued(49, 2)));
    assert.ok(!bounds.mayEnd(issued(50, 2)));
    assert.ok(!bounds.mayEnd(issued(49, 2, THERE)), 'the floor of another resource stays');
    assert.ok(bounds.mayEnd(issued(9, 2, THERE)));
    assert.ok(raise(bounds, 51, 1, HERE, 50));
    assert.equal(bounds.size, 1);
  });

  test('that no living token can meet any more go before a table grows', () => {
    const bounds = new Bounds(0, MANY_BYTES);
    for (let n = 1; n <= TABLE_SIZE; n += 1) raise(bounds, n <= 30 ? 100 : 101, n);
    raise(bounds, 1000, 1, THERE);
    assert.equal(bounds.size, TABLE_SIZE + 1);
    assert.ok(raise(bounds, 200, TABLE_SIZE + 1, HERE, 100));
    assert.deepEqual([bounds.size, bounds.bytes], [TABLE_SIZE + 1 - 30 + 1, 2 * TABLE_BYTES]);
    for (let n = 1; n <= TABLE_SIZE; n += 1) {
      assert.ok(bounds.mayEnd(issued(99, n)), 'by the floor');
      assert.equal(bounds.mayEnd(issued(100, n)), n > 30);
    }
    assert.ok(!bounds.mayEnd(issued(99, 2, THERE)));
  });

  test('of the resource that has the most go when there is no more room, and those of others stay', () => {
    const bounds = new Bounds(0, roomFor(4 * TABLE_BYTES));
    for (let n = 1; n <= 10; n += 1) raise(bounds, 5000, n, THERE);
    for (let n = 1; n < 1000; n += 1) {
      const isKept = raise(bounds, 1000 + n, n);
      assert.ok(bounds.bytes <= 4 * TABLE_BYTES);
      if (isKept) continue;
      assert.equal(bounds.bytes, TABLE_BYTES);
      assert.ok(bounds.mayEnd(issued(999 + n, 1)), 'the highest of all that went');
      assert.ok(!bounds.mayEnd(issued(1000 + n, 1)));
      assert.ok(!raise(bounds, 1000 + n, 2000));
      assert.ok(raise(bounds, 1001 + n, 2000), 'a later one is remembered');
      for (let other = 1; other <= 11; other += 1) assert.equal(bounds.mayEnd(issued(4999, other, THERE)), other < 11);
      return;
    }
    assert.fail('there was room for all');
  });

  test('leave a quarter of the room free when some had to go', () => {
    const bounds = new Bounds(0, roomFor(8 * TABLE_BYTES));
    const resources = Array.from({ length: 9 }, (_, index) => `resource ${index}` as ResourceId);
    for (const resourceId of resources.slice(0, 8)) assert.ok(raise(bounds, 100, 1, resourceId));
    assert.equal(bounds.bytes, 8 * TABLE_BYTES);
    raise(bounds, 100, 1, resources[8]);
    assert.equal(bounds.bytes, 6 * TABLE_BYTES);
    for (const resourceId of resources) {
      assert.ok(bounds.mayEnd(issued(99, 1, resourceId)));
      assert.ok(!bounds.mayEnd(issued(100, 1, resourceId)));
    }
  });

  test('are all left to the rows where there is no room at all', () => {
    const bounds = new Bounds(0, 0);
    assert.ok(!raise(bounds, 100));
    assert.deepEqual([bounds.size, bounds.bytes], [0, 0]);
    assert.ok(bounds.mayEnd(issued(99, 2)));
    assert.ok(!bounds.mayEnd(issued(100)));
  });

  test('of a resource that is gone take no memory', () => {
    const bounds = new Bounds(0, MANY_BYTES);
    raise(bounds, 50, 1, HERE, 50);
    raise(bounds, 100);
    raise(bounds, 100, 1, THERE);
    for (const gone of [HERE, 'never seen' as ResourceId]) bounds.forget(gone);
    assert.deepEqual([bounds.size, bounds.bytes], [1, TABLE_BYTES]);
    assert.ok(!bounds.mayEnd(issued(49)));
    assert.ok(bounds.mayEnd(issued(49, 1, THERE)));
  });
});

describe('what a node leaves to the rows', () => {
  const WINDOW_MS = 100_000;
  const NOW_MS = 1_000_999;
  /** `NOW_MS − WINDOW_MS` in whole seconds. */
  const OUTLIVED = 900;
  const given = (mostBytes = MANY_BYTES) => new RevocationState(10, NOW_MS, WINDOW_MS, mostBytes);
  const bound = (validFromMs: number) => ({ resourceId: HERE, identityId: identity(1), validFromMs });
  const asks = (state: RevocationState, position: number, seconds: number, n = 1) =>
    state.needsRows({ ...issued(seconds, n), position });

  test('is every token from below the floor, and none from the floor itself', () => {
    const state = given();
    assert.equal(state.floor, 10);
    assert.deepEqual(
      [9, 10, 11].map((position) => asks(state, position, 1000)),
      [true, false, false],
    );
  });

  test('is every token from before the last window, and none from its first second', () => {
    const state = given();
    assert.equal(state.boundsFloorMs, OUTLIVED * 1000);
    assert.ok(asks(state, 10, OUTLIVED - 1));
    assert.ok(!asks(state, 10, OUTLIVED));
  });

  test('is every token from before a bound, which lets the very instant pass', () => {
    const state = given();
    state.apply({ kind: 'validFrom', seq: 11, ...bound(950_000) }, NOW_MS);
    assert.equal(state.verdict(issued(949)), undefined);
    assert.deepEqual(
      [949, 950].map((seconds) => asks(state, 11, seconds)),
      [true, false],
    );
    assert.ok(!asks(state, 11, 949, 2));
    state.apply({ kind: 'validFrom', seq: 12, ...bound(950_001) }, NOW_MS);
    assert.deepEqual(
      [950, 951].map((seconds) => asks(state, 12, seconds)),
      [true, false],
    );
    assert.equal(state.size, 1);
  });

  test('is what a bound from before may end, which says whether it is in memory', () => {
    const state = given();
    assert.ok(!state.recall(bound(OUTLIVED * 1000), NOW_MS));
    assert.ok(state.recall(bound(OUTLIVED * 1000 + 1), NOW_MS));
    assert.equal(state.applied, 10);
    assert.ok(asks(state, 10, OUTLIVED));
    assert.ok(!asks(state, 10, OUTLIVED + 1));
    assert.ok(!state.recall(bound(1_000_000), NOW_MS + WINDOW_MS), 'by then it is too old');
    assert.ok(!given(0).recall(bound(1_000_000), NOW_MS));
  });

  test('is not what bounds of a deleted resource were about: the resource ends its tokens', () => {
    const state = given();
    state.apply({ kind: 'validFrom', seq: 11, ...bound(950_000) }, NOW_MS);
    state.apply({ kind: 'resource', resourceId: HERE, seq: 12 }, NOW_MS);
    assert.equal(state.size, 0);
    assert.deepEqual(state.verdict({ ...issued(949), position: 11 }), { kind: 'resource', seq: 12 });
  });

  test('is nothing more where the window began before 1970', () => {
    const state = new RevocationState(10, 0, WINDOW_MS, MANY_BYTES);
    assert.equal(state.boundsFloorMs, 0);
    assert.ok(!asks(state, 10, 0));
    assert.ok(state.recall(bound(1), 0));
    assert.ok(!state.recall(bound(-1000), 0));
  });

  test('is, of bounds, an eighth of the memory', () => {
    // Two tables of bounds do not fit into 9 / 4 of one, one does.
    const fits = given(8 * roomFor(TABLE_BYTES));
    assert.ok(fits.recall(bound(950_000), NOW_MS));
    assert.ok(!given(8 * roomFor(TABLE_BYTES) - 8).recall(bound(950_000), NOW_MS));
  });
});
