import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, type TestContext, test } from 'node:test';
import { restore } from '../../src/backup/restore.ts';
import { unseal } from '../../src/secrets/envelope.ts';
import { readSettings } from '../../src/settings.ts';
import type { Database } from '../../src/storage/database.ts';
import { openPostgres } from '../../src/storage/postgres.ts';
import { sql } from '../../src/storage/sql.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import { freshDatabase, STORES } from '../harness/postgres.ts';
import { startProduction } from '../harness/production.ts';
import { accessKeyOf } from '../harness/resources.ts';
import { writeResult } from '../harness/results.ts';
import { Canaries, type Hit } from '../harness/secrets/canaries.ts';
import type { TestServer } from '../harness/server.ts';

/** Resources with keys; 60 for a release: `npm run harness -- secrets`. */
const RESOURCES = Number(process.env.TEST_SECRETS_RESOURCES ?? 4);
const OPERATOR_KEY = randomBytes(32).toString('base64url');
const newKek = () => randomBytes(32).toString('base64');

/** What a thief could carry away: every file that the server or its store has written, by name. */
type StolenFiles = ReadonlyMap<string, Buffer>;

function filesUnder(folder: string): StolenFiles {
  const stolen = new Map<string, Buffer>();
  for (const name of globSync('**', { cwd: folder })) {
    try {
      if (statSync(join(folder, name)).isFile()) stolen.set(name, readFileSync(join(folder, name)));
    } catch (cause) {
      // A database goes on removing files of its own while it is looked at.
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    }
  }
  return stolen;
}

/** Files of the database, its log included, where this process may read them; and in any case every row. */
async function filesOfPostgres(db: Database): Promise<StolenFiles> {
  const stolen = new Map<string, Buffer>();
  const tables = await db.rows.all<{ name: string }>(
    sql`select table_name as name from information_schema.tables where table_schema = 'public'`,
  );
  const all = tables
    .map(({ name }) => `select '${name}' as name, to_jsonb(t)::text as text from ${name} t`)
    .join(' union all ');
  for (const { name, text } of await db.rows.all<{ name: string; text: string }>(sqlText(all)))
    stolen.set(`rows of ${name}`, Buffer.concat([stolen.get(`rows of ${name}`) ?? Buffer.alloc(0), Buffer.from(text)]));
  const [folder] = await db.rows.all<{ data_directory: string }>(sqlText('show data_directory'));
  try {
    for (const [name, bytes] of filesUnder(folder?.data_directory ?? '')) stolen.set(name, bytes);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EACCES') throw cause;
  }
  return stolen;
}

const sqlText = (text: string) => sql([text] as unknown as TemplateStringsArray);

/** Uses everything that makes, replaces and keeps secrets. Every one that ever was is looked for. */
async function live(server: TestServer, kek: string, canaries: Canaries): Promise<void> {
  const { resources, keys } = server.server;
  const noteKeys = (): void => {
    for (const { id } of resources.list())
      for (const slot of ['primary', 'secondary'] as const)
        canaries.add(
          `${slot} key of ${id}, version ${resources.get(id).keys.find((key) => key.slot === slot)?.version}`,
          Buffer.from(accessKeyOf(server, slot, id), 'base64'),
        );
    canaries.addPrivateKey(`signing key ${keys.active.kid}`, keys.active.privateKey);
  };
  canaries.add('key-encryption key', Buffer.from(kek, 'base64'));
  canaries.add('operator key', OPERATOR_KEY);
  for (let index = 0; index < RESOURCES; index += 1) {
    const { id } = await resources.create({ name: `r${index}` });
    noteKeys();
    await resources.regenerateKey(id, 'secondary');
    canaries.add(`token ${index}`, (await server.givenToken(await server.givenIdentity())).split('.')[2] ?? '');
  }
  noteKeys();
  await keys.rotateNow();
  noteKeys();
  await operator(server, 'POST', '/-/key-ring/rotate-data-key');
  await keys.rotateNow();
  noteKeys();
}

function operator(server: TestServer, method: string, target: string) {
  return server.send({ method, target, headers: { Authorization: `Bearer ${OPERATOR_KEY}` } });
}

/** The data keys themselves, once they can be read. */
async function addDataKeys(db: Database, kek: string, canaries: Canaries): Promise<void> {
  for (const { id, sealed } of await db.rows.all<{ id: string; sealed: string }>(
    sql`select id, sealed from data_keys`,
  )) {
    const place = { table: 'data_keys', column: 'sealed', row: id, version: 1 };
    const bytes = unseal(createSecretKey(Buffer.from(kek, 'base64')), sealed, place);
    assert.ok(bytes);
    canaries.add(`data key ${id}`, bytes);
  }
}

const hitsIn = (stolen: StolenFiles, canaries: Canaries): Hit[] =>
  [...stolen].flatMap(([name, bytes]) => canaries.in(name, bytes));
const sizeOf = (stolen: StolenFiles): number => [...stolen.values()].reduce((sum, bytes) => sum + bytes.length, 0);

function givenFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-at-rest-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The process's own folder for temporary files, while a test runs. */
function ownTemporaryFolder(t: TestContext): string {
  const [folder, former] = [givenFolder(t), process.env.TMPDIR];
  process.env.TMPDIR = folder;
  t.after(() => {
    if (former === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = former;
  });
  return folder;
}

describe('a stolen file yields no key:', () => {
  test('SQLite, its log, backups, a restored store, temporary files', async (t) => {
    const [kek, canaries, temporary] = [newKek(), new Canaries(), ownTemporaryFolder(t)];
    const server = await startProduction(t, { LINARITE_KEK: kek, LINARITE_OPERATOR_KEY: OPERATOR_KEY });
    await live(server, kek, canaries);
    const backup = (await operator(server, 'POST', '/-/backup')).body.path;
    const running = filesUnder(server.folder);
    assert.ok((running.get('linarite.db-wal')?.length ?? 0) > 0, 'the log is there to be looked through');
    await server.server.close();
    const stopped = filesUnder(server.folder);
    const elsewhere = join(givenFolder(t), 'data');
    mkdirSync(elsewhere);
    await restore(
      readSettings({
        LINARITE_MODE: 'production',
        LINARITE_PUBLIC_URL: 'https://acs.example.org',
        LINARITE_DATA: elsewhere,
        LINARITE_KEK: kek,
      }),
      backup,
    );
    const db = openSqlite(join(server.folder, 'linarite.db'));
    await addDataKeys(db, kek, canaries);
    await db.close();

    const stolen = [running, stopped, filesUnder(elsewhere), filesUnder(temporary)];
    const hits = stolen.flatMap((files) => hitsIn(files, canaries));
    assert.deepEqual(hits, []);

    // Planted: a key that was stored as it is, then removed. Deleted rows stay in pages and in the log.
    const planted = new DatabaseSync(join(server.folder, 'linarite.db'));
    planted.exec('pragma journal_mode = wal; pragma wal_autocheckpoint = 0; create table careless (key text)');
    const [resource] = server.server.resources.list();
    planted.prepare('insert into careless values (?)').run(accessKeyOf(server, 'primary', resource?.id));
    planted.exec('delete from careless');
    const found = hitsIn(filesUnder(server.folder), canaries);
    planted.close();
    assert.ok(
      found.some(({ where, form }) => where === 'linarite.db-wal' && form === 'base64'),
      JSON.stringify(found),
    );

    const figures = {
      secrets: canaries.count,
      files: stolen.reduce((sum, files) => sum + files.size, 0),
      bytes: stolen.reduce((sum, files) => sum + sizeOf(files), 0),
      hits: hits.length,
    };
    t.diagnostic(JSON.stringify(figures));
    writeResult({ id: 'S2', seed: 'none', figures, passed: true, planted: found.length > 0 });
  });

  test('PostgreSQL, its files and its log', { skip: !STORES.includes('postgres') && 'needs PostgreSQL' }, async (t) => {
    const [kek, canaries, url] = [newKek(), new Canaries(), await freshDatabase(t)];
    const server = await startProduction(t, {
      LINARITE_KEK: kek,
      LINARITE_OPERATOR_KEY: OPERATOR_KEY,
      LINARITE_DATABASE_URL: url,
    });
    await live(server, kek, canaries);
    const db = await openPostgres(url);
    t.after(() => db.close());
    await addDataKeys(db, kek, canaries);
    const [stolen, own] = [await filesOfPostgres(db), filesUnder(server.folder)];
    assert.deepEqual([...hitsIn(stolen, canaries), ...hitsIn(own, canaries)], []);

    const [resource] = server.server.resources.list();
    await db.rows.run(
      sql`update resources set region = ${accessKeyOf(server, 'primary', resource?.id)} where id = ${resource?.id ?? ''}`,
    );
    const found = hitsIn(await filesOfPostgres(db), canaries);
    assert.ok(
      found.some(({ where }) => where === 'rows of resources'),
      JSON.stringify(found),
    );

    const figures = {
      secrets: canaries.count,
      files: stolen.size + own.size,
      bytes: sizeOf(stolen) + sizeOf(own),
      hits: 0,
    };
    t.diagnostic(JSON.stringify(figures));
    writeResult({ id: 'S2-postgres', seed: 'none', figures, passed: true, planted: found.length > 0 });
  });
});
