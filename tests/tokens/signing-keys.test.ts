import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { SigningKeyRow } from '../../src/storage/database.ts';
import { openPostgres } from '../../src/storage/postgres.ts';
import { sql } from '../../src/storage/sql.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import { freshDatabase, STORES } from '../harness/postgres.ts';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const SETTINGS = { LINARITE_SIGNING_KEY_DAYS: '30', LINARITE_TOKEN_MINUTES_LONGEST: '1440' };

interface Place {
  server: TestServer;
  clock: TestClock;
  /** Starts again on the same store, with other settings. */
  again(env?: Record<string, string>): Promise<TestServer>;
  /** What the rows say. The server must be closed. */
  rows(): Promise<Pick<SigningKeyRow, 'kid' | 'alg' | 'state' | 'sealed'>[]>;
}

async function given(t: TestContext, store: 'sqlite' | 'postgres', env: Record<string, string> = {}): Promise<Place> {
  const url = store === 'postgres' ? await freshDatabase(t) : undefined;
  const database: Record<string, string> = url === undefined ? {} : { LINARITE_DATABASE_URL: url };
  const clock = new TestClock(Date.now() + 60_000); // later than the first start of the folder, whose key signs
  const server = await startTestServer(t, { clock, env: { ...SETTINGS, ...database, ...env } });
  const { folder } = server;
  return {
    server,
    clock,
    again: (more = {}) => startTestServer(t, { clock, folder, env: { ...SETTINGS, ...database, ...more } }),
    async rows() {
      const db = url === undefined ? openSqlite(join(folder, 'linarite.db')) : await openPostgres(url);
      const rows = await db.rows.all<SigningKeyRow>(
        sql`select kid, alg, state, sealed from signing_keys order by created_at, kid`,
      );
      await db.close();
      return rows;
    },
  };
}

const kidOf = (token: string): string => JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid;
const published = (server: TestServer): string[] => server.server.keys.published().map(({ kid }) => kid);

for (const store of STORES) {
  describe(`signing keys on ${store}`, () => {
    test('live as next, active, retiring, gone; tokens of a former key verify until they expire', async (t) => {
      const { server, clock, rows } = await given(t, store);
      const { keys } = server.server;
      const first = keys.active.kid;
      await keys.rotate();
      assert.deepEqual(keys.countByState(), { next: 1, active: 1, retiring: 0 });
      assert.equal(published(server).length, 2);

      clock.advance(29 * DAY_MS);
      await keys.rotate();
      assert.equal(keys.active.kid, first, 'not before its time');
      const next = published(server).find((kid) => kid !== first);
      clock.advance(DAY_MS);
      const id = await server.givenIdentity();
      const last = await server.givenToken(id, ['chat'], { expiresInMinutes: 1440 });
      await keys.rotate();
      assert.equal(keys.active.kid, next, 'the one that was published');
      assert.equal(kidOf(await server.givenToken(id)), next);
      assert.equal((await server.asUser(last)).status, 200);

      clock.advance(23 * HOUR_MS + 59 * 60_000);
      await keys.rotate();
      assert.equal((await server.asUser(last)).status, 200, 'to the last minute of its life');
      assert.ok(published(server).includes(first));
      clock.advance(12 * 60_000);
      await keys.rotate();
      assert.equal((await server.asUser(last)).status, 401);
      assert.ok(!published(server).includes(first), 'gone');
      await server.server.close();
      const states = new Map((await rows()).map(({ kid, state, sealed }) => [kid, [state, sealed !== null]]));
      assert.deepEqual(states.get(first), ['gone', false]);
      assert.deepEqual(states.get(next ?? ''), ['active', true]);
    });

    test('that are killed while they wait for their turn keep no private half', async (t) => {
      const { server, rows } = await given(t, store);
      const { keys } = server.server;
      await keys.rotate();
      const waiting = published(server).find((kid) => kid !== keys.active.kid) ?? '';
      await keys.kill(waiting);
      await server.server.close();
      assert.deepEqual(
        (await rows()).filter(({ kid }) => kid === waiting).map(({ state, sealed }) => [state, sealed]),
        [['killed', null]],
      );
    });

    test('that are killed verify nothing any more, sign nothing any more, and stay killed', async (t) => {
      const { server, again, rows } = await given(t, store, { LINARITE_SIGNING_ALGORITHM: 'ES256' });
      const { keys } = server.server;
      const id = await server.givenIdentity();
      const first = keys.active.kid;
      const token = await server.givenToken(id);
      await keys.kill(first);
      const refused = await server.asUser(token);
      assert.equal(refused.status, 401);
      assert.match(String(refused.headers['x-linarite-reason']), /^revoked\.signingKey/);
      assert.ok(!published(server).includes(first));
      assert.notEqual(keys.active.kid, first);
      assert.equal((await server.asUser(await server.givenToken(id))).status, 200);
      await assert.rejects(keys.kill(first), { error: 'ResourceNotFound' });
      await assert.rejects(keys.kill('0'.repeat(40)), { error: 'ResourceNotFound' });
      await server.server.close();
      assert.deepEqual(
        (await rows()).filter(({ kid }) => kid === first).map(({ state, sealed }) => [state, sealed]),
        [['killed', null]],
      );
      const next = await again();
      assert.equal((await next.asUser(token)).status, 401);
    });

    test('are rotated once by many who want to at the same time', async (t) => {
      const { server, clock } = await given(t, store, { LINARITE_SIGNING_ALGORITHM: 'ES256' });
      const { keys } = server.server;
      await keys.rotate();
      clock.advance(30 * DAY_MS);
      await Promise.all(Array.from({ length: 5 }, () => keys.rotate()));
      const counts = keys.countByState();
      assert.deepEqual([counts.active, counts.retiring], [1, 1]);
      assert.ok((counts.next ?? 0) <= 1);
    });

    if (store === 'postgres') return; // the rest is the same there, and takes longer

    test('that were made less than a day ago do not sign yet, so that every cache has them', async (t) => {
      const { server, clock } = await given(t, store);
      const { keys } = server.server;
      const first = keys.active.kid;
      clock.advance(31 * DAY_MS); // nobody rotated in all that time
      await keys.rotate();
      assert.equal(keys.active.kid, first);
      clock.advance(DAY_MS - 1);
      await keys.rotate();
      assert.equal(keys.active.kid, first);
      clock.advance(1);
      await keys.rotate();
      assert.notEqual(keys.active.kid, first);
    });

    test('lose their private half at the moment they stop signing', async (t) => {
      const { server, rows } = await given(t, store);
      const first = server.server.keys.active.kid;
      await server.server.keys.rotateNow();
      await server.server.close();
      const found = await rows();
      assert.deepEqual(
        found.filter(({ kid }) => kid === first).map(({ state, sealed }) => [state, sealed]),
        [['retiring', null]],
      );
    });

    test('stay the same over a restart, and go on verifying', async (t) => {
      const { server, again } = await given(t, store);
      const id = await server.givenIdentity();
      const former = await server.givenToken(id);
      await server.server.keys.rotateNow();
      const { kid } = server.server.keys.active;
      await server.server.close();
      const next = await again();
      assert.equal(next.server.keys.active.kid, kid);
      assert.equal((await next.asUser(former)).status, 200);
    });

    test('that wait are replaced when the settings ask for others', async (t) => {
      const { server, again, rows } = await given(t, store);
      await server.server.keys.rotate();
      const waiting = published(server).find((kid) => kid !== server.server.keys.active.kid);
      await server.server.close();
      const next = await again({ LINARITE_SIGNING_ALGORITHM: 'ES256' });
      await next.server.keys.rotate();
      assert.ok(!published(next).includes(waiting ?? ''));
      await next.server.keys.rotateNow();
      assert.equal(next.server.keys.active.alg, 'ES256');
      const id = await next.givenIdentity();
      const token = await next.givenToken(id);
      assert.equal(JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).alg, 'ES256');
      assert.equal((await next.asUser(token)).status, 200);
      await next.server.close();
      assert.deepEqual(
        (await rows()).filter(({ kid }) => kid === waiting).map(({ state, sealed }) => [state, sealed]),
        [['gone', null]],
      );
    });
  });
}
