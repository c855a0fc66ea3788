import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { freshDatabase, POSTGRES_URL } from '../harness/postgres.ts';
import { startProduction } from '../harness/production.ts';

const skip = POSTGRES_URL === undefined && 'no PostgreSQL';

test('production mode refuses a database that confirms what a crash can lose', { skip }, async (t) => {
  const url = await freshDatabase(t);
  await startProduction(t, { LINARITE_DATABASE_URL: url });
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`alter database ${new URL(url).pathname.slice(1)} set synchronous_commit = off`);
  await client.end();
  await assert.rejects(startProduction(t, { LINARITE_DATABASE_URL: url }), {
    name: 'StoreError',
    message: /synchronous_commit = off/,
  });
});
