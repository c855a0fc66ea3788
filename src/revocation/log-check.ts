import { type Database, StoreError } from '../storage/database.ts';
import { sql, statement } from '../storage/sql.ts';
import { RevocationStore } from './revocation-store.ts';

const PAGE = 1000;

/**
 * Reads the revocation log of an embedded store up to where {@link Revocations.start} begins to read it itself, and insists
 * that every entry is there and as it was written, and that the counter stands at the last one: an entry with another
 * instant would be left out, and bring somebody's access back unnoticed. PostgreSQL has checksums of its own.
 * @throws StoreError when it is damaged
 */
export async function checkLog(db: Database, end: number): Promise<void> {
  if (db.dialect !== 'sqlite') return;
  const [complaint] = await db.rows.all<{ integrity_check: string }>(
    statement('pragma integrity_check(revocation_log)'), // that its index says the same
  );
  if (complaint?.integrity_check !== 'ok')
    throw new StoreError(`the store is damaged: revocation log: ${complaint?.integrity_check}`);
  const ends = await db.rows.first<{ last: number | null }>(sql`select max(seq) as last from revocation_log`);
  if (!ends?.last) return;
  const store = new RevocationStore(db);
  const { seq: counter } = await store.head();
  if (ends.last !== counter)
    throw new StoreError(`the store is damaged: the revocation log ends at ${ends.last}, its counter is at ${counter}`);
  let last = 0;
  while (last < end) {
    const events = await store.after(last, PAGE);
    for (const { seq, kind } of events) {
      if (last > 0 && seq !== last + 1 && kind !== 'all')
        throw new StoreError(`the store is damaged: entry ${seq} of the revocation log follows ${last}`);
      last = seq;
    }
    if (events.length < PAGE) return;
  }
}
