import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { schemaFile, schemaOf } from '../../scripts/schema.ts';
import { type Database, StoreError } from '../../src/storage/database.ts';
import { type Migration, migrate, stepsAhead } from '../../src/storage/migrate.ts';
import { MIGRATIONS } from '../../src/storage/migrations/index.ts';
import { openPostgres } from '../../src/storage/postgres.ts';
import { sql } from '../../src/storage/sql.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import { givenEmptyStore } from '../harness/given-store.ts';
import { freshDatabase, STORES } from '../harness/postgres.ts';
import { writeResult } from '../harness/results.ts';
import { startTestServer } from '../harness/server.ts';
import { SOURCES } from '../harness/sources.ts';

/** Every table of this release. */
const TABLES = MIGRATIONS.flatMap(({ text }) => [...text.matchAll(/create table (\w+)/g)].map(([, name = '']) => name));

const NAMES = MIGRATIONS.map(({ name }) => name);

/** A step of a release that is not written yet. */
const later = (compatible: boolean, text = 'create table later (n integer);'): Migration => ({
  name: '9999-of-the-future',
  compatible,
  text,
});

type Store = (typeof STORES)[number];

/** Cuts steps after its first statement, in the middle and at its end, and goes on. @returns what was not as it should be */
async function cutShort(
  t: TestContext,
  store: Store,
  steps: readonly Migration[] = MIGRATIONS,
  through: (db: Database) => Database = (db) => db,
): Promise<{ cut: number; broken: string[] }> {
  const picture = readFileSync(schemaFile(store), 'utf8');
  const broken: string[] = [];
  let cut = 0;
  for (const step of steps) {
    const before = MIGRATIONS.slice(0, MIGRATIONS.indexOf(step));
    const statements = step.text.split(/;\s*$/m).filter((text) => text.trim() !== '');
    for (const count of new Set([1, Math.ceil(statements.length / 2), statements.length])) {
      const db = through(await givenEmptyStore(t, store));
      const text = `${statements.slice(0, count).join(';\n')};\ninterrupted here;`;
      await assert.rejects(migrate(db, 1, [...before, { ...step, text }]));
      const resumed = await migrate(db, 2).catch((cause: unknown) => String(cause));
      const isWhole = String(resumed) === String(NAMES) && (await schemaOf(db)) === picture;
      if (!isWhole) broken.push(`${step.name} after ${count} statements: ${resumed}`);
      cut += 1;
    }
  }
  return { cut, broken };
}

/** Each statement is kept at once, as if there were no transaction. */
const withoutTransaction = (db: Database): Database => ({
  ...db,
  writer: { write: (work: (tx: Database['rows']) => Promise<unknown>) => work(db.rows) } as Database['writer'],
});

describe('the list of migrations', () => {
  test('is in order, without a number twice', () => {
    const numbers = NAMES.map((name) => Number(name.slice(0, 4)));
    for (const name of NAMES) assert.match(name, /^\d{4}-[a-z0-9]+(-[a-z0-9]+)*$/);
    for (const [index, number] of numbers.entries()) assert.ok(number > (numbers[index - 1] ?? 0), String(number));
  });
});

for (const store of STORES) {
  describe(`migrations on ${store}`, () => {
    const report = {
      id: store === 'sqlite' ? 'O3' : 'O3-postgres',
      seed: 'none',
      figures: { cut: 0, ages: 0, olderAccepted: 0, olderRefused: 0 },
      planted: false,
    };
    after(() => {
      const { cut, ages, olderAccepted, olderRefused } = report.figures;
      const passed = cut > 0 && ages === MIGRATIONS.length && olderAccepted + olderRefused === MIGRATIONS.length;
      writeResult({ ...report, passed });
    });

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
      const broken = [...MIGRATIONS, later(true, 'create table half (n integer);\ncreate nonsense;')];
      await assert.rejects(migrate(db, 1, broken));
      assert.deepEqual(await migrate(db, 2), NAMES);
      await assert.rejects(db.rows.all(sql`select * from half`));
    });

    test('go on where they were interrupted, at whatever statement', async (t) => {
      const { cut, broken } = await cutShort(t, store);
      report.figures.cut = cut;
      assert.deepEqual(broken, []);
    });

    test('the harness reports steps that are not taken as a whole', async (t) => {
      const { cut, broken } = await cutShort(t, store, MIGRATIONS.slice(-1), withoutTransaction);
      assert.equal(broken.length, cut);
      report.planted = true;
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
        const again = url === undefined ? openSqlite(join(folder, 'linarite.db')) : await openPostgres(url);
        const row = await again.rows.first<{ value: string }>(sql`select value from meta where name = 'of old'`);
        await again.close();
        assert.equal(row?.value, 'kept');
        report.figures.ages = age;
      }
    });

    test('let every release go on with what newer ones made, as far as those say it can', async (t) => {
      const db = await givenEmptyStore(t, store);
      await migrate(db, 1);
      const before = await schemaOf(db);
      for (let known = 1; known <= MIGRATIONS.length; known += 1) {
        const steps = MIGRATIONS.slice(0, known);
        const ahead = NAMES.slice(known);
        if (MIGRATIONS.slice(known).every(({ compatible }) => compatible)) {
          assert.deepEqual(await migrate(db, 2, steps), []);
          assert.deepEqual(await stepsAhead(db, steps), ahead);
          report.figures.olderAccepted += 1;
        } else {
          await assert.rejects(migrate(db, 2, steps), { name: 'StoreError', message: /this release cannot use it/ });
          report.figures.olderRefused += 1;
        }
        assert.equal(await schemaOf(db), before);
        assert.deepEqual(await migrate(db, 3), [], 'and the newer one goes on');
      }
    });

    for (const [change, compatible] of [
      ['only adds to', true],
      ['changes', false],
    ] as const) {
      test(`a server that is started on what a newer release ${change} ${compatible ? 'serves and says so' : 'refuses'}`, async (t) => {
        const folder = mkdtempSync(join(tmpdir(), 'linarite-newer-'));
        t.after(() => rmSync(folder, { recursive: true, force: true }));
        const url = store === 'postgres' ? await freshDatabase(t) : undefined;
        const env: Record<string, string> = url === undefined ? {} : { LINARITE_DATABASE_URL: url };
        const before = await startTestServer(t, { folder, env });
        const id = await before.givenIdentity();
        const [ended, good] = [await before.givenToken(id), await before.givenToken(await before.givenIdentity())];
        await before.server.close();

        const newer = url === undefined ? openSqlite(join(folder, 'linarite.db')) : await openPostgres(url);
        const text = `${TABLES.map((table) => `alter table ${table} add column added_later bigint`).join(';\n')};`;
        await migrate(newer, 1, [...MIGRATIONS, later(compatible, text)]);
        await newer.close();
        if (!compatible) {
          await assert.rejects(startTestServer(t, { folder, env }), {
            name: 'StoreError',
            message:
              /newer release has changed the store \(9999-of-the-future\), and this release cannot use it: run the newer release/,
          });
          return;
        }
        for (const start of ['first', 'second']) {
          const server = await startTestServer(t, { folder, env });
          assert.ok(
            server.log.lines.some(({ level, facts }) => level === 'warn' && facts.steps === '9999-of-the-future'),
          );
          const path = `/identities/${encodeURIComponent(id)}`;
          assert.equal((await server.asService(`POST ${path}/:revokeAccessTokens`)).status, 204, start);
          assert.equal((await server.asUser(ended)).status, 401, start);
          assert.equal((await server.asUser(good)).status, 200, start);
          assert.equal((await server.asUser(await server.givenToken(id))).status, 200, start);
          await server.server.close();
        }
      });
    }

    test('refuse a database whose newer release never said that it is compatible, and leave it as it is', async (t) => {
      const db = await givenEmptyStore(t, store);
      await migrate(db, 1, [...MIGRATIONS, later(true)]);
      await db.rows.run(sql`delete from meta where name = 'schema needed'`);
      const before = await schemaOf(db);
      await assert.rejects(migrate(db, 2), (cause) => {
        assert.ok(cause instanceof StoreError);
        assert.match(cause.message, /newer release has changed the store \(9999-of-the-future\)/);
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
    assert.deepEqual(await migrate(newer, 2, [...MIGRATIONS, later(true, text)]), ['9999-of-the-future']);
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
