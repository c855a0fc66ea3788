import type { DataKeyRow } from '../storage/database.ts';
import { type Rows, sql } from '../storage/sql.ts';

export class DataKeyStore {
  /** Every data key, oldest first: the last one seals. */
  all(rows: Rows): Promise<DataKeyRow[]> {
    return rows.all(sql`select id, sealed, created_at, encryptions from data_keys order by created_at, id`);
  }

  /**
   * Takes the lock that every change of keys takes first, without a change: two that take it later, in one transaction with
   * others, would wait for each other.
   */
  async lock(tx: Rows): Promise<void> {
    await tx.run(sql`update head set config = config`);
  }

  async insert(tx: Rows, { id, sealed, created_at }: Omit<DataKeyRow, 'encryptions'>): Promise<void> {
    await tx.run(
      sql`insert into data_keys (id, sealed, created_at, encryptions) values (${id}, ${sealed}, ${created_at}, 0)`,
    );
  }

  async rewrap(tx: Rows, id: string, sealed: string): Promise<void> {
    await tx.run(sql`update data_keys set sealed = ${sealed} where id = ${id}`);
  }

  async addEncryptions(tx: Rows, id: string, count: number): Promise<void> {
    await tx.run(sql`update data_keys set encryptions = encryptions + ${count} where id = ${id}`);
  }

  async remove(tx: Rows, id: string): Promise<void> {
    await tx.run(sql`delete from data_keys where id = ${id}`);
  }
}
