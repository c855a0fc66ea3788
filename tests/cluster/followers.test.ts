import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { FactStore, type NumberedFact } from '../../src/cluster/fact-store.ts';
import { givenNode, QUICK, sharedStores, upTo, Wire, write } from '../harness/cluster/nodes.ts';
import { until } from '../harness/durability/until.ts';
import { STORES } from '../harness/postgres.ts';

const STREAM = 'made-up/1';

for (const dialect of STORES) {
  describe(`followers on ${dialect}`, () => {
    const stores = sharedStores(dialect, 2);

    async function given(t: TestContext) {
      const wire = new Wire();
      const [db, other] = await stores();
      assert.ok(db && other);
      const start = (index: number, options = QUICK) => givenNode(t, index === 0 ? db : other, wire.carrier(), options);
      return { db, start };
    }

    const keeping = (into: NumberedFact[]) => async (facts: readonly NumberedFact[]) => void into.push(...facts);
    const placesOf = (facts: readonly NumberedFact[], stream: string): number[] =>
      facts.filter((fact) => fact.stream === stream).map(({ position }) => position);

    test('get every fact of all streams, also from before they were there, in an order that holds', async (t) => {
      const { start } = await given(t);
      const node = start(0);
      await write(node, STREAM, 5);
      const facts: NumberedFact[] = [];
      await node.follow('audit', keeping(facts));
      await Promise.all([write(node, STREAM, 200), write(node, 'made-up/2', 200)]);
      await until('all are there', () => facts.length >= 405);
      assert.deepEqual(placesOf(facts, STREAM), upTo(205));
      assert.deepEqual(placesOf(facts, 'made-up/2'), upTo(200));
      assert.deepEqual(
        facts.map(({ number }) => number),
        upTo(405),
      );
    });

    test('go on where they were after a restart', async (t) => {
      const { start } = await given(t);
      const facts: NumberedFact[] = [];
      for (const round of [1, 2]) {
        const node = start(0);
        await node.follow('audit', keeping(facts));
        await write(node, STREAM, 100);
        await until('all are there', () => facts.length >= 100 * round);
        await node.stop();
      }
      assert.deepEqual(placesOf(facts, STREAM), upTo(200));
    });

    test('one that fails is tried again from where it was, and is in nobody’s way', async (t) => {
      const { start } = await given(t);
      const node = start(0);
      const [good, bad]: [NumberedFact[], NumberedFact[]] = [[], []];
      let fails = 3;
      await node.follow('bad', async (facts) => {
        bad.push(...facts);
        if (fails-- > 0) throw new Error('no answer');
      });
      await node.follow('good', keeping(good));
      await node.outbox.write(STREAM, (_, append) => append({ kind: 'said', payload: '1' }));
      await until('both have it', () => good.length === 1 && bad.length === 4);
      await until('it is dealt with', () => fails < 0 && node.readings.factsWaiting().bad === 0);
      assert.deepEqual(placesOf(bad, STREAM), [1, 1, 1, 1]);
      assert.equal(node.notices.filter(({ level }) => level === 'warn').length, 3);
    });

    test('show how many facts wait, and keep them from being removed until they are read or forgotten', async (t) => {
      const { start } = await given(t);
      const node = start(0);
      const { promise: ready, resolve: goOn } = Promise.withResolvers<void>();
      await node.follow('slow', () => ready);
      await write(node, STREAM, 3);
      await until('it shows', () => node.readings.factsWaiting().slow === 3);
      const remove = () => node.removeOldFacts(AbortSignal.timeout(60_000), -60_000);
      assert.equal(await remove(), 0);
      goOn();
      await until('it shows', () => node.readings.factsWaiting().slow === 0);
      assert.equal(await node.removeOldFacts(AbortSignal.timeout(60_000)), 0, 'they are young');
      assert.equal(await remove(), 3);
      await node.stop();
      const other = start(0);
      await write(other, STREAM, 2);
      assert.equal(await remove(), 0);
      await other.forgetFollower('slow');
      assert.equal(await remove(), 2);
      assert.equal(await other.outbox.position(STREAM), 5);
    });

    test('run under a signal that is given when the node stops', async (t) => {
      const { start } = await given(t);
      const node = start(0);
      let [begun, ended] = [false, false];
      await node.follow('patient', async (_, signal) => {
        begun = true;
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        ended = true;
      });
      await write(node, STREAM, 1);
      await until('it runs', () => begun);
      await node.stop();
      assert.ok(ended);
    });

    test('one that does not heed the signal does not keep the node from stopping', async (t) => {
      const { start } = await given(t);
      const node = start(0, { ...QUICK, followers: { ...QUICK.followers, patienceMs: 20 } });
      let begun = false;
      await node.follow('stuck', () => {
        begun = true;
        return new Promise(() => undefined);
      });
      await write(node, STREAM, 1);
      await until('it runs', () => begun);
      await node.stop();
    });

    test('a transaction that commits late is not passed over', {
      skip: dialect === 'sqlite' && 'one writer',
    }, async (t) => {
      const { db, start } = await given(t);
      const [node, other] = [start(0), start(1)];
      const facts: NumberedFact[] = [];
      await other.follow('audit', keeping(facts));
      const { promise: late, resolve: commit } = Promise.withResolvers<void>();
      const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
      const store = new FactStore(db);
      const slow = db.writer.write(async (tx) => {
        await store.append(tx, 'made-up/late', [{ kind: 'said', payload: '1' }]);
        begin();
        await late;
      }, 'made-up/late');
      await begun;
      await write(node, STREAM, 10);
      await until('the others are there', () => facts.length === 10);
      commit();
      await slow;
      await until('it is there, too', () => facts.length === 11);
      assert.deepEqual(placesOf(facts, 'made-up/late'), [1]);
    });

    test('are taken by another node when theirs stops or dies', {
      skip: dialect === 'sqlite' && 'one process',
    }, async (t) => {
      const { db, start } = await given(t);
      const seen: string[] = [];
      const follow = async (index: number, name: string, options = QUICK) => {
        const node = start(index, options);
        await node.follow(
          'audit',
          async (facts) => void seen.push(...facts.map(({ position }) => `${name}${position}`)),
        );
        return node;
      };
      const a = await follow(0, 'a');
      const b = await follow(1, 'b');
      await write(a, STREAM, 2);
      await until('one has them', () => seen.length === 2);
      assert.deepEqual([a.readings.followersRunning(), b.readings.followersRunning()], [{ audit: 1 }, {}]);
      await a.stop();
      await write(b, STREAM, 1);
      await until('the other one has it', () => seen.length === 3);
      await b.stop();
      // One that died: its row says that it holds it, and it shows no sign of life.
      const store = new FactStore(db);
      await db.writer.write(async (tx) => {
        const { statement } = await import('../../src/storage/sql.ts');
        await tx.run(statement("update followers set holder = 'dead', term = term + 1"));
        await store.append(tx, STREAM, [{ kind: 'said', payload: '1' }]);
      });
      const c = await follow(0, 'c');
      assert.deepEqual(c.readings.followersRunning(), {}, 'not at once');
      await until('it has taken over', () => seen.length === 4);
      assert.deepEqual(seen, ['a1', 'a2', 'b3', 'c4']);
    });

    test('a node that cannot reach the store stops by itself', {
      skip: dialect === 'sqlite' && 'one process',
    }, async (t) => {
      const { db, start } = await given(t);
      const [a, b] = [start(0), start(1)];
      const seen: string[] = [];
      let cut = false;
      const { promise: repaired, resolve: repair } = Promise.withResolvers<void>();
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      const write = db.writer.write.bind(db.writer);
      t.mock.method(db.writer, 'write', (...args: Parameters<typeof write>) =>
        cut ? repaired.then(() => Promise.reject(new Error('no connection'))) : write(...args),
      );
      await a.follow('audit', async (facts, signal) => {
        seen.push(...facts.map(({ position }) => `a${position}`));
        cut = true;
        signal.addEventListener('abort', () => end());
        await ended;
      });
      await b.follow('audit', async (facts) => void seen.push(...facts.map(({ position }) => `b${position}`)));
      await b.outbox.write(STREAM, (_, append) => append({ kind: 'said', payload: '1' }));
      await ended;
      await until('the other one has it', () => seen.includes('b1'));
      repair();
      assert.deepEqual(seen, ['a1', 'b1']);
    });
  });
}
