import { databaseFile } from '../data-folder.ts';
import type { Settings } from '../settings.ts';
import type { Database } from './database.ts';
import { openSqlite } from './sqlite.ts';

/**
 * Opens the store that the settings name.
 * @param folder the data folder; undefined when nothing is to be kept
 * @throws StoreError
 */
export async function openDatabase(
  { databaseUrl }: Pick<Settings, 'databaseUrl'>,
  folder: string | undefined,
): Promise<Database> {
  if (databaseUrl === undefined) return openSqlite(folder === undefined ? ':memory:' : databaseFile(folder));
  const { openPostgres } = await import('./postgres.ts'); // its driver is loaded where it is needed only
  return openPostgres(databaseUrl);
}
