import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { Kysely, SqliteDialect, sql } from 'kysely';
import { type Database, StoreError, type Tables } from './database.ts';
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
const STORE_FAILURES = new Set([
  5 /* BUSY */, 6 /* LOCKED */, 7 /* NOMEM */, 8 /* READONLY */, 9 /* INTERRUPT */, 10 /* IOERR */, 11 /* CORRUPT */,
  13 /* FULL */, 14 /* CANTOPEN */, 26 /* NOTADB */,
]);
const IO_ERROR = 10;

const resultCode = (cause: unknown): number | undefined =>
  cause instanceof Error && 'errcode' in cause && typeof cause.errcode === 'number' ? cause.errcode & 0xff : undefined;

const isStoreFailure = (cause: unknown): boolean => STORE_FAILURES.has(resultCode(cause) ?? -1);

/**
 * Opens the embedded store.
 * @param file a path, or `:memory:` for a store that ends with the process
 * @throws StoreError when another process has it open or the file is no store
 */
export function openSqlite(file: string): Database {
  const connection = new Connection(file);
  const rows = new Kysely<Tables>({ dialect: new SqliteDialect({ database: connection }) });
  const writer = new GroupWriter({
    rows,
    begin: 'begin immediate',
    lanes: 1,
    isStoreFailure,
    // After a failed sync the kernel may have dropped the pages: only what the disk holds counts, so read it anew.
    afterStoreFailure: (cause) => {
      if (resultCode(cause) === IO_ERROR && file !== ':memory:') connection.reopen();
    },
  });
  return {
    dialect: 'sqlite',
    exclusive: true,
    clock: sql<number>`cast(unixepoch('subsec') * 1000 as integer)`,
    rows,
    writer,
    isStoreFailure,
    async close() {
      await writer.settled();
      await rows.destroy();
    },
  };
}

/** What Kysely asks of a SQLite driver, over Node's own, with its statements kept. */
class Connection {
  readonly #file: string;
  readonly #statements = new Map<string, Statement>();
  #db: DatabaseSync;

  constructor(file: string) {
    this.#file = file;
    this.#db = open(file);
  }

  prepare(text: string): Statement {
    let statement = this.#statements.get(text);
    if (!statement) {
      statement = new Statement(this.#db.prepare(text));
      this.#statements.set(text, statement);
    }
    return statement;
  }

  reopen(): void {
    this.close();
    this.#db = open(this.#file);
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
  }
}

class Statement {
  readonly reader: boolean;
  readonly #statement: StatementSync;

  constructor(statement: StatementSync) {
    this.#statement = statement;
    this.reader = statement.columns().length > 0;
  }

  all(parameters: readonly unknown[]): unknown[] {
    return this.#statement.all(...(parameters as SQLInputValue[]));
  }

  run(parameters: readonly unknown[]) {
    return this.#statement.run(...(parameters as SQLInputValue[]));
  }

  iterate(parameters: readonly unknown[]): IterableIterator<unknown> {
    return this.#statement.iterate(...(parameters as SQLInputValue[]));
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
    if (code === 11 || code === 26)
      throw new StoreError(`${file} is damaged or not a database: restore it from a backup`, { cause });
    throw new StoreError(`${file} cannot be opened: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}
