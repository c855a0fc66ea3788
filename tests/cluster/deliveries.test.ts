import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from '../../src/cluster/cluster.ts';
import { FactStore } from '../../src/cluster/fact-store.ts';
import {
  BY_HAND,
  givenNode,
  givenStores,
  Listening,
  QUICK,
  sharedStores,
  upTo,
  Wire,
  write,
} from '../harness/cluster/nodes.ts';
import { until } from '../harness/durability/until.ts';
import { STORES } from '../harness/postgres.ts';

const STREAM = 'made-up/1';

for (const dialect of STORES) {
  describe(`facts on ${dialect}`, () => {
    const stores = sharedStores(dialect, 2);

    async function given(t: TestContext, options = BY_HAND) {
      const wire = new Wire();
      const [db, other] = await stores();
      assert.ok(db && other);
      const one = givenNode(t, db, wire.carrier(), options);
      const two = givenNode(t, other, wire.carrier(), options);
      return { wire, db, one, two };
    }

    const heard = (listening: Listening, count: number): Promise<number> =>
      until(`${count} facts are heard`, () => listening.facts.length >= count);

    test('reach the sessions of this node and of another, in order, with what was written', async (t) => {
      const { one, two } = await given(t);
      const [here, there] = [new Listening(), new Listening()];
      one.watch(STREAM, 0, here);
      two.watch(STREAM, 0, there);
      await one.outbox.write(STREAM, async (_, append) => {
        await append({ kind: 'first', payload: '{"a":"ü\\u0000"}' });
        await append({ kind: 'second', payload: '2' }, { kind: 'third', payload: '3' });
      });
      await Promise.all([heard(here, 3), heard(there, 3)]);
      assert.deepEqual(here.facts, there.facts);
      assert.deepEqual(
        here.facts.map(({ stream, position, kind, payload }) => [stream, position, kind, payload]),
        [
          [STREAM, 1, 'first', '{"a":"ü\\u0000"}'],
          [STREAM, 2, 'second', '2'],
          [STREAM, 3, 'third', '3'],
        ],
      );
    });

    test('are there with the change or not at all, and leave no gap', async (t) => {
      const { one } = await given(t);
      const failing = one.outbox.write(STREAM, async (_, append) => {
        await append({ kind: 'said', payload: '1' });
        throw new Error('changed my mind');
      });
      await assert.rejects(failing, /changed my mind/);
      assert.equal(await one.outbox.position(STREAM), 0);
      const writes = upTo(300).map((index) =>
        one.outbox.write(STREAM, async (_, append) => {
          const [fact] = await append({ kind: 'said', payload: String(index) });
          if (index % 3 === 0) throw new Error('no');
          return fact?.position;
        }),
      );
      const settled = await Promise.allSettled(writes);
      const positions = settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
      assert.deepEqual(positions, upTo(200));
    });

    test('come from a position on, however many there are', async (t) => {
      const { one, two } = await given(t);
      await one.outbox.write(STREAM, (_, append) => append(...upTo(500).map((n) => ({ kind: 'n', payload: `${n}` }))));
      const listening = new Listening();
      const watch = two.watch(STREAM, 123, listening);
      await heard(listening, 377);
      assert.deepEqual(listening.positions, upTo(500).slice(123));
      assert.equal(watch.position, 500);
      await write(one, STREAM, 2);
      await heard(listening, 379);
      watch.stop();
      await write(one, STREAM, 1);
      await two.sweep();
      assert.equal(listening.facts.length, 379);
    });

    test('that no hint tells of come with the next sweep', async (t) => {
      const { db, one } = await given(t);
      const listening = new Listening();
      one.watch(STREAM, 0, listening);
      one.watch('made-up/2', 0, new Listening());
      const store = new FactStore(db);
      await db.writer.write((tx) => store.append(tx, STREAM, [{ kind: 'said', payload: '1' }]));
      await one.sweep();
      await heard(listening, 1);
    });

    test('come by the timer, too', async (t) => {
      const { db, one } = await given(t, QUICK);
      const listening = new Listening();
      one.watch(STREAM, 0, listening);
      const store = new FactStore(db);
      await db.writer.write((tx) => store.append(tx, STREAM, [{ kind: 'said', payload: '1' }]));
      await heard(listening, 1);
    });

    test('are not believed in because of a hint', async (t) => {
      const { wire, one } = await given(t);
      const listening = new Listening();
      one.watch(STREAM, 0, listening);
      const texts = [
        `["x",["${STREAM}",1],["${STREAM}",9007199254740991],["made-up/9",5]]`,
        `["x",["${STREAM}",-1],["${STREAM}",1.5],[[],1],null,["${STREAM}"],["__proto__",7]]`,
        'no JSON',
        '{}',
        '[]',
        'null',
        `["x",["${STREAM}",1]]`.padEnd(9000),
      ];
      for (const text of texts) wire.invent(text);
      await write(one, STREAM, 3);
      for (const text of texts) wire.invent(text);
      await heard(listening, 3);
      await one.sweep();
      assert.deepEqual(listening.positions, [1, 2, 3]);
      assert.deepEqual(listening.ends, []);
    });

    test('a session that throws ends, one that is slow waits, and neither is in the way of others', async (t) => {
      const { one } = await given(t);
      const good = new Listening();
      const throwing = Object.assign(new Listening(), {
        onFacts: () => {
          throw new Error('broken');
        },
        onEnd(this: Listening, end: never) {
          this.ends.push(end);
          throw new Error('broken, too');
        },
      });
      const rejecting = Object.assign(new Listening(), { onFacts: () => Promise.reject(new Error('broken')) });
      const { promise: ready, resolve: goOn } = Promise.withResolvers<void>();
      let calls = 0;
      const slow = Object.assign(new Listening(), {
        async onFacts(this: Listening, facts: Listening['facts']) {
          calls += 1;
          await ready;
          this.facts.push(...facts);
        },
      });
      for (const listening of [throwing, slow, rejecting, good]) one.watch(STREAM, 0, listening);
      await write(one, STREAM, 200);
      await heard(good, 200);
      assert.deepEqual(
        [throwing, rejecting].map(({ ends }) => ends.map(({ because }) => because)),
        [['failed'], ['failed']],
      );
      assert.deepEqual([calls, slow.facts.length], [1, 0]);
      goOn();
      await heard(slow, 200);
      assert.deepEqual(slow.positions, upTo(200));
    });

    test('that are gone end a session, so that it begins anew', async (t) => {
      const { one } = await given(t);
      await write(one, STREAM, 3);
      const ahead = new Listening();
      one.watch(STREAM, 9, ahead);
      await until('it ends', () => ahead.ends.length > 0);
      assert.equal(await one.removeOldFacts(AbortSignal.timeout(60_000), -60_000), 3);
      const behind = new Listening();
      one.watch(STREAM, 1, behind);
      await until('it ends', () => behind.ends.length > 0);
      assert.deepEqual([...ahead.ends, ...behind.ends], [{ because: 'gone' }, { because: 'gone' }]);
      const current = new Listening();
      one.watch(STREAM, 3, current);
      await write(one, STREAM, 1);
      await heard(current, 1);
      assert.deepEqual(current.positions, [4]);
    });

    test('whispers go to all who watch, and only small ones go further', async (t) => {
      const { one, two } = await given(t);
      const [here, there, elsewhere] = [new Listening(), new Listening(), new Listening()];
      one.watch(STREAM, 0, here);
      two.watch(STREAM, 0, there);
      two.watch('made-up/2', 0, elsewhere);
      one.whisper(STREAM, 'typing');
      one.whisper(STREAM, '\u0001'.repeat(500));
      await until('it is heard', () => there.whispers.length > 0);
      assert.deepEqual([here.whispers.length, there.whispers, elsewhere.whispers], [2, ['typing'], []]);
    });

    test('what cannot be a fact is refused', async (t) => {
      const { one } = await given(t);
      const fact = { kind: 'said', payload: '1' };
      for (const stream of ['', 'a b', 'ü', '"', 'topic/x', 'x'.repeat(201)])
        await assert.rejects(
          one.outbox.write(stream, (_, append) => append(fact)),
          RangeError,
        );
      const large = { kind: 'said', payload: 'x'.repeat(65_537) };
      for (const facts of [[], [{ kind: '', payload: '1' }], [large], Array(1001).fill(fact)])
        await assert.rejects(
          one.outbox.write(STREAM, (_, append) => append(...facts)),
          RangeError,
        );
    });
  });
}

test('sessions go on by themselves after a failure of the store', async (t) => {
  const wire = new Wire();
  const [db] = await givenStores(t, 'sqlite', 1);
  assert.ok(db);
  let fails = false;
  const failing = {
    ...db,
    rows: {
      ...db.rows,
      all: async <Row>(query: Parameters<typeof db.rows.all>[0]): Promise<Row[]> => {
        if (fails) throw new Error('no connection');
        return db.rows.all<Row>(query);
      },
    },
  };
  const node: Cluster = givenNode(t, failing, wire.carrier(), QUICK);
  const listening = new Listening();
  node.watch(STREAM, 0, listening);
  const store = new FactStore(db);
  fails = true;
  for (const n of upTo(3))
    await db.writer.write((tx) => store.append(tx, STREAM, [{ kind: 'said', payload: String(n) }]));
  wire.invent(`["x",["${STREAM}",3]]`);
  await until('sweeps fail', () => node.readings.sweepFailures() > 1);
  assert.equal(listening.facts.length, 0);
  fails = false;
  await until('all are heard', () => listening.facts.length === 3);
  assert.deepEqual([listening.positions, listening.ends], [[1, 2, 3], []]);
});

test('nothing is read, written, connected or timed before somebody uses it', async (t) => {
  const [db] = await givenStores(t, 'sqlite', 1);
  assert.ok(db);
  const touched: string[] = [];
  const noting = (name: string) => new Proxy({}, { get: (_, member) => touched.push(`${name}.${String(member)}`) });
  const carrier = noting('carrier') as ReturnType<Wire['carrier']>;
  const node = givenNode(t, { ...db, rows: noting('rows'), writer: noting('writer') } as typeof db, carrier);
  await sleep(20);
  await node.stop();
  assert.deepEqual(touched, []);
});
