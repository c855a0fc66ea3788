import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { Cluster } from '../../src/cluster/cluster.ts';
import { sql } from '../../src/storage/sql.ts';
import { BY_HAND, givenNode, QUICK, sharedStores, Wire } from '../harness/cluster/nodes.ts';
import { until } from '../harness/durability/until.ts';
import { STORES } from '../harness/postgres.ts';

const TOPIC = 'made-up/words';

for (const dialect of STORES) {
  describe(`topics on ${dialect}`, () => {
    const stores = sharedStores(dialect, 2);

    /** What a plane keeps of the rows: here the positions of streams are the rows. */
    class Kept {
      fails = false;
      readings = 0;
      rows = -1;
      readonly topic = TOPIC;
      readonly #read: () => Promise<number>;
      constructor(read: () => Promise<number>) {
        this.#read = read;
      }
      async reread(): Promise<void> {
        this.readings += 1;
        if (this.fails) throw new Error('cannot be read');
        this.rows = await this.#read();
      }
    }

    async function given(t: TestContext, options = BY_HAND) {
      const wire = new Wire();
      const [db, other] = await stores();
      assert.ok(db && other);
      const nodes = [givenNode(t, db, wire.carrier(), options), givenNode(t, other, wire.carrier(), options)] as const;
      const kept = [db, other].map(
        ({ rows }) =>
          new Kept(async () => (await rows.first<{ n: number }>(sql`select count(*) as n from followers`))?.n ?? 0),
      ) as [Kept, Kept];
      for (const [index, node] of nodes.entries()) await node.followTopic(kept[index] as Kept);
      const add = (node: Cluster, name: string): Promise<unknown> =>
        node.topics.write(TOPIC, (tx) =>
          tx.run(sql`insert into followers (name, number, term, beat, holder) values (${name}, 0, 0, 0, 'x')`),
        );
      return { wire, db, nodes, kept, add };
    }

    test('are read at first, at once where they are changed, and on the others by a hint', async (t) => {
      const { nodes, kept, add } = await given(t);
      assert.deepEqual([kept[0].rows, kept[1].rows], [0, 0]);
      await add(nodes[0], 'a');
      assert.equal(kept[0].rows, 1);
      await until('the other one has read', () => kept[1].rows === 1);
      await assert.rejects(add(nodes[0], 'a'));
      await nodes[1].sweep();
      assert.deepEqual([kept[0].readings, kept[1].readings], [2, 2]);
    });

    test('are read by the sweep where no hint came, and no more often than they change', async (t) => {
      const { wire, db, nodes, kept } = await given(t);
      await db.writer.write((tx) => nodes[0].topics.changed(tx, TOPIC));
      for (const _ of [1, 2, 3]) for (const node of nodes) await node.sweep();
      await until('both have read', () => kept.every(({ readings }) => readings === 2));
      for (const position of [1, 2, 999]) wire.invent(`["x",["topic/${TOPIC}",${position}]]`);
      for (const node of nodes) await node.sweep();
      assert.deepEqual([kept[0].readings, kept[1].readings], [2, 2]);
    });

    test('a reading that fails is tried again by itself, and the change is not undone', async (t) => {
      const { nodes, kept, add } = await given(t, QUICK);
      for (const one of kept) one.fails = true;
      await add(nodes[0], 'a');
      await until('both have tried more than once', () => kept.every(({ readings }) => readings > 2));
      assert.deepEqual([kept[0].rows, kept[1].rows], [0, 0]);
      await until('it shows', () => nodes.every(({ readings }) => readings.topicsFailing() <= 1));
      for (const one of kept) one.fails = false;
      await until('both have read', () => kept.every(({ rows }) => rows === 1));
      await until('it shows no more', () => nodes.every(({ readings }) => readings.topicsFailing() === 0));
      assert.ok(nodes.every(({ notices }) => notices.some(({ level }) => level === 'warn')));
    });

    test('a first reading that fails is told to who follows', async (t) => {
      const { nodes } = await given(t);
      const follower = { topic: 'made-up/other', reread: () => Promise.reject(new Error('cannot be read')) };
      for (const _ of [1, 2]) await assert.rejects(nodes[0].followTopic(follower), /cannot be read/);
    });
  });
}
