import type { Insertable, Selectable } from 'kysely';
import type { Rows, Tables } from '../storage/database.ts';

export class DataKeyStore {
  /** Every data key, oldest first. */
  all(rows: Rows): Promise<Selectable<Tables['data_keys']>[]> {
    return rows.selectFrom('data_keys').selectAll().orderBy('created_at').orderBy('id').execute();
  }

  async insert(tx: Rows, row: Insertable<Tables['data_keys']>): Promise<void> {
    await tx.insertInto('data_keys').values(row).execute();
  }
}
