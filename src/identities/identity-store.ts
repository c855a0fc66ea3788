import type { Selectable } from 'kysely';
import type { IdentityId, ResourceId } from '../callers.ts';
import type { Rows, Tables } from '../storage/database.ts';
import { Prepared } from '../storage/prepared.ts';
import type { Identity } from './identity.ts';

type Row = Selectable<Tables['identities']>;

const INSERT = new Prepared<Row, Row[keyof Row][]>((rows) =>
  rows
    .insertInto('identities')
    .values({
      resource_id: '' as ResourceId,
      id: '' as IdentityId,
      custom_id: '',
      created_at: 0,
      last_token_issued_at: 0,
      revoked_seq: 0,
      tokens_valid_from: 0,
    })
    .onConflict((conflict) => conflict.doNothing())
    .compile(),
);

export class IdentityStore {
  /** @returns false when the id, or the custom id, is taken */
  async insert(tx: Rows, row: Row): Promise<boolean> {
    const done = await INSERT.run(tx, [
      row.resource_id,
      row.id,
      row.custom_id,
      row.created_at,
      row.last_token_issued_at,
      row.revoked_seq,
      row.tokens_valid_from,
    ]);
    return done.numAffectedRows === 1n;
  }

  async find(rows: Rows, resourceId: ResourceId, id: IdentityId): Promise<Identity | undefined> {
    const row = await rows
      .selectFrom('identities')
      .selectAll()
      .where('resource_id', '=', resourceId)
      .where('id', '=', id)
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async findByCustomId(rows: Rows, resourceId: ResourceId, customId: string): Promise<Identity | undefined> {
    const row = await rows
      .selectFrom('identities')
      .selectAll()
      .where('resource_id', '=', resourceId)
      .where('custom_id', '=', customId)
      .executeTakeFirst();
    return row && fromRow(row);
  }

  /** Notes that all tokens from before a position are void. @returns false when there is no such identity */
  async setRevoked(tx: Rows, resourceId: ResourceId, id: IdentityId, seq: number): Promise<boolean> {
    const done = await tx
      .updateTable('identities')
      .set({ revoked_seq: seq })
      .where('resource_id', '=', resourceId)
      .where('id', '=', id)
      .executeTakeFirst();
    return done.numUpdatedRows === 1n;
  }

  async setValidFrom(tx: Rows, resourceId: ResourceId, id: IdentityId, validFromMs: number): Promise<boolean> {
    const done = await tx
      .updateTable('identities')
      .set({ tokens_valid_from: validFromMs })
      .where('resource_id', '=', resourceId)
      .where('id', '=', id)
      .executeTakeFirst();
    return done.numUpdatedRows === 1n;
  }

  async setLastTokenIssuedAt(tx: Rows, resourceId: ResourceId, id: IdentityId, atMs: number): Promise<void> {
    await tx
      .updateTable('identities')
      .set({ last_token_issued_at: atMs })
      .where('resource_id', '=', resourceId)
      .where('id', '=', id)
      .execute();
  }

  async delete(tx: Rows, resourceId: ResourceId, id: IdentityId): Promise<boolean> {
    const done = await tx
      .deleteFrom('identities')
      .where('resource_id', '=', resourceId)
      .where('id', '=', id)
      .executeTakeFirst();
    return done.numDeletedRows === 1n;
  }

  /** Removes up to `limit` identities of a resource. @returns how many */
  async deleteSome(tx: Rows, resourceId: ResourceId, limit: number): Promise<number> {
    const done = await tx
      .deleteFrom('identities')
      .where('resource_id', '=', resourceId)
      .where('id', 'in', (rows) =>
        rows.selectFrom('identities').select('id').where('resource_id', '=', resourceId).limit(limit),
      )
      .executeTakeFirst();
    return Number(done.numDeletedRows);
  }
}

const fromRow = (row: Row): Identity => ({
  id: row.id,
  resourceId: row.resource_id,
  customId: row.custom_id ?? undefined,
  createdAtMs: row.created_at,
  lastTokenIssuedAtMs: row.last_token_issued_at ?? undefined,
});
