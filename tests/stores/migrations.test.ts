import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { schemaFile, schemaOf } from '../../scripts/schema.ts';
import { type Database, StoreError } from '../../src/storage/database.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { MIGRATIONS } from '../../src/storage/migrations/index.ts';
import { openPostgres } from '../../src/storage/postgres.ts';
import { sql } from '../../src/storage/sql.ts';
import { freshDatabase, STORES } from '../harness/postgres.ts';
import { givenEmptyStore } from './given-store.ts';

const NAMES = MIGRATIONS.map(({ name }) => name);

describe('the list of migrations', () => {
  test('is in order, without a number twice or left out', () => {
    for (const [index, name] of NAMES.entries()) {
      assert.match(name, /^\d{4}-[a-z0-9]+(-[a-z0-9]+)*$/);
      assert.equal(Number(name.slice(0, 4)), index + 1, name);
    }
  });
});

for (const store of STORES) {
  describe(`migrations on ${store}`, () => {
    test('make a fresh database look like its picture on file', async (t) => {
      const db = await givenEmptyStore(t, store);
      assert.deepEqual(await migrate(db, 1), NAMES);
      const picture = readFileSync(schemaFile(store), 'utf8');
      assert.equal(await schemaOf(db), picture, 'after a change of the schema: node bin/node.js scripts/schema.ts');
      await db.rows.run(sql`alter table nodes add column surprise integer`);
      assert.notEqual(await schemaOf(db), picture);
    });

    test('are taken once', async (t) => {
      const db = await givenEmptyStore(t, store);
      assert.deepEqual(await migrate(db, 1, MIGRATIONS.slice(0, 1)), NAMES.slice(0, 1));
      assert.deepEqual(await migrate(db, 2), NAMES.slice(1));
      assert.deepEqual(await migrate(db, 3), []);
    });

    test('leave nothing behind when one of them fails', async (t) => {
      const db = await givenEmptyStore(t, store);
      const broken = [...MIGRATIONS, { name: '9999-broken', text: 'create table half (n integer);\ncreate nonsense;' }];
      await assert.rejects(migrate(db, 1, broken));
      assert.deepEqual(await migrate(db, 2), NAMES);
      await assert.rejects(db.rows.all(sql`select * from half`));
    });

    test('refuse a database that a newer release has changed, and leave it as it is', async (t) => {
      const db = await givenEmptyStore(t, store);
      await migrate(db, 1, [...MIGRATIONS, { name: '9999-of-the-future', text: 'create table later (n integer);' }]);
      const before = await schemaOf(db);
      await assert.rejects(migrate(db, 2), (cause) => {
        assert.ok(cause instanceof StoreError);
        assert.match(cause.message, /newer release \(9999-of-the-future\)/);
        return true;
      });
      assert.equal(await schemaOf(db), before);
    });
  });
}

describe('twenty servers that start at once', { skip: !STORES.includes('postgres') && 'needs PostgreSQL' }, () => {
  test('migrate one database together, each step once', async (t) => {
    const url = await freshDatabase(t);
    const servers: Database[] = await Promise.all(Array.from({ length: 20 }, () => openPostgres(url)));
    t.after(() => Promise.all(servers.map((db) => db.close())));
    const taken = await Promise.all(servers.map((db) => migrate(db, 1)));
    assert.deepEqual(taken.flat(), NAMES);
  });
});
