import { type Database, StoreError } from './database.ts';
import { MetaStore } from './meta-store.ts';
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
  /**
   * True when the release before can go on with the store: it does not miss what is new (a table, an index, a column that
   * may be left out), and nothing that the new release writes is unknown to it.
   */
  readonly compatible: boolean;
}

/** Name under which the store keeps the newest step that a release must know to use it. */
const NEEDED = 'schema needed';

const WORDS = {
  sqlite: { id: 'text', clustered: ' without rowid' },
  postgres: { id: 'text collate "C"', clustered: '' },
} as const;

/** Any number, the same in every node: the node that holds it migrates. */
const ADVISORY_LOCK = 741_774_177;

/**
 * Brings the store up to date. Safe when several servers start together. A store that a newer release has changed, in ways
 * that all are compatible, stays as it is: see {@link stepsAhead}.
 * @returns the names of the steps that were taken
 * @throws StoreError when a newer release has changed the schema in a way that this one cannot go on with
 */
export function migrate({ dialect, writer }: Database, now: number, steps = MIGRATIONS): Promise<string[]> {
  return writer.write(async (tx) => {
    if (dialect === 'postgres') {
      await tx.all(sql`select pg_advisory_xact_lock(${ADVISORY_LOCK})`);
      // Those that want a table after us wait for as long as we do.
      await tx.run(statement("set local lock_timeout = '1s'"));
    }
    await tx.run(
      statement('create table if not exists migrations (name text primary key, applied_at bigint not null)'),
    );
    const applied = await tx.all<{ name: string }>(sql`select name from migrations`);
    const done = new Set(applied.map((row) => row.name));
    const missing = steps.filter((step) => !done.has(step.name));
    const ahead = unknownOf(done, steps);
    const meta = new MetaStore();
    if (ahead.length > 0) {
      const needed = await meta.get(tx, NEEDED);
      if (missing.length > 0 || !steps.some(({ name }) => name === needed))
        throw new StoreError(
          `a newer release has changed the store (${ahead.join(', ')}), and this release cannot use it: run the newer release, or restore an older backup`,
        );
      return [];
    }
    for (const step of missing) {
      await tx.run(sql`insert into migrations (name, applied_at) values (${step.name}, ${now})`);
      for (const text of statements(step.text, dialect)) await tx.run(statement(text));
    }
    const needed = steps.findLast(({ compatible }) => !compatible)?.name;
    if (needed !== undefined && (await meta.get(tx, NEEDED)) !== needed) await meta.set(tx, NEEDED, needed);
    return missing.map((step) => step.name);
  });
}

/** Names of the steps that a newer release has taken and this one does not know. */
export async function stepsAhead({ rows }: Database, steps = MIGRATIONS): Promise<string[]> {
  const applied = await rows.all<{ name: string }>(sql`select name from migrations order by name`);
  return unknownOf(
    applied.map(({ name }) => name),
    steps,
  );
}

const unknownOf = (applied: Iterable<string>, steps: readonly Migration[]): string[] =>
  [...applied].filter((name) => !steps.some((step) => step.name === name));

const statements = (text: string, dialect: Database['dialect']): string[] =>
  text
    .replaceAll('{id}', WORDS[dialect].id)
    .replaceAll('{clustered}', WORDS[dialect].clustered)
    .split(/;\s*$/m)
    .map((statement) => statement.trim())
    .filter(Boolean);
