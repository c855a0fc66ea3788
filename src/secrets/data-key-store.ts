import type { DataKeyRow } from '../storage/database.ts';
import { type Rows, sql } from '../storage/sql.ts';

export class DataKeyStore {
  /** Every data key, oldest first. */
  all(rows: Rows): Promise<DataKeyRow[]> {
    return rows.all(sql`select id, sealed, created_at from data_keys order by created_at, id`);
  }

  async insert(tx: Rows, { id, sealed, created_at }: DataKeyRow): Promise<void> {
    await tx.run(sql`insert into data_keys (id, sealed, created_at) values (${id}, ${sealed}, ${created_at})`);
  }
}
