import assert from 'node:assert/strict';
import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { systemClock } from '../../src/lib/clock.ts';
import type { Place } from '../../src/secrets/envelope.ts';
import { KeyRing } from '../../src/secrets/key-ring.ts';
import { type Database, StoreError } from '../../src/storage/database.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { openPostgres } from '../../src/storage/postgres.ts';
import { sql } from '../../src/storage/sql.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import { givenStore } from '../harness/given-store.ts';
import { freshDatabase, STORES } from '../harness/postgres.ts';
import { DEV_ID, givenResource } from '../harness/resources.ts';
import { startTestServer } from '../harness/server.ts';

const openRing = (db: Database, ...keks: KeyObject[]): Promise<KeyRing> =>
  KeyRing.open({ db, clock: systemClock, readKeks: async () => keks });
const newKek = () => createSecretKey(randomBytes(32));
const PLACE: Place = { table: 'access_keys', column: 'sealed', row: `${DEV_ID} primary`, version: 3 };
const SECRET = Buffer.from('sixty-four bytes of an access key, or whatever has to be kept so');

for (const store of STORES) {
  describe(`the key ring on ${store}`, () => {
    test('opens with the same key-encryption key, and what it sealed', async (t) => {
      const db = await givenStore(t, store);
      const kek = newKek();
      const sealed = (await openRing(db, kek)).seal(SECRET, PLACE);
      assert.deepEqual((await openRing(db, kek)).unseal(sealed, PLACE), SECRET);
      assert.equal((await db.rows.all(sql`select id from data_keys`)).length, 1);
    });

    test('is one ring for servers that start together', async (t) => {
      const db = await givenStore(t, store);
      const kek = newKek();
      const rings = await Promise.all(Array.from({ length: 8 }, () => openRing(db, kek)));
      const sealed = rings[0]?.seal(SECRET, PLACE) ?? '';
      for (const ring of rings) assert.deepEqual(ring.unseal(sealed, PLACE), SECRET);
    });

    test('refuses another key-encryption key, says which setting is wrong, and makes no key in its place', async (t) => {
      const db = await givenStore(t, store);
      const kek = newKek();
      await openRing(db, kek);
      const before = await db.rows.all(sql`select * from data_keys`);
      await assert.rejects(openRing(db, newKek()), (cause) => {
        assert.ok(cause instanceof StoreError);
        assert.match(cause.message, /key-encryption key is not the one .* LINARITE_KEK/);
        return true;
      });
      assert.deepEqual(await db.rows.all(sql`select * from data_keys`), before);
      await openRing(db, kek);
    });

    test('whose data keys are gone is not opened, and gets no new ones', async (t) => {
      const db = await givenStore(t, store);
      const kek = newKek();
      await openRing(db, kek);
      await openRing(db, kek);
      await db.rows.run(sql`delete from data_keys`);
      await assert.rejects(openRing(db, kek), { name: 'StoreError', message: /data keys of this store are missing/ });
      assert.deepEqual(await db.rows.all(sql`select * from data_keys`), []);
    });
  });
}

describe('nodes that start together on one PostgreSQL', { skip: !STORES.includes('postgres') && 'needs it' }, () => {
  test('get one data key', async (t) => {
    for (let round = 0; round < 2; round += 1) {
      const url = await freshDatabase(t);
      const nodes = await Promise.all(Array.from({ length: 6 }, () => openPostgres(url)));
      t.after(() => Promise.all(nodes.map((db) => db.close())));
      await Promise.all(nodes.map((db) => migrate(db, 1)));
      const kek = newKek();
      const rings = await Promise.all(nodes.map((db) => openRing(db, kek)));
      assert.equal(new Set(rings.map(({ current }) => current)).size, 1);
    }
  });
});

describe('a sealed value', () => {
  test('does not open when it was moved to another place', async (t) => {
    const ring = await openRing(await givenStore(t, 'sqlite'), newKek());
    const sealed = ring.seal(SECRET, PLACE);
    const elsewhere: Partial<Place>[] = [
      { table: 'signing_keys' },
      { column: 'public_key' },
      { row: `${DEV_ID} secondary` },
      { row: '5e1f0057-ed00-4acc-8000-000000007418 primary' },
      { version: 4 },
      { version: 2 },
    ];
    for (const other of elsewhere)
      assert.throws(() => ring.unseal(sealed, { ...PLACE, ...other }), StoreError, JSON.stringify(other));
    // Places whose parts run together are different places.
    const [one, two] = [
      { ...PLACE, column: 'a', row: 'b c' },
      { ...PLACE, column: 'a b', row: 'c' },
    ];
    assert.throws(() => ring.unseal(ring.seal(SECRET, one), two), StoreError);
  });

  test('does not open with a bit changed, cut off or added', async (t) => {
    const ring = await openRing(await givenStore(t, 'sqlite'), newKek());
    const sealed = ring.seal(SECRET, PLACE);
    const [id = '', text = ''] = sealed.split('.');
    const bytes = Buffer.from(text, 'base64url');
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      assert.throws(() => ring.unseal(`${id}.${changed.toString('base64url')}`, PLACE), StoreError, `bit ${bit}`);
    }
    for (const length of [0, 1, 11, 12, 27, 28, bytes.length - 1])
      assert.throws(() => ring.unseal(`${id}.${bytes.subarray(0, length).toString('base64url')}`, PLACE), StoreError);
    const longer = Buffer.concat([bytes, Buffer.alloc(1)]).toString('base64url');
    for (const wrong of [
      `${id}.${text}=`,
      `${id}.${text} `,
      `${id}.${text}.`,
      `${id}.!${text}`,
      `${id}.${longer}`,
      `0${id}.${text}`,
      text,
      '',
      '.',
      `${id}.`,
    ])
      assert.throws(() => ring.unseal(wrong, PLACE), StoreError, wrong);
  });

  test('of the same bytes is different each time', async (t) => {
    const ring = await openRing(await givenStore(t, 'sqlite'), newKek());
    assert.equal(new Set(Array.from({ length: 100 }, () => ring.seal(SECRET, PLACE))).size, 100);
  });
});

describe('a store in which somebody has swapped sealed keys', () => {
  test('does not start, between slots and between resources', async (t) => {
    for (const swap of [
      sql`update access_keys set sealed = (select sealed from access_keys as other where other.resource_id = ${DEV_ID} and other.slot = 'secondary') where resource_id = ${DEV_ID} and slot = 'primary'`,
      sql`update access_keys set sealed = (select sealed from access_keys as other where other.resource_id <> ${DEV_ID} and other.slot = 'primary') where resource_id = ${DEV_ID} and slot = 'primary'`,
      sql`update access_keys set version = 2 where resource_id = ${DEV_ID} and slot = 'primary'`,
    ]) {
      const server = await startTestServer(t);
      await givenResource(server);
      await server.server.close();
      const db = openSqlite(`${server.folder}/linarite.db`);
      await db.rows.run(swap);
      await db.close();
      await assert.rejects(
        startTestServer(t, { folder: server.folder }),
        /cannot be decrypted: the store is damaged or was altered/,
      );
    }
  });
});
