import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { RevocationStore } from '../../src/revocation/revocation-store.ts';
import { givenStore } from '../harness/given-store.ts';
import { STORES } from '../harness/postgres.ts';

const FIRST = { seq: 1, config: 1 };

for (const dialect of STORES) {
  describe(`the rows of nodes on ${dialect}`, () => {
    test('a node is forgotten only while the heartbeat that was seen is its last one', async (t) => {
      const db = await givenStore(t, dialect);
      const store = new RevocationStore(db);
      await db.writer.write((tx) => store.ensureHead(tx, 1));
      await store.heartbeat('some', FIRST);
      const [seen] = await store.nodes();
      assert.ok(seen);
      await sleep(5); // times are whole milliseconds
      await store.heartbeat('some', FIRST);
      await store.forgetNode('some', seen.beat);
      assert.deepEqual(
        (await store.nodes()).map(({ id }) => id),
        ['some'],
      );
      const [last] = await store.nodes();
      await store.forgetNode('some', last?.beat);
      assert.deepEqual(await store.nodes(), []);
    });

    test('a node that stops is forgotten whatever its last heartbeat, and no other', async (t) => {
      const db = await givenStore(t, dialect);
      const store = new RevocationStore(db);
      await db.writer.write((tx) => store.ensureHead(tx, 1));
      for (const id of ['one', 'other']) await store.heartbeat(id, FIRST);
      await store.forgetNode('one');
      assert.deepEqual(
        (await store.nodes()).map(({ id }) => id),
        ['other'],
      );
    });

    test('a node is behind while either of what it follows is', async (t) => {
      const db = await givenStore(t, dialect);
      const store = new RevocationStore(db);
      await db.writer.write((tx) => store.ensureHead(tx, 1));
      await store.heartbeat('asking', FIRST);
      await store.heartbeat('other', { seq: 5, config: 3 });
      for (const [seq, config, behind] of [
        [5, 3, 0],
        [6, 3, 1],
        [5, 4, 1],
        [5, 0, 0],
      ] as const)
        assert.equal(await store.nodesBehind({ seq, config }, 'asking'), behind, `${seq} ${config}`);
      await store.heartbeat('other', { seq: 6, config: 4 });
      assert.equal(await store.nodesBehind({ seq: 6, config: 4 }, 'asking'), 0);
    });
  });
}
