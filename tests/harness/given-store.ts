import type { TestContext } from 'node:test';
import type { Database } from '../../src/storage/database.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { openPostgres } from '../../src/storage/postgres.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import { freshDatabase } from './postgres.ts';

/** An open store with nothing in it, not even tables; gone after the test. */
export async function givenEmptyStore(
  t: TestContext,
  dialect: Database['dialect'],
  file = ':memory:',
): Promise<Database> {
  const db = dialect === 'sqlite' ? openSqlite(file) : await openPostgres(await freshDatabase(t));
  t.after(() => db.close());
  return db;
}

/** An open store with the tables of this release. */
export async function givenStore(t: TestContext, dialect: Database['dialect']): Promise<Database> {
  const db = await givenEmptyStore(t, dialect);
  await migrate(db, Date.now());
  return db;
}
