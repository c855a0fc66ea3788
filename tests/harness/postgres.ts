import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import pg from 'pg';

/** Address of a PostgreSQL server for tests; `npm test` starts one where it is installed. */
export const POSTGRES_URL = process.env.TEST_POSTGRES_URL;

/** The stores that can be tested here. */
export const STORES: readonly ('sqlite' | 'postgres')[] = POSTGRES_URL ? ['sqlite', 'postgres'] : ['sqlite'];

/** The database that a run of tests has made beside the template folder, see {@link file://./template.ts}. */
const TEMPLATE_DATABASE = process.env.TEST_TEMPLATE_DATABASE;

async function onServer(statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: POSTGRES_URL });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

/** Databases stay until their server goes: each removal waits for a checkpoint. For a server of the run's own only. */
const KEEPS = TEMPLATE_DATABASE !== undefined && process.env.TEST_DATABASES === 'keep';

/** Makes a database, empty or as a copy of another. @returns its address */
export async function newDatabase(name: string, template?: string): Promise<string> {
  if (!POSTGRES_URL) throw new Error('TEST_POSTGRES_URL is not set');
  await onServer(`create database ${name}${template ? ` template ${template}` : ''}`);
  const url = new URL(POSTGRES_URL);
  url.pathname = `/${name}`;
  return url.href;
}

/**
 * Makes a database for a test, which is gone after it, or in a run of `npm test` after the run.
 * @param begun as a server of the template folder leaves it after its first start, where a run has made that; else empty
 */
export async function freshDatabase(t: TestContext, begun = false): Promise<string> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  const url = await newDatabase(name, begun ? TEMPLATE_DATABASE : undefined);
  if (!KEEPS) t.after(() => onServer(`drop database ${name} with (force)`));
  return url;
}
