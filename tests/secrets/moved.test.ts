import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { systemClock } from '../../src/lib/clock.ts';
import { type Place, unseal } from '../../src/secrets/envelope.ts';
import { KeyRing } from '../../src/secrets/key-ring.ts';
import type { Database } from '../../src/storage/database.ts';
import { openPostgres } from '../../src/storage/postgres.ts';
import { sql } from '../../src/storage/sql.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import { freshDatabase, STORES } from '../harness/postgres.ts';
import { writeResult } from '../harness/results.ts';
import { Random } from '../harness/revocation/simulation.ts';
import { startTestServer } from '../harness/server.ts';

/** Resources with two keys each, and starts of a server after a swap; 25 and 60 for a release: `npm run harness -- secrets`. */
const RESOURCES = Number(process.env.TEST_SECRETS_RESOURCES ?? 4);
const STARTS = Number(process.env.TEST_SECRETS_STARTS ?? 6);
const SEED = Number(process.env.TEST_SECRETS_SEED ?? Date.now() % 1_000_000);

interface Sealed {
  readonly place: Place;
  readonly sealed: string;
}

interface Given {
  readonly env: Record<string, string>;
  readonly folder: string;
  readonly kek: Buffer;
  /** What lies in the store now. */
  readonly values: readonly Sealed[];
  /** What lay there once: former versions of access keys, former signing keys, data keys before they were put under another key-encryption key. */
  readonly former: readonly Sealed[];
  open(): Promise<Database>;
}

async function valuesIn(db: Database): Promise<Sealed[]> {
  const found = await db.rows.all<{ table: string; row: string; version: number; sealed: string }>(sql`
    select 'access_keys' as "table", resource_id || ' ' || slot as "row", version, sealed from access_keys
    union all select 'signing_keys', kid, 1, sealed from signing_keys where state = 'active'
    union all select 'data_keys', id, 1, sealed from data_keys`);
  return found.map(({ table, row, version, sealed }) => ({ place: { table, column: 'sealed', row, version }, sealed }));
}

/** A store with values of every kind, of several versions, under several data keys. */
async function given(t: TestContext, store: (typeof STORES)[number]): Promise<Given> {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-moved-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const url = store === 'postgres' ? await freshDatabase(t) : undefined;
  const kek = randomBytes(32);
  const env = {
    LINARITE_KEK: kek.toString('base64'),
    LINARITE_OPERATOR_KEY: 'x'.repeat(40),
    ...(url && { LINARITE_DATABASE_URL: url }),
  };
  const open = async () => (url ? openPostgres(url) : openSqlite(join(folder, 'linarite.db')));
  const former: Sealed[] = [];
  for (let round = 0; round < 2; round += 1) {
    const server = await startTestServer(t, { folder, env });
    for (let index = 0; index < RESOURCES / 2; index += 1)
      await server.server.resources.create({ name: `r${round}${index}` });
    for (const { id } of server.server.resources.list())
      if (round === 1) await server.server.resources.regenerateKey(id, 'secondary');
    await server.server.keys.rotateNow();
    const headers = { Authorization: `Bearer ${env.LINARITE_OPERATOR_KEY}` };
    if (round === 0) await server.send({ method: 'POST', target: '/-/key-ring/rotate-data-key', headers });
    await server.server.close();
    const db = await open();
    if (round === 0) former.push(...(await valuesIn(db)));
    await db.close();
  }
  const db = await open();
  const values = await valuesIn(db);
  await db.close();
  return { env, folder, kek, values, former, open };
}

type Open = (value: string, place: Place) => boolean;

/** Every value in every place that is not its own, and under the name of every data key. @returns how many were tried, and which opened */
function tryAll({ values, former }: Given, open: Open): { tried: number; opened: string[] } {
  const opened: string[] = [];
  let tried = 0;
  const places = [...values, ...former].map(({ place }) => place);
  const dataKeys = values.filter(({ place }) => place.table === 'data_keys').map(({ place }) => place.row);
  for (const { sealed, place: own } of [...values, ...former]) {
    for (const place of places) {
      const elsewhere = JSON.stringify(place) !== JSON.stringify(own);
      const [id = '', text] = sealed.split('.');
      const named =
        text === undefined ? [] : dataKeys.filter((other) => other !== id).map((other) => `${other}.${text}`);
      const bare = text === undefined ? dataKeys.map((other) => `${other}.${sealed}`) : [text];
      for (const value of [...(elsewhere ? [sealed] : []), ...named, ...bare]) {
        tried += 1;
        if (open(value, place)) opened.push(`${JSON.stringify(own)} as ${JSON.stringify(place)}`);
      }
    }
  }
  return { tried, opened };
}

/** As the server opens them: data keys with the key-encryption key, all others with the ring. */
async function openerOf(given: Given): Promise<Open> {
  const db = await given.open();
  const kek = createSecretKey(given.kek);
  const ring = await KeyRing.open({ db, clock: systemClock, readKeks: async () => [kek] });
  await db.close();
  return (value, place) => {
    if (place.table === 'data_keys') return unseal(kek, value, place) !== undefined;
    try {
      ring.unseal(value, place);
      return true;
    } catch {
      return false;
    }
  };
}

for (const store of STORES) {
  test(`on ${store}, a sealed value opens in its own place only, and under its own data key`, async (t) => {
    const store_ = await given(t, store);
    const open = await openerOf(store_);
    for (const { sealed, place } of store_.values) assert.ok(open(sealed, place), JSON.stringify(place));
    const { tried, opened } = tryAll(store_, open);
    assert.deepEqual(opened, []);

    // Planted: values that are not bound to their place.
    const own = new Map([...store_.values, ...store_.former].map(({ sealed, place }) => [sealed, place]));
    const planted = tryAll(store_, (value, place) => open(value, own.get(value) ?? place));
    assert.ok(planted.opened.length > 0);

    const random = new Random(SEED);
    let starts = 0;
    for (; starts < STARTS; starts += 1) {
      const target = random.pick(store_.values);
      const source = random.pick([...store_.values, ...store_.former].filter(({ sealed }) => sealed !== target.sealed));
      const sameKek = source.place.table === 'data_keys' && target.place.row === source.place.row; // a former wrapping of the same key
      if (sameKek) continue;
      await alter(store_, target.place, source.sealed);
      await assert.rejects(
        startTestServer(t, { folder: store_.folder, env: store_.env }),
        /cannot be decrypted: the store is damaged or was altered|key-encryption key is not the one/,
        `seed ${SEED}: ${JSON.stringify(source.place)} as ${JSON.stringify(target.place)}`,
      );
      await alter(store_, target.place, target.sealed);
    }
    await (await startTestServer(t, { folder: store_.folder, env: store_.env })).server.close();

    const figures = { values: store_.values.length, moves: tried, opened: opened.length, starts };
    t.diagnostic(`seed ${SEED}: ${JSON.stringify(figures)}`);
    writeResult({ id: store === 'sqlite' ? 'S3' : 'S3-postgres', seed: SEED, figures, passed: true, planted: true });
  });
}

async function alter({ open }: Given, { table, row }: Place, sealed: string): Promise<void> {
  const db = await open();
  const [first = '', second = ''] = row.split(' ');
  const change = {
    access_keys: sql`update access_keys set sealed = ${sealed} where resource_id = ${first} and slot = ${second}`,
    signing_keys: sql`update signing_keys set sealed = ${sealed} where kid = ${row}`,
    data_keys: sql`update data_keys set sealed = ${sealed} where id = ${row}`,
  }[table];
  assert.ok(change);
  assert.equal(await db.rows.run(change), 1);
  await db.close();
}

describe('a value that was moved within its row', () => {
  test('to another column is refused by its place', async (t) => {
    const store = await given(t, 'sqlite');
    const open = await openerOf(store);
    for (const { sealed, place } of store.values)
      for (const column of ['public_key', 'name', 'value', 'Sealed', ''])
        assert.ok(!open(sealed, { ...place, column }));
  });
});
