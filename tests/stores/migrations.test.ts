import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { schemaFile, schemaOf } from '../../scripts/schema.ts';
import { type Database, StoreError } from '../../src/storage/database.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { MIGRATIONS } from '../../src/storage/migrations/index.ts';
import { openPostgres } from '../../src/storage/postgres.ts';
import { sql } from '../../src/storage/sql.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import { freshDatabase, STORES } from '../harness/postgres.ts';
import { startTestServer } from '../harness/server.ts';
import { SOURCES } from '../tables/sources.ts';
import { givenEmptyStore } from './given-store.ts';

/** Every table of this release. */
const TABLES = MIGRATIONS.flatMap(({ text }) => [...text.matchAll(/create table (\w+)/g)].map(([, name = '']) => name));

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

    test('go on where they were interrupted, at whatever statement', async (t) => {
      const picture = readFileSync(schemaFile(store), 'utf8');
      for (const [index, step] of MIGRATIONS.entries()) {
        const statements = step.text.split(/;\s*$/m).filter((text) => text.trim() !== '');
        for (const cut of new Set([1, Math.ceil(statements.length / 2), statements.length])) {
          const db = await givenEmptyStore(t, store);
          const text = `${statements.slice(0, cut).join(';\n')};\ninterrupted here;`;
          await assert.rejects(migrate(db, 1, [...MIGRATIONS.slice(0, index), { name: step.name, text }]));
          assert.deepEqual(await migrate(db, 2), NAMES, `${step.name} after ${cut} statements`);
          assert.equal(await schemaOf(db), picture);
        }
      }
    });

    test('leave what earlier releases wrote: the server goes on with a store of every age', async (t) => {
      for (let age = 1; age <= MIGRATIONS.length; age += 1) {
        const folder = mkdtempSync(join(tmpdir(), 'linarite-age-'));
        t.after(() => rmSync(folder, { recursive: true, force: true }));
        const url = store === 'postgres' ? await freshDatabase(t) : undefined;
        const old = url === undefined ? openSqlite(join(folder, 'linarite.db')) : await openPostgres(url);
        await migrate(old, 1, MIGRATIONS.slice(0, age));
        await old.writer.write((tx) => tx.run(sql`insert into meta (name, value) values ('of old', 'kept')`));
        await old.close();

        const env: Record<string, string> = url === undefined ? {} : { LINARITE_DATABASE_URL: url };
        const server = await startTestServer(t, { folder, env });
        const token = await server.givenToken(await server.givenIdentity());
        assert.equal((await server.asUser(token)).status, 200, `schema ${age}`);
        await server.server.close();
        const later = url === undefined ? openSqlite(join(folder, 'linarite.db')) : await openPostgres(url);
        const row = await later.rows.first<{ value: string }>(sql`select value from meta where name = 'of old'`);
        await later.close();
        assert.equal(row?.value, 'kept');
      }
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

describe('a server on PostgreSQL', { skip: !STORES.includes('postgres') && 'needs PostgreSQL' }, () => {
  test('goes on while a newer release adds to the schema under it', async (t) => {
    const url = await freshDatabase(t);
    const server = await startTestServer(t, { env: { LINARITE_DATABASE_URL: url } });
    const id = await server.givenIdentity();
    const newer = await openPostgres(url);
    t.after(() => newer.close());
    const text = `${TABLES.map((table) => `alter table ${table} add column added_later bigint`).join(';\n')};`;
    assert.deepEqual(await migrate(newer, 2, [...MIGRATIONS, { name: '9999-adds', text }]), ['9999-adds']);
    const token = await server.givenToken(id);
    assert.equal((await server.asUser(token)).status, 200);
    const path = `/identities/${encodeURIComponent(id)}`;
    assert.equal((await server.asService(`POST ${path}/:revokeAccessTokens`)).status, 204);
    assert.equal((await server.asUser(token)).status, 401);
    assert.equal((await server.asService(`DELETE ${path}`)).status, 204);
    await server.server.keys.rotate();
  });
});

test('no statement of the sources takes whatever columns there are', () => {
  for (const [path, source] of SOURCES) assert.doesNotMatch(source, /select\s+\*|returning\s+\*/i, path);
});
