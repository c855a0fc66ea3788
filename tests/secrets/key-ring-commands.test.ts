import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { SEALED_COLUMNS } from '../../src/secrets/sealed-columns.ts';
import { sql } from '../../src/storage/sql.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import { cli, cliBeside, cliJson } from '../harness/cli.ts';
import { givenStore } from '../harness/given-store.ts';
import { startProduction } from '../harness/production.ts';
import { accessKeyOf } from '../harness/resources.ts';
import { startTestServer, TestClock } from '../harness/server.ts';

const newKek = () => randomBytes(32).toString('base64');
const URL = { LINARITE_MODE: 'production', LINARITE_PUBLIC_URL: 'https://acs.example.org' };

/** A file for the key-encryption key, written anew as an operator would. */
function kekFile(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-kek-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'kek');
  return { path, write: (...keks: string[]) => writeFileSync(path, keks.join('\n'), { mode: 0o600 }) };
}

describe('the key ring, by the command line', () => {
  test('changes both kinds of keys while the server serves, and the next start needs the new one', async (t) => {
    const [former, next] = [newKek(), newKek()];
    const file = kekFile(t);
    file.write(former);
    const env = { LINARITE_KEK: '', LINARITE_KEK_FILE: file.path };
    const server = await startProduction(t, env);
    const endpoint = ['--endpoint', `http://localhost:${server.port}`];
    const id = await server.givenIdentity();
    const [key] = [server.key];

    const [before] = (await cliJson(server, ['key-ring', 'show', ...endpoint])).dataKeys;
    assert.equal(before.state, 'current');
    assert.ok(before.values >= 3, 'two access keys, one signing key or two');
    await cliJson(server, ['key-ring', 'rotate-data-key', ...endpoint]);
    file.write(next, former);
    const { kekId, rewrapped } = await cliJson(server, ['key-ring', 'rotate-kek', ...endpoint]);
    assert.equal(rewrapped, 2);
    assert.notEqual(kekId, before.kekId);
    file.write(next);

    let state: { dataKeys: { id: string; values: number; kekId: string; state: string }[] };
    do state = await cliJson(server, ['key-ring', 'show', ...endpoint]);
    while (state.dataKeys[0]?.values !== 0); // it moves in the background; the time limit of the file bounds this
    assert.deepEqual(
      state.dataKeys.map((one) => [one.state, one.values >= 3, one.kekId]),
      [
        ['former', false, kekId],
        ['current', true, kekId],
      ],
    );
    const { stdout } = await cliBeside(server, ['key-ring', 'show', '--output', 'table', ...endpoint]);
    assert.match(stdout, /^DataKey +State +CreatedAt +Encryptions +Values +KekId\n/);
    assert.equal((await server.asService(`GET /identities/${encodeURIComponent(id)}`)).status, 200);
    const messages = server.log.lines.map(({ message }) => message);
    for (const audited of [
      'data key made',
      'values encrypted with the current data key',
      'the key-encryption key was changed',
    ])
      assert.ok(messages.includes(audited), audited);
    await server.server.close();

    const again = await startTestServer(t, { folder: server.folder, env: { ...URL, ...env } });
    assert.equal(accessKeyOf(again, 'primary', again.server.resources.list()[0]?.id), key);
    await again.server.close();
    for (const kek of [former, newKek()]) {
      file.write(kek);
      const { code, stderr } = await cli(['serve'], {
        env: { ...URL, LINARITE_DATA: server.folder, LINARITE_PORT: '0', LINARITE_KEK_FILE: file.path },
      });
      assert.equal(code, 1);
      assert.match(stderr, /^linarite: the key-encryption key is not the one of this store: set LINARITE_KEK.*\n$/);
    }
    const none = await cli(['serve'], { env: { ...URL, LINARITE_DATA: server.folder, LINARITE_PORT: '0' } });
    assert.equal(none.code, 2);
    assert.match(none.stderr, /LINARITE_KEK_COMMAND is needed in production mode/);
    file.write(next);
    const last = await startTestServer(t, { folder: server.folder, env: { ...URL, ...env } });
    assert.equal(accessKeyOf(last, 'primary', last.server.resources.list()[0]?.id), key);
  });

  test('says why the key-encryption key cannot be changed', async (t) => {
    const file = kekFile(t);
    file.write(newKek());
    const server = await startTestServer(t, {
      folder: mkdtempSync(join(tmpdir(), 'linarite-ring-')),
      env: { LINARITE_KEK_FILE: file.path },
    });
    t.after(() => rmSync(server.folder, { recursive: true }));
    file.write('not a key');
    const { code, stderr } = await cliBeside(server, ['key-ring', 'rotate-kek']);
    assert.equal(code, 1);
    assert.match(stderr, /KeyEncryptionKeyUnusable.*LINARITE_KEK_FILE must contain 32 bytes in base64/);
    assert.doesNotMatch(stderr, /not a key/);
  });

  test('a backup from before the change is restored with both', async (t) => {
    const [former, next] = [newKek(), newKek()];
    const file = kekFile(t);
    file.write(former);
    const folder = mkdtempSync(join(tmpdir(), 'linarite-ring-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const server = await startTestServer(t, { folder, env: { LINARITE_KEK_FILE: file.path } });
    const { path } = await cliJson(server, ['backup']);
    file.write(next);
    await cliJson(server, ['key-ring', 'rotate-kek']);
    await server.server.close();
    const env = { LINARITE_DATA: folder, LINARITE_KEK_FILE: file.path };
    const refused = await cli(['restore', path, '--yes'], { env });
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /key-encryption key is not the one/);
    file.write(next, former);
    assert.equal((await cli(['restore', path, '--yes'], { env })).code, 0);
    const restored = await startTestServer(t, { folder, env: { LINARITE_KEK_FILE: file.path } });
    await cliJson(restored, ['key-ring', 'rotate-kek']);
    await restored.server.close();
    file.write(next);
    await startTestServer(t, { folder, env: { LINARITE_KEK_FILE: file.path } });
  });
});

test('the server replaces a data key that is 90 days old by itself', async (t) => {
  const clock = new TestClock();
  const folder = mkdtempSync(join(tmpdir(), 'linarite-ring-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const first = await startTestServer(t, { folder, clock });
  await first.server.close();
  clock.advance(90 * 24 * 3_600_000);
  const server = await startTestServer(t, { folder, clock });
  const moved = () => server.log.lines.some(({ message }) => message.startsWith('values encrypted with'));
  while (!moved()) await new Promise((resolve) => setTimeout(resolve, 50)); // the first chores run after a second
  await server.server.close();
  const copy = join(folder, 'copy.db');
  cpSync(join(folder, 'linarite.db'), copy);
  const db = openSqlite(copy);
  const ids = await db.rows.all<{ id: string }>(sql`select substr(sealed, 1, 12) as id from access_keys`);
  const newest = await db.rows.first<{ id: string }>(sql`select id from data_keys order by created_at desc limit 1`);
  await db.close();
  assert.deepEqual(new Set(ids.map(({ id }) => id)), new Set([newest?.id]));
});

test('every column of sealed values is in the list that is walked when a data key is replaced', async (t) => {
  const db = await givenStore(t, 'sqlite');
  const tables = await db.rows.all<{ name: string }>(sql`
    select distinct tables.name from sqlite_schema as tables, pragma_table_info(tables.name) as columns
    where columns.name = 'sealed' order by tables.name`);
  assert.deepEqual(
    tables.map(({ name }) => name),
    ['access_keys', 'data_keys', 'signing_keys'],
  );
  assert.deepEqual(
    SEALED_COLUMNS.map(({ table }) => table),
    ['access_keys', 'signing_keys'],
  );
});
