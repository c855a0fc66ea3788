import type { Insertable, Selectable } from 'kysely';
import type { KeySlot, ResourceId } from '../callers.ts';
import type { Rows, Tables } from '../storage/database.ts';

export type ResourceRow = Selectable<Tables['resources']>;
export type AccessKeyRow = Selectable<Tables['access_keys']>;

export class ResourceStore {
  /** Every living resource, oldest first. */
  living(rows: Rows): Promise<ResourceRow[]> {
    return rows
      .selectFrom('resources')
      .selectAll()
      .where('deleted_seq', 'is', null)
      .orderBy('created_at')
      .orderBy('id')
      .execute();
  }

  keys(rows: Rows): Promise<AccessKeyRow[]> {
    return rows.selectFrom('access_keys').selectAll().execute();
  }

  async insert(tx: Rows, row: Insertable<Tables['resources']>): Promise<boolean> {
    const done = await tx
      .insertInto('resources')
      .values(row)
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    return done.numInsertedOrUpdatedRows === 1n;
  }

  async insertKey(tx: Rows, row: Insertable<Tables['access_keys']>): Promise<void> {
    await tx.insertInto('access_keys').values(row).execute();
  }

  /** The version that a slot has now. */
  async keyVersion(tx: Rows, resourceId: ResourceId, slot: KeySlot): Promise<number | undefined> {
    const row = await tx
      .selectFrom('access_keys')
      .select('version')
      .where('resource_id', '=', resourceId)
      .where('slot', '=', slot)
      .executeTakeFirst();
    return row?.version;
  }

  async replaceKey(tx: Rows, row: Insertable<Tables['access_keys']>): Promise<void> {
    await tx
      .updateTable('access_keys')
      .set({ version: row.version, sealed: row.sealed, changed_seq: row.changed_seq, created_at: row.created_at })
      .where('resource_id', '=', row.resource_id)
      .where('slot', '=', row.slot)
      .execute();
  }

  async setKeysDisabled(tx: Rows, id: ResourceId, disabled: boolean): Promise<void> {
    await tx
      .updateTable('resources')
      .set({ keys_disabled: Number(disabled) })
      .where('id', '=', id)
      .execute();
  }

  /** Marks a resource deleted, frees its name and destroys its keys. @returns false when it was not there */
  async delete(tx: Rows, id: ResourceId, seq: number): Promise<boolean> {
    const done = await tx
      .updateTable('resources')
      .set({ deleted_seq: seq, name: id }) // its GUID is a name that nobody else can have
      .where('id', '=', id)
      .where('deleted_seq', 'is', null)
      .executeTakeFirst();
    if (done.numUpdatedRows !== 1n) return false;
    await tx.deleteFrom('access_keys').where('resource_id', '=', id).execute();
    return true;
  }

  /** Deleted resources that still have identities. */
  async unfinishedDeletions(rows: Rows): Promise<ResourceId[]> {
    const found = await rows
      .selectFrom('resources')
      .select('id')
      .where('deleted_seq', 'is not', null)
      .where((row) =>
        row.exists(
          row.selectFrom('identities').select('identities.id').whereRef('identities.resource_id', '=', 'resources.id'),
        ),
      )
      .execute();
    return found.map((row) => row.id);
  }
}
