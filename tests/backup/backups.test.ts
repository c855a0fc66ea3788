import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { Backups } from '../../src/backup/backups.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { Database } from '../../src/storage/database.ts';
import { assertError } from '../harness/envelope.ts';
import { STORES } from '../harness/postgres.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';

const KEY = 'an-operator-key-for-the-backup-tests-01234';
const env = { LINARITE_OPERATOR_KEY: KEY };
const post = (server: TestServer, target: string, body?: object) =>
  server.send({
    method: 'POST',
    target,
    headers: { Authorization: `Bearer ${KEY}`, 'Content-Type': 'application/json' },
    body: body && JSON.stringify(body),
  });

test('a backup made under load is whole and has everything acknowledged before it', async (t) => {
  const server = await startTestServer(t, { env });
  const acknowledged: string[] = [];
  let busy = true;
  const writers = Array.from({ length: 8 }, async () => {
    while (busy) acknowledged.push(await server.givenIdentity());
  });
  while (acknowledged.length < 500) await new Promise(setImmediate);
  const before = acknowledged.length;
  const made = await post(server, '/-/backup');
  const atTheEnd = acknowledged.length;
  busy = false;
  await Promise.all(writers);

  assert.equal(made.status, 200, made.text);
  assert.ok(atTheEnd > before, 'writing went on meanwhile');
  if (process.platform !== 'win32')
    for (const path of [made.body.path, dirname(made.body.path)])
      assert.equal(statSync(path).mode & 0o077, 0, `${path} is its owner's`);
  const copy = new DatabaseSync(made.body.path);
  t.after(() => copy.close());
  assert.deepEqual({ ...copy.prepare('pragma integrity_check').get() }, { integrity_check: 'ok' });
  const ids = new Set(
    copy
      .prepare('select id from identities')
      .all()
      .map(({ id }) => id),
  );
  assert.deepEqual(
    acknowledged.slice(0, before).filter((id) => !ids.has(id)),
    [],
  );
});

for (const store of STORES.filter((store) => store === 'postgres')) {
  test(`on ${store} it names the tool to use`, async (t) => {
    const server = await startTestServer(t, { env, store });
    const answer = await post(server, '/-/backup');
    assertError(answer, { status: 400, code: 'BackupUnsupported' });
    assert.match(answer.body.error.message, /pg_dump/);
  });
}

test('a store in memory is not backed up', async (t) => {
  const server = await startTestServer(t, { env, folder: ':memory:' });
  assertError(await post(server, '/-/backup'), { status: 400, code: 'BackupUnsupported' });
});

test('recovery is for an operator who means it', async (t) => {
  const server = await startTestServer(t, { env });
  const token = await server.givenToken(await server.givenIdentity());
  for (const acceptRollback of [false, 'true', undefined]) {
    assert.equal((await post(server, '/-/recover', { acceptRollback })).status, 400);
  }
  assert.equal((await server.asUser(token)).status, 200);
});

test('recovery withdraws every signing key: the loss may have brought back one that was withdrawn', async (t) => {
  const server = await startTestServer(t, { env: { ...env, LINARITE_SIGNING_ALGORITHM: 'ES256' } });
  const { keys } = server.server;
  await keys.rotateNow(); // one signs, one only verifies
  await keys.rotate(); // and one waits
  const former = keys.published().map(({ kid }) => kid);
  assert.equal(former.length, 3);
  assert.equal((await post(server, '/-/recover', { acceptRollback: true })).status, 200);
  const left = keys.published().filter(({ kid }) => former.includes(kid));
  assert.deepEqual(left, []);
  for (const kid of former) assert.throws(() => keys.find(kid), { reason: 'revoked.signingKey' });
});

test('a backup takes its name after its contents have reached the disk, and the name reaches it last', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-backups-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const handle = await open(folder, 'r');
  const prototype: FileHandle = Object.getPrototypeOf(handle);
  await handle.close();
  const { sync } = prototype;
  const seen: boolean[][] = [];
  t.mock.method(prototype, 'sync', async function (this: FileHandle) {
    await sync.call(this);
    seen.push(readdirSync(join(folder, 'backups')).map((name) => name.endsWith('.db')));
  });
  const db = { dialect: 'sqlite', backUp: async () => undefined } as unknown as Database;
  await new Backups({ db, folder, clock: systemClock, events: { notice: () => undefined } }).make();
  assert.deepEqual(seen, process.platform === 'win32' ? [[false]] : [[false], [true]]);
});

test('one backup at a time; what a killed server left goes; a failure leaves nothing', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-backups-'));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'backups'));
  writeFileSync(join(folder, 'backups/old.db.unfinished'), 'half');
  const copying = Promise.withResolvers<void>();
  copying.promise.catch(() => undefined);
  const db = { dialect: 'sqlite', backUp: () => copying.promise } as unknown as Database;
  const backups = new Backups({ db, folder, clock: systemClock, events: { notice: () => undefined } });

  const first = backups.make();
  await assert.rejects(backups.make(), { error: 'BackupRunning' });
  copying.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }));
  await assert.rejects(first, { error: 'BackupFailed', message: /ENOSPC/ });
  assert.deepEqual(readdirSync(join(folder, 'backups')), []);
});
