import { type Database, StoreError } from '../storage/database.ts';
import { statement } from '../storage/sql.ts';
import { RevocationStore } from './revocation-store.ts';

const PAGE = 10_000;

/**
 * Reads the whole revocation log of an embedded store, and insists that every row is there and as it was written,
 * and that the counter stands at the last one. A row with another subject would bring somebody back without a word. PostgreSQL has
 * checksums of its own.
 * @throws StoreError when it is damaged
 */
export async function checkLog(db: Database): Promise<void> {
  if (db.dialect !== 'sqlite') return;
  const [complaint] = await db.rows.all<{ integrity_check: string }>(
    statement('pragma integrity_check(revocation_log)'), // that its index says the same
  );
  if (complaint?.integrity_check !== 'ok')
    throw new StoreError(`the store is damaged: revocation log: ${complaint?.integrity_check}`);
  const store = new RevocationStore(db);
  let last = 0;
  for (;;) {
    const events = await store.after(last, PAGE);
    for (const { seq, kind } of events) {
      if (last > 0 && seq !== last + 1 && kind !== 'all')
        throw new StoreError(`the store is damaged: entry ${seq} of the revocation log follows ${last}`);
      last = seq;
    }
    if (events.length < PAGE) break;
  }
  if (last === 0) return;
  const { seq } = await store.head();
  if (last !== seq)
    throw new StoreError(`the store is damaged: the revocation log ends at ${last}, its counter is at ${seq}`);
}
