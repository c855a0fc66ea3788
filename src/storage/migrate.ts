import { type Database, StoreError } from './database.ts';
import { MIGRATIONS } from './migrations/index.ts';
import { sql, statement } from './sql.ts';

/** A numbered step of the schema, forward only, never edited after a release. */
export interface Migration {
  /** `0001-what-it-does` */
  readonly name: string;
  /**
   * Plain SQL in the part of the language that both databases share, statements separated by semicolons at line ends.
   * Two words stand for what differs: `{id}` is text that compares byte by byte, `{clustered}` keeps the rows in the
   * order of the primary key.
   */
  readonly text: string;
}

const WORDS = {
  sqlite: { id: 'text', clustered: ' without rowid' },
  postgres: { id: 'text collate "C"', clustered: '' },
} as const;

/** Any number, the same in every node: whoever holds it migrates. */
const ADVISORY_LOCK = 741_774_177;

/**
 * Brings the store up to date. Safe when several servers start together.
 * @returns the names of the steps that were taken
 * @throws StoreError when a newer release has already changed the schema
 */
export function migrate({ dialect, writer }: Database, now: number, steps = MIGRATIONS): Promise<string[]> {
  return writer.write(async (tx) => {
    if (dialect === 'postgres') await tx.all(sql`select pg_advisory_xact_lock(${ADVISORY_LOCK})`);
    await tx.run(
      statement('create table if not exists migrations (name text primary key, applied_at bigint not null)'),
    );
    const applied = await tx.all<{ name: string }>(sql`select name from migrations`);
    const done = new Set(applied.map((row) => row.name));

    const unknown = [...done].find((name) => !steps.some((step) => step.name === name));
    if (unknown) {
      throw new StoreError(
        `the store was changed by a newer release (${unknown}): run that release, or restore a backup`,
      );
    }
    const missing = steps.filter((step) => !done.has(step.name));
    for (const step of missing) {
      await tx.run(sql`insert into migrations (name, applied_at) values (${step.name}, ${now})`);
      for (const text of statements(step.text, dialect)) await tx.run(statement(text));
    }
    return missing.map((step) => step.name);
  });
}

const statements = (text: string, dialect: Database['dialect']): string[] =>
  text
    .replaceAll('{id}', WORDS[dialect].id)
    .replaceAll('{clustered}', WORDS[dialect].clustered)
    .split(/;\s*$/m)
    .map((statement) => statement.trim())
    .filter(Boolean);
