import type { Clock } from '../lib/clock.ts';
import { type Settings, SettingsError } from '../settings.ts';
import { BUILT_AT_MS } from '../version.ts';
import { type Database, StoreError } from './database.ts';
import { MetaStore } from './meta-store.ts';
import { sql } from './sql.ts';

const MARK = 'mode';
const HIGH_WATER = 'clock high water';
const CLOCK_TOLERANCE_MS = 5 * 60_000;

/**
 * Marks a new store with the mode that made it, and refuses one of the other mode: what was made with published keys
 * must never be served to the world, and the other way round.
 * @throws StoreError
 */
export async function checkMark(db: Database, mode: Settings['mode']): Promise<void> {
  const meta = new MetaStore();
  const mark = await db.writer.write((tx) => meta.setOnce(tx, MARK, mode));
  if (mark === mode) return;
  throw new StoreError(
    `the store was made in ${mark} mode and cannot be opened in ${mode} mode: use another LINARITE_DATA or LINARITE_DATABASE_URL`,
  );
}

/** @throws SettingsError when the clock is certainly wrong: tokens would be issued for the past */
export async function checkClock(db: Database, clock: Clock): Promise<void> {
  const now = clock.now();
  if (now < BUILT_AT_MS)
    throw new SettingsError('the system clock is earlier than the date of this release: set the clock');
  const highWater = Number((await new MetaStore().get(db.rows, HIGH_WATER)) ?? 0);
  if (now < highWater - CLOCK_TOLERANCE_MS) {
    throw new SettingsError(
      `the system clock is behind the last time that this store has seen, ${new Date(highWater).toISOString()}: set the clock`,
    );
  }
}

/** Settings of PostgreSQL with which a crash of it, or of its machine, loses what it had confirmed. */
const UNSAFE = ['fsync', 'synchronous_commit', 'full_page_writes'] as const;

/** @throws StoreError when the database confirms changes that a crash can lose */
export async function checkDurability(db: Database): Promise<void> {
  if (db.dialect !== 'postgres') return;
  for (const setting of UNSAFE) {
    const row = await db.rows.first<{ value: string }>(sql`select current_setting(${setting}) as value`);
    if (row?.value === 'off')
      throw new StoreError(`PostgreSQL runs with ${setting} = off, so a crash can lose confirmed writes: turn it on`);
  }
}

/** Notes how late it has been, for the next start's {@link checkClock}. */
export async function noteClock(db: Database, clock: Clock): Promise<void> {
  await db.writer.write((tx) => new MetaStore().set(tx, HIGH_WATER, String(clock.now())), HIGH_WATER);
}
