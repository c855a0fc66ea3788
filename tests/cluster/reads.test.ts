import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Deliveries } from '../../src/cluster/deliveries.ts';
import type { Fact } from '../../src/cluster/fact.ts';
import type { Page } from '../../src/cluster/fact-store.ts';
import type { PositionListener } from '../../src/cluster/positions.ts';
import { RecentFacts } from '../../src/cluster/recent-facts.ts';
import { Listening, upTo } from '../harness/cluster/nodes.ts';

const STREAM = 'made-up/1';

const fact = (position: number, stream = STREAM): Fact => ({
  stream,
  position,
  at: 0,
  kind: 'n',
  payload: `${position}`,
});
const factsTo = (last: number, after = 0): Fact[] => upTo(last - after).map((n) => fact(after + n));

/** Deliveries from a store that answers when it is told to, with what is in it when the reading began. */
function given() {
  const state = { head: 0, reads: [] as (() => void)[], begun: 0 };
  const listeners: PositionListener[] = [];
  const store = {
    async page(_: string, after: number): Promise<Page> {
      state.begun += 1;
      const page = { head: state.head, facts: factsTo(state.head, Math.min(after, state.head)).slice(0, 64) };
      await new Promise<void>((resolve) => state.reads.push(resolve));
      return page;
    },
  };
  const positions = {
    listen: (_: string, listener: PositionListener) => {
      listeners.push(listener);
      return () => undefined;
    },
  };
  const deliveries = new Deliveries({ store, positions });
  const answer = async (): Promise<void> => {
    state.reads.shift()?.();
    for (const _ of [1, 2, 3]) await turn();
  };
  const hint = (position: number): void => {
    for (const listener of listeners) listener(position, false);
  };
  return { state, deliveries, answer, hint };
}

describe('reads for sessions', () => {
  test('are shared by all who are at the same place', async () => {
    const { state, deliveries, answer } = given();
    state.head = 3;
    const sessions = upTo(50).map(() => new Listening());
    for (const session of sessions) deliveries.watch(STREAM, 0, session);
    await answer();
    assert.ok(sessions.every(({ facts }) => facts.length === 3));
    assert.equal(state.begun, 2, 'the second one finds nothing more');
  });

  test('that began before a hint are not enough for it', async () => {
    const { state, deliveries, answer, hint } = given();
    const [one, other] = [new Listening(), new Listening()];
    deliveries.watch(STREAM, 0, one); // reads, and finds nothing
    state.head = 1;
    hint(1);
    deliveries.watch(STREAM, 0, other);
    await answer();
    assert.deepEqual([one.positions, other.positions], [[], []]);
    await answer();
    assert.deepEqual([one.positions, other.positions], [[1], [1]]);
  });

  test('are not needed for what this node has committed', async () => {
    const { state, deliveries, answer, hint } = given();
    const session = new Listening();
    deliveries.watch(STREAM, 0, session);
    await answer();
    state.head = 2;
    deliveries.add(factsTo(2));
    hint(2);
    await turn();
    assert.deepEqual([session.positions, state.begun], [[1, 2], 2]);
  });

  test('of a session that ended meanwhile are thrown away', async () => {
    const { state, deliveries, answer } = given();
    state.head = 2;
    const session = new Listening();
    const watch = deliveries.watch(STREAM, 0, session);
    assert.equal(deliveries.watches, 1);
    watch.stop();
    watch.stop();
    await answer();
    assert.deepEqual([session.positions, session.ends, deliveries.watches], [[], [], 0]);
  });

  test('bring a page at a time to a session, however slow it is', async () => {
    const { state, deliveries, answer, hint } = given();
    state.head = 1000;
    const sizes: number[] = [];
    const ready: (() => void)[] = [];
    const onFacts = (facts: readonly Fact[]) => {
      sizes.push(facts.length);
      return new Promise<void>((resolve) => ready.push(resolve));
    };
    deliveries.watch(STREAM, 0, { onFacts, onEnd: () => assert.fail() });
    await answer();
    for (const n of upTo(100)) hint(1000 + n);
    await turn();
    assert.deepEqual([sizes, state.begun], [[64], 1]);
    ready.shift()?.();
    await turn();
    await answer();
    assert.deepEqual(sizes, [64, 64]);
  });
});

describe('recent facts', () => {
  test('are a run without a gap, the newest', () => {
    const recent = new RecentFacts(1e6);
    recent.add(factsTo(3));
    recent.add(factsTo(5, 1));
    assert.deepEqual(recent.after(STREAM, 0), factsTo(5));
    assert.deepEqual(recent.after(STREAM, 4), factsTo(5, 4));
    assert.equal(recent.after(STREAM, 5), undefined);
    recent.add(factsTo(9, 7));
    assert.deepEqual([recent.after(STREAM, 4), recent.after(STREAM, 7)], [undefined, factsTo(9, 7)]);
    recent.add(factsTo(5)); // older ones, which somebody slow has read
    assert.deepEqual(recent.after(STREAM, 7), factsTo(9, 7));
    recent.add([]);
    recent.forget(STREAM);
    assert.equal(recent.after(STREAM, 7), undefined);
  });

  test('are few, of one stream and of all', () => {
    const recent = new RecentFacts(100_000);
    recent.add(factsTo(200));
    assert.equal(recent.after(STREAM, 100), undefined);
    assert.equal(recent.after(STREAM, 136)?.length, 64);
    for (const n of upTo(2000)) recent.add([fact(1, `made-up/${n + 1}`)]);
    assert.equal(recent.after(STREAM, 136), undefined);
    const kept = upTo(2000).filter((n) => recent.after(`made-up/${n + 1}`, 0));
    assert.ok(kept.length > 600 && kept.length < 1400, `${kept.length}`);
  });
});
