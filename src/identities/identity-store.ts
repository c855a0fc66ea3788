import type { IdentityId, ResourceId } from '../callers.ts';
import type { IdentityRow } from '../storage/database.ts';
import { type Rows, sql } from '../storage/sql.ts';
import type { Identity } from './identity.ts';

const COLUMNS = sql`resource_id, id, custom_id, created_at, last_token_issued_at`;

export class IdentityStore {
  /** @returns false when the id, or the custom id, is taken */
  async insert(
    tx: Rows,
    { resourceId, id, customId, createdAtMs }: Omit<Identity, 'lastTokenIssuedAtMs'>,
  ): Promise<boolean> {
    const written = await tx.run(sql`
      insert into identities
        (resource_id, id, custom_id, created_at, last_token_issued_at, revoked_seq, tokens_valid_from)
      values (${resourceId}, ${id}, ${customId ?? null}, ${createdAtMs}, null, 0, null)
      on conflict do nothing`);
    return written === 1;
  }

  async find(rows: Rows, resourceId: ResourceId, id: IdentityId): Promise<Identity | undefined> {
    const row = await rows.first<IdentityRow>(
      sql`select ${COLUMNS} from identities where resource_id = ${resourceId} and id = ${id}`,
    );
    return row && fromRow(row);
  }

  async findByCustomId(rows: Rows, resourceId: ResourceId, customId: string): Promise<Identity | undefined> {
    const row = await rows.first<IdentityRow>(
      sql`select ${COLUMNS} from identities where resource_id = ${resourceId} and custom_id = ${customId}`,
    );
    return row && fromRow(row);
  }

  /** Up to `limit` identities of a resource in the order of their ids. Each page costs the same, however many went before. */
  async page(rows: Rows, resourceId: ResourceId, after: IdentityId | undefined, limit: number): Promise<Identity[]> {
    const found = await rows.all<IdentityRow>(sql`
      select ${COLUMNS} from identities
      where resource_id = ${resourceId} and id > ${after ?? ''} order by id limit ${limit}`);
    return found.map(fromRow);
  }

  /** Notes that all tokens from before a position are void. @returns false when there is no such identity */
  async setRevoked(tx: Rows, resourceId: ResourceId, id: IdentityId, seq: number): Promise<boolean> {
    const written = await tx.run(
      sql`update identities set revoked_seq = ${seq} where resource_id = ${resourceId} and id = ${id}`,
    );
    return written === 1;
  }

  async setValidFrom(tx: Rows, resourceId: ResourceId, id: IdentityId, validFromMs: number): Promise<boolean> {
    const written = await tx.run(sql`
      update identities
      set tokens_valid_from = case when tokens_valid_from > ${validFromMs} then tokens_valid_from else ${validFromMs} end
      where resource_id = ${resourceId} and id = ${id}`);
    return written === 1;
  }

  async setLastTokenIssuedAt(tx: Rows, resourceId: ResourceId, id: IdentityId, atMs: number): Promise<void> {
    await tx.run(
      sql`update identities set last_token_issued_at = ${atMs} where resource_id = ${resourceId} and id = ${id}`,
    );
  }

  async delete(tx: Rows, resourceId: ResourceId, id: IdentityId): Promise<boolean> {
    return (await tx.run(sql`delete from identities where resource_id = ${resourceId} and id = ${id}`)) === 1;
  }

  /** Removes up to `limit` identities of a resource. @returns how many */
  deleteSome(tx: Rows, resourceId: ResourceId, limit: number): Promise<number> {
    return tx.run(sql`
      delete from identities
      where resource_id = ${resourceId}
        and id in (select id from identities where resource_id = ${resourceId} limit ${limit})`);
  }
}

const fromRow = (row: IdentityRow): Identity => ({
  id: row.id,
  resourceId: row.resource_id,
  customId: row.custom_id ?? undefined,
  createdAtMs: row.created_at,
  lastTokenIssuedAtMs: row.last_token_issued_at ?? undefined,
});
