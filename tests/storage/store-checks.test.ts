import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DEV_RESOURCE } from '../../src/resources/resource.ts';
import { type Settings, SettingsError } from '../../src/settings.ts';
import type { Database } from '../../src/storage/database.ts';
import { MetaStore } from '../../src/storage/meta-store.ts';
import type { Sql } from '../../src/storage/sql.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import { checkClock, checkDurability, checkMark, noteClock } from '../../src/storage/store-checks.ts';
import { BUILT_AT_MS } from '../../src/version.ts';
import { untilChoreRan } from '../harness/chores/chores.ts';
import { OPERATOR_KEY, withBearer } from '../harness/dev-tokens.ts';
import { givenStore } from '../harness/given-store.ts';
import { STORES } from '../harness/postgres.ts';
import { startProduction } from '../harness/production.ts';
import { startTestServer, TestClock } from '../harness/server.ts';

const MINUTE_MS = 60_000;

const MODES: readonly Settings['mode'][] = ['dev', 'production'];

for (const store of STORES)
  for (const mode of MODES)
    test(`a store that was made in ${mode} mode is not opened in the other one, on ${store}`, async (t) => {
      const db = await givenStore(t, store);
      for (const _ of ['new', 'known']) await checkMark(db, mode);
      for (const other of MODES.filter((one) => one !== mode))
        await assert.rejects(checkMark(db, other), {
          name: 'StoreError',
          message: new RegExp(`was made in ${mode} mode`),
        });
    });

test('a server in production mode does not start on the store of dev mode, whose keys are published', async (t) => {
  const { server, folder } = await startTestServer(t);
  await server.close();
  const env = {
    LINARITE_MODE: 'production',
    LINARITE_PUBLIC_URL: 'https://acs.example.org',
    LINARITE_KEK: randomBytes(32).toString('base64'),
  };
  await assert.rejects(startTestServer(t, { folder, env }), { name: 'StoreError', message: /was made in dev mode/ });
});

test('a server in production mode does not start with the published access key', async (t) => {
  const env = { LINARITE_KEK: randomBytes(32).toString('base64') };
  const { server, folder } = await startProduction(t, env);
  const keys = { primary: Buffer.from(DEV_RESOURCE.primaryKey, 'base64') };
  await server.resources.create({ name: 'imported', keys });
  await server.close();
  const again = { LINARITE_MODE: 'production', LINARITE_PUBLIC_URL: 'https://acs.example.org', ...env };
  await assert.rejects(startTestServer(t, { folder, env: again }), { name: 'SettingsError', message: /imported/ });
});

for (const unsafe of ['fsync', 'synchronous_commit', 'full_page_writes'])
  test(`a database whose ${unsafe} is off confirms what a crash can lose`, async () => {
    const first = async ({ values: [setting] }: Sql) => ({ value: setting === unsafe ? 'off' : 'on' });
    const db = { dialect: 'postgres', rows: { first } } as unknown as Database;
    await assert.rejects(checkDurability(db), { name: 'StoreError', message: new RegExp(`${unsafe} = off`) });
  });

for (const store of STORES)
  test(`a clock that is certainly wrong is told from one that is a little off, on ${store}`, async (t) => {
    const db = await givenStore(t, store);
    const seen = BUILT_AT_MS + 90 * MINUTE_MS;
    await checkClock(db, new TestClock(BUILT_AT_MS));
    await noteClock(db, new TestClock(seen));
    for (const ahead of [-5, -1, 0, 60]) await checkClock(db, new TestClock(seen + ahead * MINUTE_MS));
    const wrong = [[seen - 5 * MINUTE_MS - 1, /behind the last time/] as const, [BUILT_AT_MS - 1, /earlier/] as const];
    for (const [now, words] of wrong)
      await assert.rejects(checkClock(db, new TestClock(now)), (cause) => {
        assert.ok(cause instanceof SettingsError);
        assert.match(cause.message, words);
        return true;
      });
  });

test('a server in production mode notes how late it is', async (t) => {
  const began = Date.now();
  const server = await startProduction(t, { LINARITE_OPERATOR_KEY: OPERATOR_KEY });
  const metrics = async () => (await withBearer(server, OPERATOR_KEY, 'GET /-/metrics')).text;
  await untilChoreRan('latestTime', metrics);
  await server.server.close();
  const file = join(server.folder, 'linarite.db');
  assert.ok(existsSync(file));
  const db = openSqlite(file);
  t.after(() => db.close());
  const noted = Number(await new MetaStore().get(db.rows, 'clock high water'));
  assert.ok(noted >= began && noted <= Date.now(), String(noted));
});
