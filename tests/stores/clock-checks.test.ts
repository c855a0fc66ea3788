import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SettingsError } from '../../src/settings.ts';
import { checkClock, noteClock } from '../../src/start-checks.ts';
import { MetaStore } from '../../src/storage/meta-store.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import { BUILT_AT_MS } from '../../src/version.ts';
import { OPERATOR_KEY, withBearer } from '../harness/dev-tokens.ts';
import { STORES } from '../harness/postgres.ts';
import { startProduction } from '../harness/production.ts';
import { TestClock } from '../harness/server.ts';
import { givenStore } from './given-store.ts';

const MINUTE_MS = 60_000;

for (const store of STORES)
  test(`a clock that is certainly wrong is told from one that is a little off, on ${store}`, async (t) => {
    const db = await givenStore(t, store);
    const seen = BUILT_AT_MS + 90 * MINUTE_MS;
    await checkClock(db, new TestClock(BUILT_AT_MS));
    await noteClock(db, new TestClock(seen));
    for (const ahead of [-5, -1, 0, 60]) await checkClock(db, new TestClock(seen + ahead * MINUTE_MS));
    const wrong = [[seen - 5 * MINUTE_MS - 1, /behind the time/] as const, [BUILT_AT_MS - 1, /earlier/] as const];
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
  // The chores begin a second after the start, and this one is the last but one of them.
  while (!/^linarite_clock_offset_seconds /m.test(await metrics())) {
    assert.ok(Date.now() - began < 20_000, 'the chores have not run');
    await sleep(50);
  }
  await server.server.close(); // waits for the one under way
  const file = join(server.folder, 'linarite.db');
  assert.ok(existsSync(file));
  const db = openSqlite(file);
  t.after(() => db.close());
  const noted = Number(await new MetaStore().get(db.rows, 'clock high water'));
  assert.ok(noted >= began && noted <= Date.now(), String(noted));
});
