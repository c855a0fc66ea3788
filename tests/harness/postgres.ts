import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import pg from 'pg';

/** Address of a PostgreSQL server for tests; `npm test` starts one where it is installed. */
export const POSTGRES_URL = process.env.TEST_POSTGRES_URL;

/** The stores that can be tested here. */
export const STORES: readonly ('sqlite' | 'postgres')[] = POSTGRES_URL ? ['sqlite', 'postgres'] : ['sqlite'];

async function onServer(statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: POSTGRES_URL });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

/** Makes an empty database that is gone after the test. */
export async function freshDatabase(t: TestContext): Promise<string> {
  if (!POSTGRES_URL) throw new Error('TEST_POSTGRES_URL is not set');
  const name = `test_${randomBytes(6).toString('hex')}`;
  await onServer(`create database ${name}`);
  t.after(() => onServer(`drop database ${name} with (force)`));
  const url = new URL(POSTGRES_URL);
  url.pathname = `/${name}`;
  return url.href;
}
