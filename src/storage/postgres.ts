import { hash } from 'node:crypto';
import type pg from 'pg';
import { type Database, StoreError } from './database.ts';
import { Compiler, type Rows, type Sql, sql } from './sql.ts';
import { GroupWriter } from './writer.ts';

/** Classes of SQLSTATE that speak of the connection or the server, not of the statement (appendix A of the manual). */
const STORE_FAILURES = /^(08|25|40|53|55|57|58|XX)/;
const CONNECTIONS = 8;
const LANES = 4;
/** The type bigint. Positions and instants are below 2^53, so numbers hold them; the driver would hand out text. */
const INT8 = 20;

/** A statement that the server refused has a SQLSTATE of another class; without any SQLSTATE, the connection broke. */
function isStoreFailure(cause: unknown): boolean {
  if (!(cause instanceof Error) || cause.name === 'ServiceError') return false;
  const code = (cause as { code?: unknown }).code;
  if (typeof code === 'string') return STORE_FAILURES.test(code) || !/^[0-9A-Z]{5}$/.test(code);
  return /connection|terminated|timeout/i.test(cause.message);
}

/**
 * Opens PostgreSQL.
 * @param url `postgres://user:password@host/database`
 * @throws StoreError when it cannot be reached or is older than 15
 */
export async function openPostgres(url: string): Promise<Database> {
  const { default: driver } = await import('pg'); // half of the servers never need it
  const types = {
    getTypeParser: (oid: number, format?: 'text' | 'binary') =>
      oid === INT8 ? Number : driver.types.getTypeParser(oid, format),
  };
  const pool = new driver.Pool({
    connectionString: url,
    max: CONNECTIONS,
    connectionTimeoutMillis: 5000,
    statement_timeout: 10_000,
    query_timeout: 12_000, // ours, for a connection that was cut without notice
    keepAlive: true,
    idle_in_transaction_session_timeout: 15_000,
    application_name: 'linarite',
    types: types as typeof driver.types,
  });
  // A connection that breaks while nobody waits for an answer shows itself at the next statement. The listener stays for
  // the connection's whole life: without one, such an error ends the process.
  pool.on('error', ignore);
  pool.on('connect', (client) => client.on('error', ignore));
  await requireVersion(pool, new driver.Client({ connectionString: url }));

  const compiler = new Compiler((index) => `$${index}`);
  const writer = new GroupWriter({
    onConnection: (work) => onConnection(pool, (client) => work(rowsOf(client, compiler))),
    begin: 'begin',
    takeTurns,
    lanes: LANES,
    isLostRace: (cause) => /^40/.test(String((cause as { code?: unknown }).code)),
    isStoreFailure,
  });
  return {
    dialect: 'postgres',
    exclusive: false,
    clock: sql`(extract(epoch from clock_timestamp()) * 1000)::bigint`,
    rows: rowsOf(pool, compiler),
    writer,
    isStoreFailure,
    async close() {
      await writer.settled();
      await pool.end();
    },
  };
}

/**
 * Takes advisory locks, which end with the transaction: all in the order of their numbers, before anything else is locked.
 * No transaction that waits for a lock has one that the holder waits for.
 */
async function takeTurns(tx: Rows, turns: readonly string[]): Promise<void> {
  const numbers = turns.map((turn) => hash('sha256', turn, 'buffer').readUIntBE(0, 6)).sort((a, b) => a - b);
  await tx.run(sql`select pg_advisory_xact_lock(number) from unnest(${`{${numbers}}`}::bigint[]) as number`);
}

/** @param place where the driver looks: the address with what the environment adds to it */
async function requireVersion(pool: pg.Pool, place: { host: string; port: number }): Promise<void> {
  const server = `PostgreSQL at ${place.host} port ${place.port}`;
  try {
    const { rows } = await pool.query<{ server_version_num: string }>('show server_version_num');
    if (Number(rows[0]?.server_version_num) < 150000)
      throw new StoreError(`${server} is too old: 15 or newer is needed`);
  } catch (cause) {
    await pool.end();
    if (cause instanceof StoreError) throw cause;
    throw new StoreError(`${server} ${refusal(cause)}: check LINARITE_DATABASE_URL`, { cause });
  }
}

/** What the server said of the user, the password or the database; or that it said nothing. */
function refusal(cause: unknown): string {
  const { code = 'no answer', message } = cause as { code?: string; message: string };
  return /^[0-9A-Z]{5}$/.test(code) ? `refuses the connection: ${message}` : `cannot be reached (${code})`;
}

/** Runs work on one connection. One on which something failed is thrown away: nobody knows what state it is in. */
async function onConnection(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<void>): Promise<void> {
  const client = await pool.connect();
  let failure: Error | undefined;
  try {
    await work(client);
  } catch (cause) {
    failure = cause instanceof Error ? cause : new Error('the work failed', { cause });
    throw cause;
  } finally {
    client.release(failure);
  }
}

const ignore = (): void => {};

const rowsOf = (client: pg.Pool | pg.PoolClient, compiler: Compiler): Rows => {
  const query = (statement: Sql) => client.query(compiler.compile(statement));
  return {
    all: async <Row>(statement: Sql) => (await query(statement)).rows as Row[],
    first: async <Row>(statement: Sql) => (await query(statement)).rows[0] as Row | undefined,
    run: async (statement) => (await query(statement)).rowCount ?? 0,
  };
};
