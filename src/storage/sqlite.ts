import { accessSync, closeSync, constants, existsSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { backup, DatabaseSync, type StatementSync } from 'node:sqlite';
import { TimeSlice } from '../lib/time-slice.ts';
import { type Database, StoreError } from './database.ts';
import { Compiler, type Rows, type Sql, sql, type Value } from './sql.ts';
import { isLogDamaged } from './sqlite-log.ts';
import { GroupWriter, Yielded } from './writer.ts';

/**
 * The lock is exclusive: a second server on the same folder would have a revocation log of its own, and what it revoked
 * this one would go on accepting. `synchronous=FULL` syncs the log at every commit; less loses acknowledged writes.
 */
const PRAGMAS = [
  'pragma locking_mode = exclusive',
  'pragma journal_mode = wal',
  'pragma synchronous = full',
  'pragma foreign_keys = on',
  'pragma cache_size = -32768',
  'pragma trusted_schema = off',
];

/** Primary result codes that speak of the disk or the file, not of the statement. */
// biome-ignore format: a table
const STORE_FAILURES = new Set([
  5 /* BUSY */, 6 /* LOCKED */, 7 /* NOMEM */, 8 /* READONLY */, 9 /* INTERRUPT */, 10 /* IOERR */, 11 /* CORRUPT */,
  13 /* FULL */, 14 /* CANTOPEN */, 26 /* NOTADB */,
]);
const SYNC_FAILED = [1034 /* IOERR_FSYNC */, 1290 /* IOERR_DIR_FSYNC */];
const MOST_BACKUP_ATTEMPTS = 5;
const CORRUPT = 11;
const DAMAGED = [CORRUPT, 26 /* NOTADB */];
/** Pages copied at a time: 400 KB, for which nobody notices that the connection is busy. */
const PAGES_PER_STEP = 100;

const extendedCode = (cause: unknown): number | undefined =>
  cause instanceof Error && 'errcode' in cause && typeof cause.errcode === 'number' ? cause.errcode : undefined;

const resultCode = (cause: unknown): number | undefined => {
  const code = extendedCode(cause);
  return code === undefined ? undefined : code & 0xff;
};

const isStoreFailure = (cause: unknown): boolean => STORE_FAILURES.has(resultCode(cause) ?? -1);

/** Tells that a file cannot be opened because of what is in it. */
export const isDamaged = (cause: unknown): boolean =>
  cause instanceof StoreError && DAMAGED.includes(resultCode(cause.cause) ?? -1);

/**
 * Opens the embedded store.
 * @param file a path, or `:memory:` for a store that ends with the process
 * @param onSyncFailed called when the disk did not confirm a sync. The store takes no writes from then on, since a sync
 * that is tried again succeeds without anything having reached the disk; the process should end
 * @throws StoreError when another process has it open or the file is no store
 */
export function openSqlite(file: string, onSyncFailed: (cause: unknown) => void = () => undefined): Database {
  const connection = new Connection(file);
  const writer = new GroupWriter({
    onConnection: (work, shouldYield) => connection.exclusively(work, shouldYield),
    begin: 'begin immediate',
    lanes: 1,
    isStoreFailure,
    // Any other failure SQLite has rolled back by itself, and the connection is as good as before.
    afterStoreFailure: (cause) => {
      if (!connection.isWriteable || !SYNC_FAILED.includes(extendedCode(cause) ?? 0)) return;
      connection.stopWriting(cause);
      onSyncFailed(cause);
    },
  });
  return {
    dialect: 'sqlite',
    exclusive: true,
    clock: sql`cast(unixepoch('subsec') * 1000 as integer)`,
    rows: connection.readers(),
    writer,
    isStoreFailure,
    backUp: (to, onStep) => connection.backUp(to, onStep),
    async close() {
      await writer.settled();
      connection.close();
    },
  };
}

interface Prepared {
  /** Gives rows as lists of values. */
  readonly statement: StatementSync;
  readonly columns: readonly string[];
}

/** One connection for everything, with its statements kept. Reads wait while a transaction is under way. */
class Connection {
  readonly #compiler = new Compiler(() => '?');
  readonly #statements = new Map<string, Prepared>();
  readonly #db: DatabaseSync;
  /** Set while a transaction is under way; settles when it is over. */
  #busy: Promise<void> | undefined;
  /** Why nothing is written any more. */
  #syncFailure: unknown;

  constructor(file: string) {
    this.#db = open(file);
  }

  /** For reading: nobody sees what is not committed. */
  readers(): Rows {
    return this.#rows(async () => {
      while (this.#busy) await this.#busy;
    });
  }

  /**
   * Gives the connection to one piece of work, which begins and ends a transaction. Statements run on the thread of the event
   * loop, so a long transaction pauses between two of them: those who neither read nor write are served meanwhile.
   * @param shouldYield asked after each pause: true has the statement throw {@link Yielded}
   */
  async exclusively(work: (tx: Rows) => Promise<void>, shouldYield: () => boolean): Promise<void> {
    while (this.#busy) await this.#busy;
    if (!this.isWriteable) throw this.#syncFailure;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#busy = promise;
    try {
      const slice = new TimeSlice('store');
      let isOver = false; // then only the rollback follows
      const pause = (): Promise<void> | undefined =>
        isOver
          ? undefined
          : slice.pause()?.then(() => {
              isOver = shouldYield();
              if (isOver) throw new Yielded();
            });
      await work(this.#rows(pause));
    } finally {
      this.#busy = undefined;
      resolve();
    }
  }

  /** Copies by this very connection, since nobody else may have one: what is written meanwhile goes into the copy, too. */
  async backUp(to: string, onStep: () => void): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await backup(this.#db, to, { rate: PAGES_PER_STEP, progress: onStep });
        return;
      } catch (cause) {
        // A step that meets a transaction of this connection sometimes ends the copy with "not an error", code 0: once in
        // 60 copies under load (Node.js 26.10). A new copy goes over the old one.
        if (resultCode(cause) !== 0 || attempt === MOST_BACKUP_ATTEMPTS) throw cause;
      }
    }
  }

  get isWriteable(): boolean {
    return this.#syncFailure === undefined;
  }

  stopWriting(cause: unknown): void {
    this.#syncFailure = cause;
  }

  /** SQLite carries the log over into the database when it closes: not after a failed sync, that is left to the next start. */
  close(): void {
    this.#statements.clear();
    if (this.isWriteable && this.#db.isOpen) this.#db.close();
  }

  #rows(turn: () => Promise<void> | undefined): Rows {
    return {
      all: async <Row>(query: Sql) => {
        await turn();
        const { statement, columns, values } = this.#prepare(query);
        return (statement.all(...values) as unknown as Value[][]).map((list) => rowOf<Row>(columns, list));
      },
      first: async <Row>(query: Sql) => {
        await turn();
        const { statement, columns, values } = this.#prepare(query);
        const list = statement.get(...values) as unknown as Value[] | undefined;
        return list && rowOf<Row>(columns, list);
      },
      run: async (query) => {
        await turn();
        const { statement, values } = this.#prepare(query);
        return Number(statement.run(...values).changes);
      },
    };
  }

  #prepare(query: Sql) {
    const { text, values } = this.#compiler.compile(query);
    let prepared = this.#statements.get(text);
    if (!prepared) {
      const statement = this.#db.prepare(text);
      statement.setReturnArrays(true);
      prepared = { statement, columns: statement.columns().map(({ name }) => name) };
      this.#statements.set(text, prepared);
    }
    return { ...prepared, values };
  }
}

/** The objects that `node:sqlite` makes of rows take longer to read from than it takes to make others. */
function rowOf<Row>(columns: readonly string[], list: readonly Value[]): Row {
  const row: Record<string, Value | undefined> = {};
  for (let index = 0; index < columns.length; index += 1) row[columns[index] ?? ''] = list[index];
  return row as Row;
}

function open(file: string): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(file);
    for (const pragma of PRAGMAS) db.exec(pragma);
    db.exec('begin immediate; commit'); // takes the lock now, not at the first write
    writeLogAgain(`${file}-wal`);
    requireIntactPages(db);
    return db;
  } catch (cause) {
    db?.close();
    const code = resultCode(cause);
    if (code === 5)
      throw new StoreError(`${file} is open in another process: stop it, or use another LINARITE_DATA`, { cause });
    if (DAMAGED.includes(code ?? -1))
      throw new StoreError(`${file} is damaged or not a database: restore it from a backup`, { cause });
    const why = unwritable(file) ?? (cause instanceof Error ? cause.message : cause);
    throw new StoreError(`${file} cannot be opened: ${why}`, { cause });
  }
}

/** SQLite calls a disk that takes no writes an I/O error. @returns what is the matter, undefined when it is not that */
function unwritable(file: string): string | undefined {
  for (const path of [dirname(file), file].filter(existsSync)) {
    try {
      accessSync(path, constants.W_OK);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      return code === 'EROFS' ? `${path} is on a read-only disk` : `this user may not write to ${path} (${code})`;
    }
  }
  return undefined;
}

/**
 * Writes what is in the log to where it is already, and syncs it. After a sync that failed the kernel goes on to show what
 * it could not write, and takes it for written: transactions that rest on it would be lost with it in a power cut.
 */
function writeLogAgain(log: string): void {
  if (!existsSync(log)) return;
  const file = openSync(log, 'r+');
  try {
    const bytes = readFileSync(file);
    if (isLogDamaged(bytes)) throw damaged('the write-ahead log');
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at, bytes.length - at, at);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Reads every page, which takes about a second for a million identities. Nothing else would notice one that is seldom used. */
function requireIntactPages(db: DatabaseSync): void {
  const complaint = db.prepare('pragma quick_check(1)').get()?.quick_check;
  if (complaint !== 'ok') throw damaged(String(complaint));
}

/** As SQLite says it. */
const damaged = (what: string): Error => Object.assign(new Error(what), { errcode: CORRUPT });
