import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { syncFolder } from '../lib/whole-file.ts';
import type { Events } from '../monitoring/events.ts';
import type { Database } from '../storage/database.ts';

interface Uses {
  db: Database;
  /** Undefined when nothing is kept. */
  folder: string | undefined;
  clock: Clock;
  events: Pick<Events, 'notice'>;
}

/** A copy of the store as it was at one instant. */
export interface Backup {
  readonly path: string;
  readonly bytes: number;
  readonly createdAtMs: number;
}

const UNFINISHED = '.unfinished';

/** Copies of the embedded store, made while it is used, in a folder of their own that no request chooses. */
export class Backups {
  readonly #uses: Uses;
  #running = false;

  constructor(uses: Uses) {
    this.#uses = uses;
  }

  /**
   * Makes a copy.
   * @throws ServiceError `BackupUnsupported`, `BackupRunning`, `BackupFailed`
   */
  async make(): Promise<Backup> {
    const { db, folder } = this.#uses;
    if (db.dialect === 'postgres') throw new ServiceError('BackupUnsupported', { values: { why: ON_POSTGRES } });
    if (!db.backUp || folder === undefined) throw new ServiceError('BackupUnsupported', { values: { why: IN_MEMORY } });
    if (this.#running) throw new ServiceError('BackupRunning');
    this.#running = true;
    try {
      return await this.#write(db.backUp, join(folder, 'backups'));
    } catch (cause) {
      const { code = 'unexpected' } = cause as { code?: string };
      throw new ServiceError('BackupFailed', { values: { why: code }, cause });
    } finally {
      this.#running = false;
    }
  }

  async #write(backUp: NonNullable<Database['backUp']>, folder: string): Promise<Backup> {
    const { clock, events } = this.#uses;
    await mkdir(folder, { mode: 0o700, recursive: true });
    for (const name of await readdir(folder)) if (name.endsWith(UNFINISHED)) await rm(join(folder, name)); // of a server that was killed

    const createdAtMs = clock.now();
    const path = join(folder, backupName(createdAtMs));
    const unfinished = path + UNFINISHED;
    const file = await open(unfinished, 'wx', 0o600);
    try {
      const sync = syncer(file);
      await backUp(unfinished, () => sync.begin());
      await sync.end();
      await file.sync();
    } catch (cause) {
      await rm(unfinished, { force: true });
      throw cause;
    } finally {
      await file.close();
    }
    await rename(unfinished, path);
    await syncFolder(folder);
    const { size: bytes } = await stat(path);
    events.notice('info', 'backup made', { path, bytes });
    return { path, bytes, createdAtMs };
  }
}

const ON_POSTGRES = 'the store is on PostgreSQL: use pg_dump';
const IN_MEMORY = 'the store is in memory only';

/** Sorts by age, and is never taken. */
const backupName = (nowMs: number): string =>
  `linarite-${new Date(nowMs).toISOString().replace(/[:.]/g, '-')}-${randomBytes(3).toString('hex')}.db`;

/**
 * Brings a growing file to the disk bit by bit. SQLite does so once, at the end, and holds up everything else meanwhile:
 * measured with 400 MB under load, no transaction waited longer than 30 ms instead of 320.
 */
function syncer(file: FileHandle): { begin: () => void; end: () => Promise<void> } {
  let running: Promise<void> | undefined;
  return {
    begin() {
      running ??= file.datasync().then(
        () => {
          running = undefined;
        },
        () => undefined, // the sync at the end says what is wrong
      );
    },
    end: async () => running,
  };
}
