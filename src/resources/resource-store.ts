import type { KeySlot, ResourceId } from '../callers.ts';
import type { AccessKeyRow, ResourceRow } from '../storage/database.ts';
import { type Rows, sql } from '../storage/sql.ts';

type LivingRow = Omit<ResourceRow, 'sweeps' | 'swept_at'>;

export class ResourceStore {
  /** Every living resource, oldest first. */
  living(rows: Rows): Promise<LivingRow[]> {
    return rows.all(sql`
      select id, name, location, region, created_at, keys_disabled, deleted_seq
      from resources where deleted_seq is null order by created_at, id`);
  }

  keys(rows: Rows): Promise<AccessKeyRow[]> {
    return rows.all(sql`select resource_id, slot, version, sealed, changed_seq, created_at from access_keys`);
  }

  /** @returns false when the name, or the id, is taken */
  async insert(tx: Rows, { id, name, location, region, created_at }: Omit<LivingRow, 'keys_disabled' | 'deleted_seq'>) {
    const written = await tx.run(sql`
      insert into resources (id, name, location, region, created_at, keys_disabled, deleted_seq)
      values (${id}, ${name}, ${location}, ${region}, ${created_at}, 0, null)
      on conflict do nothing`);
    return written === 1;
  }

  async insertKey(
    tx: Rows,
    { resource_id, slot, version, sealed, changed_seq, created_at }: AccessKeyRow,
  ): Promise<void> {
    await tx.run(sql`
      insert into access_keys (resource_id, slot, version, sealed, changed_seq, created_at)
      values (${resource_id}, ${slot}, ${version}, ${sealed}, ${changed_seq}, ${created_at})`);
  }

  /** The version that a slot has now. */
  async keyVersion(tx: Rows, resourceId: ResourceId, slot: KeySlot): Promise<number | undefined> {
    const row = await tx.first<{ version: number }>(
      sql`select version from access_keys where resource_id = ${resourceId} and slot = ${slot}`,
    );
    return row?.version;
  }

  async replaceKey(
    tx: Rows,
    { resource_id, slot, version, sealed, changed_seq, created_at }: AccessKeyRow,
  ): Promise<void> {
    await tx.run(sql`
      update access_keys
      set version = ${version}, sealed = ${sealed}, changed_seq = ${changed_seq}, created_at = ${created_at}
      where resource_id = ${resource_id} and slot = ${slot}`);
  }

  async setKeysDisabled(tx: Rows, id: ResourceId, disabled: boolean): Promise<void> {
    await tx.run(sql`update resources set keys_disabled = ${Number(disabled)} where id = ${id}`);
  }

  /** Marks a resource deleted, frees its name and destroys its keys. @returns false when it was not there */
  async delete(tx: Rows, id: ResourceId, seq: number): Promise<boolean> {
    // Its GUID is a name that nobody else can have.
    const written = await tx.run(
      sql`update resources set deleted_seq = ${seq}, name = id where id = ${id} and deleted_seq is null`,
    );
    if (written !== 1) return false;
    await tx.run(sql`delete from access_keys where resource_id = ${id}`);
    return true;
  }

  async isDeleted(rows: Rows, id: ResourceId): Promise<boolean> {
    const row = await rows.first(sql`select id from resources where id = ${id} and deleted_seq is not null`);
    return row !== undefined;
  }

  async isLiving(tx: Rows, id: ResourceId): Promise<boolean> {
    const row = await tx.first(sql`select id from resources where id = ${id} and deleted_seq is null`);
    return row !== undefined;
  }

  /** Deleted resources that were not swept, or once only, at an instant or before. @param lastSweptMs since 1970 */
  async unfinishedDeletions(rows: Rows, lastSweptMs: number): Promise<ResourceId[]> {
    const found = await rows.all<{ id: ResourceId }>(sql`
      select id from resources
      where deleted_seq is not null and (sweeps = 0 or (sweeps = 1 and swept_at <= ${lastSweptMs}))
      order by deleted_seq`);
    return found.map((row) => row.id);
  }

  /** Counts a sweep, unless another node has counted one since `lastSweptMs`. */
  async addSweep(
    tx: Rows,
    id: ResourceId,
    { atMs, lastSweptMs }: { atMs: number; lastSweptMs: number },
  ): Promise<void> {
    await tx.run(sql`
      update resources set sweeps = sweeps + 1, swept_at = ${atMs}
      where id = ${id} and (sweeps = 0 or swept_at <= ${lastSweptMs})`);
  }
}
