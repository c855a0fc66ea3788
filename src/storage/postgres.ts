import { Kysely, PostgresDialect, sql } from 'kysely';
import type { Database, Tables } from './database.ts';
import { StoreError } from './database.ts';
import { GroupWriter } from './writer.ts';

/** Classes of SQLSTATE that speak of the connection or the server, not of the statement (appendix A of the manual). */
const STORE_FAILURES = /^(08|25|40|53|55|57|58|XX)/;
/** A statement that the server refused has a SQLSTATE of another class; without any SQLSTATE, the connection broke. */
function isStoreFailure(cause: unknown): boolean {
  if (!(cause instanceof Error) || cause.name === 'ServiceError') return false;
  const code = (cause as { code?: unknown }).code;
  if (typeof code === 'string') return STORE_FAILURES.test(code) || !/^[0-9A-Z]{5}$/.test(code);
  return /connection|terminated|timeout/i.test(cause.message);
}

const CONNECTIONS = 8;
const LANES = 4;

/**
 * Opens PostgreSQL.
 * @param url `postgres://user:password@host/database`
 * @throws StoreError when it cannot be reached or is older than 15
 */
export async function openPostgres(url: string): Promise<Database> {
  const { default: pg } = await import('pg'); // half of the servers never need it
  // Positions and instants are below 2^53, so numbers hold them; the driver would hand out text.
  const types = {
    getTypeParser: (oid: number, format?: 'text' | 'binary') =>
      oid === 20 ? Number : pg.types.getTypeParser(oid, format),
  };
  const pool = new pg.Pool({
    connectionString: url,
    max: CONNECTIONS,
    connectionTimeoutMillis: 5000,
    statement_timeout: 10_000,
    idle_in_transaction_session_timeout: 15_000,
    application_name: 'linarite',
    types: types as typeof pg.types,
  });
  pool.on('error', () => undefined); // an idle connection that broke; the next query gets a new one

  try {
    const { rows } = await pool.query<{ server_version_num: string }>('show server_version_num');
    if (Number(rows[0]?.server_version_num) < 150000) throw new StoreError('PostgreSQL 15 or newer is needed');
  } catch (cause) {
    await pool.end();
    if (cause instanceof StoreError) throw cause;
    throw new StoreError(`PostgreSQL cannot be reached: ${(cause as { code?: string }).code ?? 'no answer'}`, {
      cause,
    });
  }

  const rows = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  const writer = new GroupWriter({
    rows,
    begin: 'begin',
    lanes: LANES,
    isLostRace: (cause) => /^40/.test(String((cause as { code?: unknown }).code)),
    isStoreFailure,
  });
  return {
    dialect: 'postgres',
    exclusive: false,
    clock: sql<number>`(extract(epoch from clock_timestamp()) * 1000)::bigint`,
    rows,
    writer,
    isStoreFailure,
    async close() {
      await writer.settled();
      await rows.destroy();
    },
  };
}
