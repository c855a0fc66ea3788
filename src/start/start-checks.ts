import type { Clock } from '../lib/clock.ts';
import { isLoopback } from '../lib/loopback.ts';
import type { Resources } from '../resources/resources.ts';
import { type Settings, SettingsError } from '../settings.ts';
import { type Database, StoreError } from '../storage/database.ts';
import { MetaStore } from '../storage/meta-store.ts';
import { sql } from '../storage/sql.ts';
import { BUILT_AT_MS } from '../version.ts';

/** What the settings alone must fulfil. @throws SettingsError naming the setting and the mend */
export function checkSettings({
  mode,
  hosts,
  wellKnownKey,
  publicUrl,
  tlsCertificate,
  trustedProxies,
}: Settings): void {
  const exposed = hosts.find((host) => !isLoopback(host));
  if (hosts.length === 0) throw new SettingsError('LINARITE_HOST must name at least one address');
  if (mode === 'dev') {
    if (exposed !== undefined && wellKnownKey === 'loopback') {
      throw new SettingsError(
        `LINARITE_HOST names ${exposed}, which other machines can reach, and the development key is published: set LINARITE_WELL_KNOWN_KEY=off for random keys, or listen on loopback addresses only`,
      );
    }
    return;
  }
  if (publicUrl === undefined) {
    throw new SettingsError('LINARITE_PUBLIC_URL is needed in production mode: tokens name it as their issuer');
  }
  if (!publicUrl.startsWith('https://'))
    throw new SettingsError('LINARITE_PUBLIC_URL must begin with https:// in production mode');
  if (exposed !== undefined && tlsCertificate === undefined && trustedProxies.length === 0) {
    throw new SettingsError(
      `LINARITE_HOST names ${exposed}, which other machines can reach without TLS: set LINARITE_TLS_CERT and LINARITE_TLS_KEY, or LINARITE_TRUSTED_PROXIES when a proxy ends TLS in front`,
    );
  }
}

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

/** @throws SettingsError when production mode would serve the published development key */
export function checkNoWellKnownKey(resources: Resources): void {
  const owner = resources.list().find(({ id }) => resources.get(id).keys.some((key) => key.wellKnown));
  if (owner)
    throw new SettingsError(
      `the resource ${owner.name} has the published development key: regenerate it before production mode`,
    );
}
