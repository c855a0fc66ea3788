import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, type TestContext, test } from 'node:test';
import { cli, cliBeside, cliJson } from '../harness/cli.ts';
import { inPath } from '../harness/resources.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';

function givenFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-store-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A data folder that went through a first start and stop. */
async function givenStore(t: TestContext): Promise<string> {
  const folder = givenFolder(t);
  await (await startTestServer(t, { folder })).server.close();
  return folder;
}

const database = (folder: string): string => join(folder, 'linarite.db');
const statusOf = async (server: TestServer, token: string): Promise<number> => (await server.asUser(token)).status;
const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
const restoring = (folder: string, file: string, env: Record<string, string> = {}) =>
  cli(['restore', file, '--yes'], { env: { LINARITE_DATA: folder, ...env } });

describe('migrate', () => {
  test('makes the tables of a new store, and then finds nothing to do', async (t) => {
    const folder = givenFolder(t);
    const first = JSON.parse((await cli(['migrate'], { env: { LINARITE_DATA: folder } })).stdout);
    assert.equal(first.store, 'sqlite');
    assert.equal(first.applied[0], '0001-core');
    const { stdout } = await cli(['migrate'], { env: { LINARITE_DATA: folder } });
    assert.deepEqual(JSON.parse(stdout), { store: 'sqlite', applied: [] });
  });

  test('makes a store that only its owner may read, like the server', {
    skip: process.platform === 'win32',
  }, async (t) => {
    const folder = givenFolder(t);
    const umask = process.umask(0o022);
    try {
      await cli(['migrate'], { env: { LINARITE_DATA: folder } });
    } finally {
      process.umask(umask);
    }
    assert.equal(statSync(database(folder)).mode & 0o077, 0);
  });

  test('leaves a store alone that a server has open, and one from a newer release', async (t) => {
    const server = await startTestServer(t);
    const { code, stderr } = await cliBeside(server, ['migrate']);
    assert.equal(code, 1);
    assert.match(stderr, /^linarite: .*linarite\.db is open in another process: .*\n$/);
    await server.server.close();
    alter(
      database(server.folder),
      "insert into migrations values ('9999-later', 0); update meta set value = '9999-later' where name = 'schema needed'",
    );
    const newer = await cliBeside(server, ['migrate']);
    assert.equal(newer.code, 1);
    assert.match(newer.stderr, /newer release has changed the store \(9999-later\)/);
  });
});

describe('backup', () => {
  test('stays in the data folder, for its owner only, or is moved to where it was asked for', async (t) => {
    const server = await startTestServer(t);
    const { path, bytes } = await cliJson(server, ['backup']);
    assert.equal(path, join(server.folder, 'backups', readdirSync(join(server.folder, 'backups'))[0] ?? ''));
    assert.equal(statSync(path).size, bytes);
    assert.equal(statSync(path).mode & 0o777, 0o600);

    const file = join(givenFolder(t), 'moved.db');
    assert.equal((await cliJson(server, ['backup', file])).path, file);
    assert.ok(existsSync(file));
    assert.equal(readdirSync(join(server.folder, 'backups')).length, 1);
    const again = await cliBeside(server, ['backup', file]);
    assert.deepEqual([again.code, again.stderr], [1, `linarite: ${file} already exists\n`]);
  });
});

describe('restore', () => {
  test('brings back what the backup had, and nobody who was revoked since', async (t) => {
    const server = await startTestServer(t);
    const { folder } = server;
    const [revoked, deleted, other] = [
      await server.givenIdentity(),
      await server.givenIdentity(),
      await server.givenIdentity(),
    ];
    const old = [await server.givenToken(revoked), await server.givenToken(deleted), await server.givenToken(other)];
    const file = join(givenFolder(t), 'backup.db');
    await cliJson(server, ['backup', file]);

    await server.asService(`POST ${inPath(revoked)}/:revokeAccessTokens`);
    await server.asService(`DELETE ${inPath(deleted)}`);
    const later = await server.givenIdentity();
    old.push(await server.givenToken(revoked), await server.givenToken(later));
    await cliJson(server, ['key', 'regenerate', '--name', 'dev', '--key-type', 'secondary', '--yes']);
    const keysBefore = server.server.keys.published().map(({ kid }) => kid);
    await server.server.close();

    const { code, stdout, stderr } = await restoring(folder, file);
    const done = JSON.parse(stdout);
    assert.deepEqual([code, done.database], [0, database(folder)]);
    assert.equal(
      stderr,
      'The secondary key of dev was replaced after the backup. The restored store accepts its former value again: regenerate it.\n',
    );
    assert.deepEqual(done.regenerateKeys, [{ resource: 'dev', keyType: 'secondary' }]);
    assert.equal(statSync(database(folder)).mode & 0o777, 0o600);
    assert.ok(existsSync(done.kept));
    assert.deepEqual(
      readdirSync(folder).filter((name) => /-wal|-shm|-journal|restoring/.test(name)),
      [],
    );

    const restored = await startTestServer(t, { folder });
    for (const token of old) assert.equal(await statusOf(restored, token), 401);
    for (const { kid } of restored.server.keys.published()) assert.ok(!keysBefore.includes(kid), kid);
    assert.equal((await restored.asService(`GET ${inPath(later)}`)).status, 404);
    for (const id of [revoked, deleted, other]) {
      const token = await restored.givenToken(id);
      assert.equal(await statusOf(restored, token), 200);
      assert.ok(claimsOf(token).rv > Math.max(...old.map((one) => claimsOf(one).rv)));
    }
    // Also from the rows alone, as a node decides that has forgotten the events.
    await restored.server.close();
    const again = await startTestServer(t, { folder });
    for (const token of old) assert.equal(await statusOf(again, token), 401);
  });

  test('takes the place of a damaged database, and of none', async (t) => {
    const folder = await givenStore(t);
    const file = join(givenFolder(t), 'backup.db');
    copyFileSync(database(folder), file);
    writeFileSync(database(folder), randomBytes(64 * 1024));
    const one = await restoring(folder, file);
    assert.deepEqual([one.code, one.stderr], [0, '']);
    assert.equal(statSync(JSON.parse(one.stdout).kept).size, 64 * 1024);

    const empty = givenFolder(t);
    const other = await restoring(empty, file);
    assert.equal(JSON.parse(other.stdout).kept, null);
    const server = await startTestServer(t, { folder: empty });
    assert.equal(await statusOf(server, await server.givenToken(await server.givenIdentity())), 200);
  });

  test('goes beyond the position of the former database, wherever that is', async (t) => {
    const folder = await givenStore(t);
    const file = join(givenFolder(t), 'backup.db');
    copyFileSync(database(folder), file);
    const far = 2 ** 52;
    alter(database(folder), `update head set seq = ${far}`);
    assert.equal((await restoring(folder, file)).code, 0);
    const server = await startTestServer(t, { folder });
    assert.ok(server.server.revocations.position > far);
  });

  test('is refused while a server runs, which goes on unharmed', async (t) => {
    const server = await startTestServer(t);
    const { path } = await cliJson(server, ['backup']);
    const token = await server.givenToken(await server.givenIdentity());
    const { code, stderr } = await cliBeside(server, ['restore', path, '--yes']);
    assert.equal(code, 1);
    assert.match(stderr, /^linarite: .*linarite\.db is open in another process: .*\n$/);
    assert.equal(await statusOf(server, token), 200);
    await server.givenIdentity();
  });

  test('refuses PostgreSQL and a store in memory, and says what to do', async (t) => {
    const folder = givenFolder(t);
    const [postgres, memory] = await Promise.all([
      restoring(folder, '/nonexistent', { LINARITE_DATABASE_URL: 'postgres://localhost/x' }),
      restoring(':memory:', '/nonexistent'),
    ]);
    assert.equal(postgres.code, 2);
    assert.match(postgres.stderr, /pg_restore .* recover --accept-rollback/);
    assert.equal(memory.code, 2);
    assert.match(memory.stderr, /:memory:/);
  });
});

describe('recover', () => {
  test('opens a server again whose store lost committed state; no older token comes back', async (t) => {
    const folder = await givenStore(t);
    const snapshot = join(givenFolder(t), 'snapshot.db');
    copyFileSync(database(folder), snapshot);
    const before = await startTestServer(t, { folder });
    const id = await before.givenIdentity();
    await before.asService(`POST ${inPath(id)}/:revokeAccessTokens`);
    const token = await before.givenToken(id);
    await before.server.close();
    copyFileSync(snapshot, database(folder)); // what a snapshot of the disk brings back, with no message

    const server = await startTestServer(t, { folder });
    assert.equal(await statusOf(server, token), 503);
    const fresh = await server.asService('POST /identities');
    assert.equal(fresh.status, 503, 'closed until the operator recovers it');

    const unaccepted = await cliBeside(server, ['recover', '--yes']);
    assert.equal(unaccepted.code, 2);
    const former = server.server.keys.active.kid;
    const { signingKey } = await cliJson(server, ['recover', '--accept-rollback', '--yes']);
    const keys = server.server.keys.published().map(({ kid }) => kid);
    assert.ok(keys.includes(signingKey) && !keys.includes(former), String(keys));
    assert.equal(await statusOf(server, token), 401);
    assert.equal(await statusOf(server, await server.givenToken(await server.givenIdentity())), 200);
  });
});

function alter(file: string, text: string): void {
  const db = new DatabaseSync(file);
  db.exec(text);
  db.close();
}
