import type { IdentityId, ResourceId } from '../callers.ts';
import type { IdentityRow } from '../storage/database.ts';
import { batches, list, type Rows, sql } from '../storage/sql.ts';
import type { Identity } from './identity.ts';

const COLUMNS = sql`resource_id, id, custom_id, created_at, last_token_issued_at`;

export type IdentityKey = Pick<Identity, 'resourceId' | 'id'>;

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

  /**
   * Inserts identities.
   * @param revokedSeq position from before which no token of theirs holds
   * @returns the ids of those that were inserted; of the others the id, or the custom id, is taken
   */
  async insertAll(
    tx: Rows,
    resourceId: ResourceId,
    identities: readonly Pick<Identity, 'id' | 'customId' | 'createdAtMs'>[],
    revokedSeq: number,
  ): Promise<Set<IdentityId>> {
    const inserted = new Set<IdentityId>();
    for (const some of batches(identities)) {
      const given = some.map(
        ({ id, customId, createdAtMs }) =>
          sql`(${resourceId}, ${id}, ${customId ?? null}, ${createdAtMs}, null, ${revokedSeq}, null)`,
      );
      const rows = await tx.all<{ id: IdentityId }>(sql`
        insert into identities
          (resource_id, id, custom_id, created_at, last_token_issued_at, revoked_seq, tokens_valid_from)
        values ${list(given)}
        on conflict do nothing returning id`);
      for (const { id } of rows) inserted.add(id);
    }
    return inserted;
  }

  /** The custom ids, or null, of those of some identities that there are. */
  async customIds(
    tx: Rows,
    resourceId: ResourceId,
    ids: readonly IdentityId[],
  ): Promise<Map<IdentityId, string | null>> {
    const found = new Map<IdentityId, string | null>();
    for (const some of batches(ids)) {
      const rows = await tx.all<Pick<IdentityRow, 'id' | 'custom_id'>>(sql`
        select id, custom_id from identities
        where resource_id = ${resourceId} and id in (${list(some.map((id) => sql`${id}`))})`);
      for (const { id, custom_id } of rows) found.set(id, custom_id);
    }
    return found;
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

  /** @returns those of some identities, one at least, that there are */
  async existing(tx: Rows, keys: readonly IdentityKey[]): Promise<IdentityKey[]> {
    const rows = await tx.all<{ resource_id: ResourceId; id: IdentityId }>(sql`
      select resource_id, id from identities
      where (resource_id, id) in (values ${list(keys.map(({ resourceId, id }) => sql`(${resourceId}, ${id})`))})`);
    const found = new Set(rows.map(({ resource_id, id }) => `${resource_id} ${id}`));
    return keys.filter(({ resourceId, id }) => found.has(`${resourceId} ${id}`));
  }

  /** Notes for some identities, one at least, that all tokens from before a position are void. @param first the position for the first one, from which on they follow each other */
  async setRevoked(tx: Rows, keys: readonly IdentityKey[], first: number): Promise<void> {
    const given = keys.map(
      ({ resourceId, id }, index) => sql`(${resourceId}, ${id}, cast(${first + index} as bigint))`,
    );
    await tx.run(sql`
      update identities set revoked_seq = given.column3 from (values ${list(given)}) as given
      where identities.resource_id = given.column1 and identities.id = given.column2`);
  }

  /** @returns the instant, in milliseconds since 1970, from which tokens of an identity are valid; undefined when it is not there */
  async validFrom(tx: Rows, resourceId: ResourceId, id: IdentityId): Promise<number | undefined> {
    const row = await tx.first<{ tokens_valid_from: number | null }>(
      sql`select tokens_valid_from from identities where resource_id = ${resourceId} and id = ${id}`,
    );
    return row && (row.tokens_valid_from ?? Number.NEGATIVE_INFINITY);
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
