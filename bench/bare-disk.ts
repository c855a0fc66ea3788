import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { identityIdMaker } from '../src/identities/identity.ts';
import { DEV_RESOURCE } from '../src/resources/resource.ts';

/** The pragmas of src/storage/sqlite.ts: without the same durability there is nothing to compare. */
const PRAGMAS = ['locking_mode = exclusive', 'journal_mode = wal', 'synchronous = full', 'cache_size = -32768'];

/** The embedded database with nothing around it: no HTTP, no signatures, no promises, no other thread. */
export class BareStore {
  readonly #db: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #newId = identityIdMaker();

  constructor(folder: string) {
    this.#db = new DatabaseSync(join(folder, 'bare.db'));
    for (const pragma of PRAGMAS) this.#db.exec(`pragma ${pragma}`);
    this.#db.exec(
      `create table identities (resource_id text not null, id text not null, custom_id text, created_at bigint not null,
         last_token_issued_at bigint, revoked_seq bigint not null, tokens_valid_from bigint,
         primary key (resource_id, id)) without rowid;
       create unique index identities_by_custom_id on identities (resource_id, custom_id) where custom_id is not null`,
    );
    this.#insert = this.#db.prepare('insert into identities values (?, ?, null, ?, null, 0, null)');
  }

  /** Inserts a row per identity, so many to a durable transaction. @returns rows a second of wall time */
  rowsPerSecond(count: number, group: number): number {
    const size = Math.max(1, Math.round(group));
    const started = performance.now();
    for (let done = 0; done < count; done += size) {
      this.#db.exec('begin immediate');
      for (let row = 0; row < size; row += 1) {
        const now = Date.now();
        this.#insert.run(DEV_RESOURCE.id, this.#newId(DEV_RESOURCE.id, now), now);
      }
      this.#db.exec('commit');
    }
    return (Math.ceil(count / size) * size * 1000) / (performance.now() - started);
  }

  close(): void {
    this.#db.close();
  }
}

/** Appends a WAL frame's worth and syncs, again and again. @returns syncs a second of wall time */
export function syncsPerSecond(folder: string, count: number): number {
  const path = join(folder, 'sync');
  const file = openSync(path, 'w');
  const frame = Buffer.alloc(4120, 1);
  const started = performance.now();
  for (let done = 0; done < count; done += 1) {
    writeSync(file, frame);
    fdatasyncSync(file);
  }
  const rate = (count * 1000) / (performance.now() - started);
  closeSync(file);
  rmSync(path);
  return rate;
}
