import { systemClock } from '../lib/clock.ts';
import { type Settings, SettingsError } from '../settings.ts';
import { dataFolder, openDatabase } from '../storage/data-folder.ts';
import { migrate } from '../storage/migrate.ts';

/** What {@link migrateOffline} did. */
export interface Migrated {
  readonly store: 'sqlite' | 'postgres';
  /** Names of the steps that were taken; none when the store was up to date. */
  readonly applied: readonly string[];
}

/**
 * Brings the store that the settings name up to date, without a server.
 * @throws SettingsError, StoreError
 */
export async function migrateOffline(settings: Settings, clock = systemClock): Promise<Migrated> {
  const folder = dataFolder(settings);
  if (folder === undefined && settings.databaseUrl === undefined)
    throw new SettingsError('LINARITE_DATA is :memory:, which keeps no store: set it to the data folder');
  const db = await openDatabase(settings, folder);
  try {
    return { store: db.dialect, applied: await migrate(db, clock.now()) };
  } finally {
    await db.close();
  }
}
