import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type Settings, SettingsError } from '../settings.ts';
import type { Database } from './database.ts';
import { openSqlite } from './sqlite.ts';

/**
 * Makes the data folder.
 * @returns undefined when nothing is to be kept
 * @throws SettingsError when there must be one, or it cannot be made
 */
export function dataFolder({ data, databaseUrl, mode }: Settings): string | undefined {
  if (data === ':memory:') {
    if (mode === 'production' && databaseUrl === undefined)
      throw new SettingsError('LINARITE_DATA must be a folder in production mode, not :memory:');
    return undefined;
  }
  const folder = resolve(data);
  try {
    makeFolder(folder);
  } catch (cause) {
    throw new SettingsError(
      `LINARITE_DATA names a folder that cannot be created: ${folder} (${(cause as NodeJS.ErrnoException).code})`,
    );
  }
  return folder;
}

/** Node's own recursive way never returns where a folder exists but takes no entries, as under /proc. */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST' && statSync(folder).isDirectory()) return;
    if (code !== 'ENOENT' || existsSync(dirname(folder))) throw cause;
    makeFolder(dirname(folder));
    mkdirSync(folder, { mode: 0o700 });
  }
}

/** The file of the embedded store. */
export const databaseFile = (folder: string): string => join(folder, 'linarite.db');

/**
 * Opens the store that the settings name.
 * @param folder the data folder; undefined when nothing is to be kept
 * @param onSyncFailed see {@link openSqlite}
 * @throws StoreError
 */
export async function openDatabase(
  { databaseUrl }: Settings,
  folder: string | undefined,
  onSyncFailed?: (cause: unknown) => void,
): Promise<Database> {
  if (databaseUrl === undefined)
    return openSqlite(folder === undefined ? ':memory:' : databaseFile(folder), onSyncFailed);
  const { openPostgres } = await import('./postgres.ts'); // its driver is loaded where it is needed only
  return openPostgres(databaseUrl);
}
