import { backup, DatabaseSync, type StatementSync } from 'node:sqlite';
import { type Database, StoreError } from './database.ts';
import { Compiler, type Rows, type Sql, sql } from './sql.ts';
import { GroupWriter } from './writer.ts';

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
const IO_ERROR = 10;
const MOST_BACKUP_ATTEMPTS = 5;
const DAMAGED = [11 /* CORRUPT */, 26 /* NOTADB */];
/** Pages copied at a time: 400 KB, for which nobody notices that the connection is busy. */
const PAGES_PER_STEP = 100;

const resultCode = (cause: unknown): number | undefined =>
  cause instanceof Error && 'errcode' in cause && typeof cause.errcode === 'number' ? cause.errcode & 0xff : undefined;

/** Also when it could not be opened again after an earlier failure. */
const isStoreFailure = (cause: unknown): boolean => STORE_FAILURES.has(resultCode(cause) ?? -1) || isClosed(cause);

const isClosed = (cause: unknown): boolean => (cause as { code?: unknown } | undefined)?.code === 'ERR_INVALID_STATE';

/** Tells that a file cannot be opened because of what is in it. */
export const isDamaged = (cause: unknown): boolean =>
  cause instanceof StoreError && DAMAGED.includes(resultCode(cause.cause) ?? -1);

/**
 * Opens the embedded store.
 * @param file a path, or `:memory:` for a store that ends with the process
 * @throws StoreError when another process has it open or the file is no store
 */
export function openSqlite(file: string): Database {
  const connection = new Connection(file);
  const writer = new GroupWriter({
    onConnection: (work) => connection.exclusively(work),
    begin: 'begin immediate',
    lanes: 1,
    isStoreFailure,
    // After a failed sync the kernel may have dropped the pages: only what the disk holds counts, so read it anew.
    afterStoreFailure: (cause) => {
      if ((resultCode(cause) === IO_ERROR || isClosed(cause)) && file !== ':memory:') connection.reopen();
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

/** One connection for everything, with its statements kept. Who reads waits while a transaction is under way. */
class Connection {
  readonly #file: string;
  readonly #compiler = new Compiler(() => '?');
  readonly #statements = new Map<string, StatementSync>();
  #db: DatabaseSync;
  /** Set while a transaction is under way; settles when it is over. */
  #busy: Promise<void> | undefined;

  constructor(file: string) {
    this.#file = file;
    this.#db = open(file);
  }

  /** For reading: nobody sees what is not committed. */
  readers(): Rows {
    return this.#rows(async () => {
      while (this.#busy) await this.#busy;
    });
  }

  /** Gives the connection to one piece of work, which begins and ends a transaction. */
  async exclusively(work: (tx: Rows) => Promise<void>): Promise<void> {
    while (this.#busy) await this.#busy;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#busy = promise;
    try {
      await work(this.#rows(() => undefined));
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

  reopen(): void {
    this.close();
    this.#db = open(this.#file);
  }

  close(): void {
    this.#statements.clear();
    if (this.#db.isOpen) this.#db.close();
  }

  #rows(turn: () => Promise<void> | undefined): Rows {
    return {
      all: async <Row>(query: Sql) => {
        await turn();
        const { statement, values } = this.#prepare(query);
        return statement.all(...values) as Row[];
      },
      first: async <Row>(query: Sql) => {
        await turn();
        const { statement, values } = this.#prepare(query);
        return statement.get(...values) as Row | undefined;
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
    let statement = this.#statements.get(text);
    if (!statement) {
      statement = this.#db.prepare(text);
      this.#statements.set(text, statement);
    }
    return { statement, values };
  }
}

function open(file: string): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(file);
    for (const pragma of PRAGMAS) db.exec(pragma);
    db.exec('begin immediate; commit'); // takes the lock now, not at the first write
    return db;
  } catch (cause) {
    db?.close();
    const code = resultCode(cause);
    if (code === 5)
      throw new StoreError(`${file} is open in another process: stop it, or use another LINARITE_DATA`, { cause });
    if (DAMAGED.includes(code ?? -1))
      throw new StoreError(`${file} is damaged or not a database: restore it from a backup`, { cause });
    throw new StoreError(`${file} cannot be opened: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}
