import assert from 'node:assert/strict';
import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { describe, type TestContext, test } from 'node:test';
import { DataKeyStore } from '../../src/secrets/data-key-store.ts';
import { type Place, unseal } from '../../src/secrets/envelope.ts';
import { kekId } from '../../src/secrets/kek.ts';
import { KeyRing, newDataKey } from '../../src/secrets/key-ring.ts';
import { KeyRotation } from '../../src/secrets/key-rotation.ts';
import { SettingsError } from '../../src/settings.ts';
import type { Database } from '../../src/storage/database.ts';
import { MetaStore } from '../../src/storage/meta-store.ts';
import { type Sql, sql } from '../../src/storage/sql.ts';
import { givenStore } from '../harness/given-store.ts';
import { STORES } from '../harness/postgres.ts';
import { type Line, TestClock } from '../harness/server.ts';

const DAY_MS = 24 * 3_600_000;
const newKek = () => createSecretKey(randomBytes(32));
const place = (slot: string): Place => ({ table: 'access_keys', column: 'sealed', row: `r ${slot}`, version: 1 });
const SECRETS = new Map(['primary', 'secondary'].map((slot) => [slot, randomBytes(64)]));

/** A node: a ring and its care, with the key-encryption keys it is given. */
interface Node {
  ring: KeyRing;
  rotation: KeyRotation;
  keks: KeyObject[];
  lines: Omit<Line, 'facts'>[];
}

interface Given {
  db: Database;
  clock: TestClock;
  kek: KeyObject;
  node(...keks: KeyObject[]): Promise<Node>;
  /** How many data keys and values there are. */
  rows(query: Sql): Promise<Record<string, unknown>[]>;
  /** Every secret opens, read from the rows by a ring that starts now. */
  assertReadable(...keks: KeyObject[]): Promise<void>;
}

/** A store with one data key that has sealed two access keys. */
async function given(t: TestContext, store: Database['dialect']): Promise<Given> {
  const db = await givenStore(t, store);
  const clock = new TestClock(Date.parse('2026-06-01'));
  const kek = newKek();
  await db.rows.run(sql`insert into head (id, seq, config) values (1, 1, 1)`);
  await db.rows.run(
    sql`insert into resources (id, name, location, region, created_at, keys_disabled) values ('r', 'r', '', '', 0, 0)`,
  );
  const node = async (...keks: KeyObject[]): Promise<Node> => {
    const own: KeyObject[] = [...keks];
    const lines: Node['lines'] = [];
    const readKeks = async () => [...own];
    const ring = await KeyRing.open({ db, clock, readKeks });
    const rotation = new KeyRotation({
      db,
      ring,
      readKeks,
      clock,
      change: (work) =>
        db.writer.write(async (tx) => {
          await tx.run(sql`update head set config = config + 1`);
          return work(tx);
        }),
      events: { notice: (level, message) => lines.push({ level, message }) },
    });
    return { ring, rotation, keks: own, lines };
  };
  const { ring, rotation } = await node(kek);
  for (const [slot, secret] of SECRETS)
    await db.rows.run(sql`
      insert into access_keys (resource_id, slot, version, sealed, changed_seq, created_at)
      values ('r', ${slot}, 1, ${ring.seal(secret, place(slot))}, 1, 0)`);
  await rotation.stop();
  return {
    db,
    clock,
    kek,
    node,
    rows: (query) => db.rows.all(query),
    async assertReadable(...keks) {
      const { ring: fresh } = await node(...keks);
      const rows = await db.rows.all<{ slot: string; sealed: string }>(sql`select slot, sealed from access_keys`);
      assert.equal(rows.length, SECRETS.size);
      for (const { slot, sealed } of rows) assert.deepEqual(fresh.unseal(sealed, place(slot)), SECRETS.get(slot));
    },
  };
}

for (const store of STORES) {
  describe(`the data key on ${store}`, () => {
    test('is followed by another after 90 days, which takes over the values; a day later the former goes', async (t) => {
      const { clock, kek, node, assertReadable } = await given(t, store);
      const { ring, rotation, lines } = await node(kek);
      const first = ring.current;
      clock.advance(90 * DAY_MS - 1);
      await rotation.maintain();
      assert.equal(ring.current, first);
      clock.advance(1);
      await rotation.maintain();
      assert.notEqual(ring.current, first);
      const [former, current] = await rotation.show();
      assert.deepEqual([former?.id, former?.state, former?.values, former?.encryptions], [first, 'former', 0, 2]);
      assert.deepEqual([current?.id, current?.state, current?.values], [ring.current, 'current', 2]);
      assert.equal(current?.createdAtMs, clock.now());
      await assertReadable(kek);

      clock.advance(DAY_MS - 1);
      await rotation.maintain();
      assert.equal((await rotation.show()).length, 2, 'a node that was held up may still seal with it');
      clock.advance(1);
      await rotation.maintain();
      const left = await rotation.show();
      assert.deepEqual(
        left.map(({ id, encryptions }) => [id, encryptions]),
        [[ring.current, 2]],
      );
      await assertReadable(kek);
      assert.deepEqual(lines, [
        { level: 'info', message: 'data key made' },
        { level: 'info', message: 'values encrypted with the current data key' },
        { level: 'info', message: 'data key removed' },
      ]);
    });

    test('is followed by another after 2^30 encryptions, whichever node made them', async (t) => {
      const { db, kek, node } = await given(t, store);
      const [one, other] = [await node(kek), await node(kek)];
      const first = one.ring.current;
      await db.rows.run(sql`update data_keys set encryptions = ${2 ** 30 - 3}`);
      one.ring.seal(Buffer.from('x'), place('primary'));
      other.ring.seal(Buffer.from('x'), place('primary'));
      await one.rotation.maintain();
      await other.rotation.maintain();
      assert.equal(one.ring.current, first, 'one short of it');
      other.ring.seal(Buffer.from('x'), place('primary'));
      await other.rotation.maintain();
      await one.rotation.maintain();
      assert.notEqual(one.ring.current, first);
      assert.equal(one.ring.current, other.ring.current);
    });

    test('is replaced once by nodes that find it due at the same time, and at once by the node that is asked', async (t) => {
      const { clock, kek, node, assertReadable } = await given(t, store);
      const nodes = await Promise.all(Array.from({ length: 4 }, () => node(kek)));
      clock.advance(91 * DAY_MS);
      await Promise.all(nodes.map(({ rotation }) => rotation.maintain()));
      assert.equal((await nodes[0]?.rotation.show())?.length, 2);
      const current = await nodes[1]?.rotation.rotateDataKey();
      await nodes[1]?.rotation.maintain();
      const infos = await nodes[1]?.rotation.show();
      assert.deepEqual(
        infos?.map(({ values }) => values),
        [0, 0, 2],
      );
      assert.equal(infos?.at(-1)?.id, current);
      await assertReadable(kek);
    });

    test('seals as the newest even when a clock is behind', async (t) => {
      const { clock, kek, node } = await given(t, store);
      const { ring, rotation } = await node(kek);
      clock.advance(-30 * DAY_MS);
      const made = await rotation.rotateDataKey();
      await rotation.maintain();
      assert.equal(ring.current, made);
      assert.equal((await rotation.show()).at(-1)?.id, made);
    });

    test('stays while a value that does not open names it; that one is reported, the others move', async (t) => {
      const { db, clock, kek, node } = await given(t, store);
      const { ring, rotation, lines } = await node(kek);
      const damaged = ring.seal(randomBytes(64), { ...place('primary'), version: 7 });
      await db.rows.run(sql`update access_keys set sealed = ${damaged} where slot = 'primary'`);
      clock.advance(90 * DAY_MS);
      await rotation.maintain();
      clock.advance(2 * DAY_MS);
      await rotation.maintain();
      assert.deepEqual(
        (await rotation.show()).map(({ values }) => values),
        [1, 1],
      );
      assert.ok(
        lines.some(({ level, message }) => level === 'error' && message === 'an encrypted value cannot be decrypted'),
      );
    });

    test('is read again by a node that another one has left behind', async (t) => {
      const { kek, node } = await given(t, store);
      const [one, other] = [await node(kek), await node(kek)];
      await one.rotation.rotateDataKey();
      await one.rotation.maintain();
      const sealed = one.ring.seal(Buffer.from('x'), place('primary'));
      assert.throws(() => other.ring.unseal(sealed, place('primary')));
      await other.ring.reload();
      assert.deepEqual(other.ring.unseal(sealed, place('primary')), Buffer.from('x'));
    });
  });

  describe(`the key-encryption key on ${store}`, () => {
    test('is changed while nodes run, and the former one opens nothing any more', async (t) => {
      const { kek, node, assertReadable } = await given(t, store);
      const next = newKek();
      const { rotation, keks, lines } = await node(kek);
      await rotation.rotateDataKey();
      assert.deepEqual(await rotation.rotateKek(), { kekId: kekId(kek), rewrapped: 0 });
      keks.splice(0, 1, next); // the former one is not even needed by a server that runs
      assert.deepEqual(await rotation.rotateKek(), { kekId: kekId(next), rewrapped: 2 });
      assert.deepEqual(await rotation.rotateKek(), { kekId: kekId(next), rewrapped: 0 });
      await rotation.maintain();
      assert.deepEqual(
        (await rotation.show()).map((key) => key.kekId),
        [kekId(next), kekId(next)],
      );
      await assertReadable(next);
      await assertReadable(next, kek);
      await assert.rejects(assertReadable(kek), { message: /key-encryption key is not the one of this store/ });
      assert.deepEqual(
        lines.filter(({ level }) => level === 'warn'),
        [{ level: 'warn', message: 'the key-encryption key was changed' }],
      );
    });

    test('may be given to the nodes in any order: until the change is asked for, the former one is used', async (t) => {
      const { clock, kek, node, assertReadable } = await given(t, store);
      const next = newKek();
      const [early, late] = [await node(next, kek), await node(kek)];
      await early.rotation.rotateDataKey();
      await late.ring.reload();
      assert.equal(late.ring.current, early.ring.current);
      await assertReadable(kek);

      await early.rotation.rotateKek();
      late.keks.splice(0, 1, next); // its file has the new one by now
      clock.advance(10_000);
      await early.rotation.rotateDataKey();
      await late.ring.reload();
      assert.equal(late.ring.current, early.ring.current, 'it has read its file again');
      await late.rotation.rotateDataKey();
      await assertReadable(next);
    });

    test('that a node was never given ends its sealing, not the data', async (t) => {
      const { clock, kek, node, assertReadable } = await given(t, store);
      const next = newKek();
      const [one, forgotten] = [await node(kek), await node(kek)];
      one.keks.splice(0, 1, next);
      await one.rotation.rotateKek();
      await assert.rejects(forgotten.rotation.rotateDataKey(), { error: 'KekUnusable' });
      await one.rotation.rotateDataKey();
      await one.rotation.maintain();
      await assert.rejects(forgotten.ring.reload(), { message: /key-encryption key is not the one/ });
      assert.equal((await forgotten.rotation.show()).at(0)?.kekId, undefined);
      clock.advance(10_000);
      forgotten.keks.splice(0, 1, next);
      await forgotten.ring.reload();
      await assertReadable(next);
    });

    test('that cannot be read, or is another at each call, changes nothing and says why', async (t) => {
      const { db, clock, kek, node, rows, assertReadable } = await given(t, store);
      const { ring } = await node(kek);
      const before = await rows(sql`select * from data_keys`);
      const failing = (readKeks: () => Promise<readonly KeyObject[]>) =>
        new KeyRotation({
          db,
          ring,
          readKeks,
          clock,
          change: (work) => db.writer.write(work),
          events: { notice: () => 0 },
        });
      const none = failing(() =>
        Promise.reject(new SettingsError('LINARITE_KEK_FILE names a file that cannot be read')),
      );
      await assert.rejects(none.rotateKek(), { error: 'KekUnusable', message: /LINARITE_KEK_FILE names/ });
      await assert.rejects(failing(async () => [newKek()]).rotateKek(), { message: /a different key at each call/ });
      assert.deepEqual(await rows(sql`select * from data_keys`), before);
      await assertReadable(kek);
    });
  });
}

describe('the ring', () => {
  async function given(t: TestContext, ...keks: KeyObject[]) {
    const db = await givenStore(t, 'sqlite');
    const clock = new TestClock();
    const asked = { times: 0, keks };
    const readKeks = async () => {
      asked.times += 1;
      return [...asked.keks];
    };
    const open = () => KeyRing.open({ db, clock, readKeks });
    return { db, clock, asked, open, rows: () => new DataKeyStore().all(db.rows) };
  }

  test('derives the same secrets on every node: one of each data key, that of the newest first', async (t) => {
    const kek = newKek();
    const { db, clock, open } = await given(t, kek);
    const [one, other] = [await open(), await open()];
    const [first] = one.derived('tickets');
    assert.deepEqual(other.derived('tickets'), [first]);
    assert.notDeepEqual(one.derived('others'), [first]);
    await db.writer.write((tx) => new DataKeyStore().insert(tx, { ...newDataKey(kek), created_at: clock.now() + 1 }));
    await one.reload();
    const [newest, former] = one.derived('tickets');
    assert.deepEqual(former, first);
    assert.notDeepEqual(newest, first);
    assert.deepEqual((await open()).derived('tickets'), [newest, former]);
  });

  test('asks for the key-encryption key when it needs another one, and not more often than every 10 seconds', async (t) => {
    const [kek, next] = [newKek(), newKek()];
    const { db, clock, asked, open, rows } = await given(t, kek);
    const ring = await open();
    const [row] = await rows();
    assert.ok(row);
    asked.times = 0;
    clock.advance(60_000);
    await ring.findKekOf(row);
    await ring.reload();
    assert.equal(asked.times, 0, 'it has the one it needs');
    await db.rows.run(sql`update data_keys set sealed = ${newDataKey(next).sealed}`);
    const [other] = await rows();
    assert.ok(other);
    for (const expected of [1, 1, 1]) {
      assert.equal(await ring.findKekOf(other), undefined);
      assert.equal(asked.times, expected);
    }
    clock.advance(9_999);
    await ring.findKekOf(other);
    assert.equal(asked.times, 1);
    clock.advance(1);
    await ring.findKekOf(other);
    assert.equal(asked.times, 2);
  });

  test('keeps the last four key-encryption keys, each once', async (t) => {
    const [kek, ...more] = Array.from({ length: 5 }, newKek);
    assert.ok(kek);
    const { open, rows } = await given(t, kek);
    const ring = await open();
    const [row] = await rows();
    assert.ok(row);
    const [one, two, three, four] = more;
    assert.ok(one && two && three && four);
    for (let times = 0; times < 5; times += 1) ring.addKeks([one, two]);
    ring.addKeks([three]);
    assert.equal(ring.kekOf(row), kek);
    ring.addKeks([four]);
    assert.equal(ring.kekOf(row), undefined);
  });

  test('puts a data key that another node has just made under the new key-encryption key as well', async (t) => {
    const [kek, next, unknownKek] = [newKek(), newKek(), newKek()];
    const { open, rows } = await given(t, kek);
    const ring = await open();
    const [known] = await rows();
    assert.ok(known);
    const made = { ...newDataKey(kek), created_at: 1, encryptions: 0 };
    const rewrapped = ring.rewrapped([known, made], next);
    assert.deepEqual(
      rewrapped.map(({ id }) => id),
      [known.id, made.id],
    );
    for (const { id, sealed } of rewrapped) {
      const place = { table: 'data_keys', column: 'sealed', row: id, version: 1 };
      assert.equal(unseal(kek, sealed, place), undefined);
      const before = unseal(kek, id === made.id ? made.sealed : known.sealed, place);
      assert.deepEqual(unseal(next, sealed, place), before);
    }
    const again = rewrapped.map(({ id, sealed }) => ({ id, sealed, created_at: 1, encryptions: 0 }));
    assert.deepEqual(ring.rewrapped(again, next), []);
    const foreign = { ...newDataKey(unknownKek), created_at: 1, encryptions: 0 };
    assert.throws(() => ring.rewrapped([foreign], next), { name: 'StoreError', message: new RegExp(foreign.id) });
  });

  test('does not open a data key under the name of another, and not one that was moved', async (t) => {
    const kek = newKek();
    const { db, open, rows } = await given(t, kek);
    await open();
    const [row] = await rows();
    const other = newDataKey(kek);
    await db.rows.run(sql`update data_keys set sealed = ${other.sealed} where id = ${row?.id ?? ''}`);
    await assert.rejects(open(), { message: /key-encryption key is not the one/ });
    for (const change of [{ table: 'access_keys' }, { column: 'id' }, { row: 'x' }, { version: 2 }]) {
      const own = { table: 'data_keys', column: 'sealed', row: other.id, version: 1 };
      assert.ok(unseal(kek, other.sealed, own));
      assert.equal(unseal(kek, other.sealed, { ...own, ...change }), undefined);
    }
  });

  test('marks the store that it has had a data key, and counts what each has sealed', async (t) => {
    const { db, open } = await given(t, newKek());
    const ring = await open();
    assert.equal(await new MetaStore().get(db.rows, 'first data key'), ring.current);
    for (let times = 0; times < 3; times += 1) ring.seal(Buffer.from('x'), place('primary'));
    assert.deepEqual([...ring.takeEncryptions()], [[ring.current, 3]]);
    assert.deepEqual([...ring.takeEncryptions()], []);
  });
});
