// node bin/node.js scripts/schema.ts: writes what a fresh database of either kind looks like, so that a change of the schema shows in a review.
// With --check it only compares. PostgreSQL: the one that TEST_POSTGRES_URL names, or a throwaway server.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import type { Database } from '../src/storage/database.ts';
import { migrate } from '../src/storage/migrate.ts';
import { openPostgres } from '../src/storage/postgres.ts';
import { sql } from '../src/storage/sql.ts';
import { openSqlite } from '../src/storage/sqlite.ts';
import { startPostgres } from './postgres.ts';

const FOLDER = join(import.meta.dirname, '../src/storage');

/** The file that holds the picture of one kind of database. */
export const schemaFile = (dialect: Database['dialect']): string => join(FOLDER, `schema.${dialect}.sql`);

/** What a database looks like, the same text for the same schema. */
export async function schemaOf(db: Database): Promise<string> {
  const parts = db.dialect === 'sqlite' ? await sqliteParts(db) : await postgresParts(db);
  return `-- Written by scripts/schema.ts from a fresh database; the source are the migrations.\n\n${parts.join('\n\n')}\n`;
}

interface Line {
  table_name: string;
  text: string;
}

async function sqliteParts({ rows }: Database): Promise<string[]> {
  const found = await rows.all<{ sql: string }>(sql`
    select sql from sqlite_schema where sql is not null and name not like 'sqlite%'
    order by tbl_name, type desc, name`);
  return found.map((row) => `${row.sql};`);
}

interface Line {
  table_name: string;
  text: string;
}

async function postgresParts({ rows }: Database): Promise<string[]> {
  const columns = await rows.all<Line>(sql`
    select table_name, concat(column_name, ' ', data_type,
        case when collation_name is not null then concat(' collate "', collation_name, '"') end,
        case when is_nullable = 'NO' then ' not null' end,
        case when column_default is not null then concat(' default ', column_default) end) as text
    from information_schema.columns where table_schema = 'public' order by table_name, ordinal_position`);
  const constraints = await rows.all<Line>(sql`
    select conrelid::regclass::text as table_name, concat('constraint ', conname, ' ', pg_get_constraintdef(oid)) as text
    from pg_constraint where connamespace = 'public'::regnamespace and contype <> 'n'
    order by contype = 'p' desc, conname`);
  const indexes = await rows.all<Line>(sql`
    select tablename as table_name, indexdef as text from pg_indexes
    where schemaname = 'public' and indexname not in (select conname from pg_constraint) order by indexname`);
  const of = (table: string, lines: readonly Line[]): string[] =>
    lines.filter((line) => line.table_name === table).map((line) => line.text);
  const tables = [...new Set(columns.map((line) => line.table_name))].sort();
  return tables.flatMap((table) => [
    `create table ${table} (\n  ${[...of(table, columns), ...of(table, constraints)].join(',\n  ')}\n);`,
    ...of(table, indexes).map((text) => `${text};`),
  ]);
}

async function freshSqlite(): Promise<string> {
  const db = openSqlite(':memory:');
  await migrate(db, 0);
  return schemaOf(db).finally(() => db.close());
}

async function freshPostgres(): Promise<string> {
  const given = process.env.TEST_POSTGRES_URL;
  const server = given === undefined ? await startPostgres() : undefined;
  const name = `schema_${process.pid}`;
  const client = new pg.Client({ connectionString: given ?? server?.url });
  await client.connect();
  try {
    await client.query(`create database ${name}`);
    const url = new URL(given ?? server?.url ?? '');
    url.pathname = `/${name}`;
    const db = await openPostgres(url.href);
    await migrate(db, 0);
    return await schemaOf(db).finally(() => db.close());
  } finally {
    await client.query(`drop database if exists ${name} with (force)`);
    await client.end();
    await server?.stop();
  }
}

if (import.meta.main) {
  const pictures = { sqlite: await freshSqlite(), postgres: await freshPostgres() };
  for (const [dialect, text] of Object.entries(pictures) as [Database['dialect'], string][]) {
    const file = schemaFile(dialect);
    if (!process.argv.includes('--check')) {
      writeFileSync(file, text);
    } else if (readFileSync(file, 'utf8') !== text) {
      console.error(`${file} is not what the migrations make: node bin/node.js scripts/schema.ts`);
      process.exitCode = 1;
    }
  }
}
