import { existsSync } from 'node:fs';
import { chmod, constants, copyFile, link, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { KeySlot } from '../callers.ts';
import { systemClock } from '../lib/clock.ts';
import { syncFolder } from '../lib/whole-file.ts';
import { ResourceStore } from '../resources/resource-store.ts';
import { RevocationStore } from '../revocation/revocation-store.ts';
import { RECOVERY_JUMP } from '../revocation/revocations.ts';
import { kekReader } from '../secrets/kek.ts';
import { KeyRing } from '../secrets/key-ring.ts';
import { type Settings, SettingsError } from '../settings.ts';
import { databaseFile, dataFolder } from '../storage/data-folder.ts';
import { type Database, StoreError } from '../storage/database.ts';
import { migrate, stepsAhead } from '../storage/migrate.ts';
import { sql, statement } from '../storage/sql.ts';
import { isDamaged, openSqlite } from '../storage/sqlite.ts';
import { checkMark } from '../storage/store-checks.ts';
import { SigningKeyStore } from '../tokens/signing-key-store.ts';

/** What {@link restore} did. */
export interface Restored {
  readonly database: string;
  /** Where the database that was replaced lies now; null when there was none. */
  readonly kept: string | null;
  /** Schema steps that the backup was too old to have. */
  readonly applied: readonly string[];
  /** Access keys that were replaced after the backup, and whose former values open again. */
  readonly regenerateKeys: readonly { readonly resource: string; readonly keyType: KeySlot }[];
}

/** What the database that is to be replaced still tells. */
interface Former {
  /** Undefined when it is damaged. Open: its lock keeps every server out until its place is taken. */
  readonly db: Database | undefined;
  /** May be called more than once. */
  readonly close: () => Promise<void>;
  readonly seq: number;
  readonly keys: ReadonlyMap<string, number>;
}

/**
 * Replaces the embedded store by a backup. Nothing is touched before the backup has been verified: integrity, schema, mode
 * and key-encryption key. A backup has forgotten who was revoked after it, so every token issued so far ends: the log goes
 * beyond any position ever given out, and the signing keys are withdrawn (security-and-reliability, section 3.7).
 * @param file the backup; it is copied
 * @throws SettingsError, StoreError
 */
export async function restore(settings: Settings, file: string, clock = systemClock): Promise<Restored> {
  if (settings.databaseUrl !== undefined) throw new SettingsError(ON_POSTGRES);
  const keks = await kekReader(settings)();
  const folder = dataFolder(settings);
  if (folder === undefined)
    throw new SettingsError('LINARITE_DATA is :memory:, which keeps no store: set it to the data folder');
  const database = databaseFile(folder);
  await requireOther(file, database);

  const former = await openFormer(database);
  const staged = `${database}.restoring`;
  try {
    await stage(file, staged);
    const db = openStaged(staged, file);
    let prepared: Pick<Restored, 'applied' | 'regenerateKeys'>;
    try {
      await requireIntact(db, file);
      const applied = await migrate(db, clock.now());
      const ahead = await stepsAhead(db);
      if (ahead.length > 0)
        throw new StoreError(`${file} was made by a newer release (${ahead.join(', ')}): restore it with that release`);
      await requireSchema(db, file, clock.now());
      await checkMark(db, settings.mode);
      await KeyRing.open({ db, clock, readKeks: async () => keks }); // throws when the backup was made under another key-encryption key
      const regenerateKeys = await replacedSince(db, former);
      await endEverything(db, former?.seq ?? 0);
      prepared = { applied, regenerateKeys };
    } finally {
      await db.close();
    }
    const kept = former && `${database}.before-restore-${new Date(clock.now()).toISOString().replace(/[:.]/g, '-')}`;
    await takePlace(staged, database, former, kept);
    return { database, kept: kept ?? null, ...prepared };
  } finally {
    await former?.close();
    for (const suffix of ['', ...COMPANIONS]) await rm(staged + suffix, { force: true });
  }
}

const ON_POSTGRES =
  'LINARITE_DATABASE_URL is set: restore a PostgreSQL store with pg_restore while no server runs, start one, and then run `linarite recover --accept-rollback`';

/** Files that SQLite keeps beside a database that was not closed. */
const COMPANIONS = ['-wal', '-shm', '-journal'];

/** @throws StoreError when the backup is not there, is no finished file, or is the very database it would replace */
async function requireOther(file: string, database: string): Promise<void> {
  const path = await realpath(file).catch((cause: NodeJS.ErrnoException) => {
    throw new StoreError(`${file} cannot be read (${cause.code})`, { cause });
  });
  if (existsSync(database) && path === (await realpath(database)))
    throw new StoreError(`${file} is the database in use, not a backup: give the file of a backup`);
  const log = await stat(`${path}-wal`).catch(() => undefined);
  if (log && log.size > 0)
    throw new StoreError(
      `${file} has a write-ahead log beside it, so it is a database that was not closed, not a backup`,
    );
}

/** Takes the lock of the database that is to be replaced, and reads what a backup of it cannot know. */
async function openFormer(database: string): Promise<Former | undefined> {
  if (!existsSync(database)) return undefined;
  const db = openUnlessDamaged(database);
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    closing ??= db?.close();
    await closing;
  };
  try {
    const { seq } = db ? await new RevocationStore(db).head() : { seq: 0 };
    const store = new ResourceStore();
    const keys = db ? await store.keys(db.rows) : [];
    return { db, close, seq, keys: new Map(keys.map((key) => [`${key.resource_id} ${key.slot}`, key.version])) };
  } catch {
    return { db, close, seq: 0, keys: new Map() }; // damaged farther in
  }
}

/** @returns undefined for a damaged database: that is what backups are for. @throws StoreError when a server has it open */
function openUnlessDamaged(database: string): Database | undefined {
  try {
    return openSqlite(database);
  } catch (cause) {
    if (!isDamaged(cause)) throw cause;
    return undefined;
  }
}

async function stage(file: string, staged: string): Promise<void> {
  for (const suffix of ['', ...COMPANIONS]) await rm(staged + suffix, { force: true }); // of a restore that was killed
  await copyFile(file, staged, constants.COPYFILE_EXCL);
  await chmod(staged, 0o600);
}

function openStaged(staged: string, file: string): Database {
  try {
    return openSqlite(staged);
  } catch (cause) {
    if (isDamaged(cause)) throw new StoreError(`${file} is damaged or not a database`, { cause });
    throw cause;
  }
}

/** @throws StoreError when a page of the backup is damaged */
async function requireIntact(db: Database, file: string): Promise<void> {
  const found = await db.rows
    .all<{ integrity_check: string }>(statement('pragma integrity_check(1)'))
    .catch((cause: unknown) => [{ integrity_check: (cause as Error).message }]);
  const [complaint] = found;
  if (complaint?.integrity_check !== 'ok')
    throw new StoreError(`${file} is damaged (${complaint?.integrity_check}): use another backup`);
  const head = await db.rows.first(statement('select seq from head where id = 1')).catch(() => undefined);
  if (!head) throw new StoreError(`${file} is a database, but not a store of Linarite`);
}

interface SchemaRow {
  type: string;
  name: string;
  sql: string | null;
}

const SCHEMA = sql`select type, name, sql from sqlite_schema where name not like 'sqlite\\_%' escape '\\' order by name`;

/** Compares the tables with those that this release makes. @throws StoreError when one differs or something could run by itself */
async function requireSchema(db: Database, file: string, now: number): Promise<void> {
  const model = openSqlite(':memory:');
  try {
    await migrate(model, now);
    const found = await db.rows.all<SchemaRow>(SCHEMA);
    const texts = new Map(found.map((row) => [row.name, row.sql]));
    const differing = (await model.rows.all<SchemaRow>(SCHEMA)).find((row) => texts.get(row.name) !== row.sql);
    const acting = found.find(({ type }) => type !== 'table' && type !== 'index');
    const odd = differing ?? acting;
    if (odd) throw new StoreError(`the schema of ${file} differs from that of this release (${odd.type} ${odd.name})`);
  } finally {
    await model.close();
  }
}

/** Keys of living resources whose version is newer in the former database than in the backup. */
async function replacedSince(db: Database, former: Former | undefined): Promise<Restored['regenerateKeys']> {
  const store = new ResourceStore();
  const names = new Map((await store.living(db.rows)).map(({ id, name }) => [id, name]));
  return (await store.keys(db.rows))
    .filter(({ resource_id, slot, version }) => (former?.keys.get(`${resource_id} ${slot}`) ?? 0) > version)
    .map(({ resource_id, slot }) => ({ resource: names.get(resource_id) ?? resource_id, keyType: slot }));
}

/**
 * Moves the log beyond everything that was ever given out and ends it all. By the distance that surely suffices even where
 * the former database tells its position: it may itself have been an older one.
 */
async function endEverything(db: Database, formerSeq: number): Promise<void> {
  const log = new RevocationStore(db);
  await db.writer.write(async (tx) => {
    const { seq } = await log.head(tx);
    await log.jump(tx, Math.max(RECOVERY_JUMP, formerSeq - seq));
    const ended = await log.append(tx, { kind: 'all' });
    await new SigningKeyStore().killAll(tx, ended.seq);
    await log.configChanged(tx);
  });
}

/** Puts the new database where the former one is. The name is never free in between: a server would make a new one. */
async function takePlace(
  staged: string,
  database: string,
  former: Former | undefined,
  kept: string | undefined,
): Promise<void> {
  if (former && kept !== undefined) await setAside(database, former, kept);
  await rename(staged, database);
  await syncFolder(dirname(database));
}

/** Gives the former database another name, with its lock still held where the system allows it. */
async function setAside(database: string, { db, close }: Former, kept: string): Promise<void> {
  // Nothing may be left beside the new database that SQLite would take for a part of it.
  if (db && process.platform !== 'win32') {
    const journal = await db.rows.first<{ journal_mode: string }>(statement('pragma journal_mode = delete'));
    if (journal?.journal_mode === 'delete' && (await linked(database, kept))) {
      await rm(`${database}-journal`, { force: true }); // finished, and kept only while the lock is held
      return;
    }
  }
  await close();
  await rename(database, kept);
  for (const suffix of COMPANIONS) await rename(database + suffix, kept + suffix).catch(() => undefined);
}

/** Not every file system knows two names for one file. */
const linked = (file: string, name: string): Promise<boolean> =>
  link(file, name).then(
    () => true,
    () => false,
  );
