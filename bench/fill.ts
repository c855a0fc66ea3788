import { closeSync, fsyncSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { identityIdMaker } from '../src/identities/identity.ts';
import { DEV_RESOURCE } from '../src/resources/resource.ts';

const ROWS_PER_TRANSACTION = 200_000;
const MEGA = 1e6;

export interface Filled {
  /** Some of the identities, spread evenly over all of them. */
  readonly ids: readonly string[];
  readonly megabytes: number;
}

/**
 * Puts identities into the store of a server that is stopped, as if one had been made every millisecond up to now.
 * Nothing is synced on the way, and everything at the end: the disk must be quiet when the measuring begins.
 */
export function fill(folder: string, count: number, sample: number): Filled {
  const path = join(folder, 'linarite.db');
  const db = new DatabaseSync(path);
  for (const pragma of [
    'locking_mode = exclusive',
    'journal_mode = off',
    'synchronous = off',
    'cache_size = -262144',
  ]) {
    db.exec(`pragma ${pragma}`);
  }
  const insert = db.prepare(
    `insert into identities (resource_id, id, custom_id, created_at, last_token_issued_at, revoked_seq, tokens_valid_from)
     values (?, ?, null, ?, null, 0, null)`,
  );
  const newId = identityIdMaker();
  const first = Date.now() - count;
  const step = Math.max(1, Math.floor(count / sample));
  const ids: string[] = [];
  db.exec('begin');
  for (let row = 0; row < count; row += 1) {
    const at = first + row;
    const id = newId(DEV_RESOURCE.id, at);
    insert.run(DEV_RESOURCE.id, id, at);
    if (row % step === 0) ids.push(id);
    if (row % ROWS_PER_TRANSACTION === ROWS_PER_TRANSACTION - 1) db.exec('commit; begin');
  }
  db.exec('commit');
  db.close();
  const file = openSync(path, 'r+');
  fsyncSync(file);
  closeSync(file);
  return { ids, megabytes: statSync(path).size / MEGA };
}
