import type { AssignmentId, ResourceId } from '../callers.ts';
import type { AssignmentRow } from '../storage/database.ts';
import { type Rows, sql } from '../storage/sql.ts';
import type { Assignment, Plane, PrincipalType } from './assignment.ts';

const COLUMNS = sql`resource_id, id, tenant_id, object_id, principal_type, client_ids`;

export class AssignmentStore {
  async find(rows: Rows, resourceId: ResourceId, id: AssignmentId): Promise<Assignment | undefined> {
    const row = await rows.first<AssignmentRow>(
      sql`select ${COLUMNS} from assignments where resource_id = ${resourceId} and id = ${id}`,
    );
    return row && fromRow(row);
  }

  /** Up to `limit` assignments of a plane in the order of their ids. */
  async page(
    rows: Rows,
    resourceId: ResourceId,
    plane: Plane,
    after: AssignmentId | undefined,
    limit: number,
  ): Promise<Assignment[]> {
    // `0` follows `/`, so this is the whole of the plane and nothing else.
    const found = await rows.all<AssignmentRow>(sql`
      select ${COLUMNS} from assignments
      where resource_id = ${resourceId} and id > ${after ?? `${plane}/`} and id < ${`${plane}0`}
      order by id limit ${limit}`);
    return found.map(fromRow);
  }

  /** @param endedSeq position up to which tokens issued by it are void */
  async put(tx: Rows, { resourceId, id, ...rest }: Assignment, endedSeq: number, atMs: number): Promise<void> {
    const clientIds = rest.clientIds ? JSON.stringify(rest.clientIds) : null;
    await tx.run(sql`
      insert into assignments
        (resource_id, id, tenant_id, object_id, principal_type, client_ids, ended_seq, created_at)
      values (${resourceId}, ${id}, ${rest.tenantId}, ${rest.objectId}, ${rest.principalType}, ${clientIds},
        ${endedSeq}, ${atMs})
      on conflict (resource_id, id) do update set tenant_id = excluded.tenant_id,
        principal_type = excluded.principal_type, client_ids = excluded.client_ids, ended_seq = excluded.ended_seq`);
  }

  /** Gives more than before: tokens issued by it live on. */
  async widen(tx: Rows, { resourceId, id, clientIds }: Assignment): Promise<void> {
    const list = clientIds ? JSON.stringify(clientIds) : null;
    await tx.run(sql`update assignments set client_ids = ${list} where resource_id = ${resourceId} and id = ${id}`);
  }

  async deleteAll(tx: Rows, resourceId: ResourceId): Promise<void> {
    await tx.run(sql`delete from assignments where resource_id = ${resourceId}`);
  }

  async delete(tx: Rows, resourceId: ResourceId, id: AssignmentId): Promise<void> {
    await tx.run(sql`delete from assignments where resource_id = ${resourceId} and id = ${id}`);
  }
}

const fromRow = (row: AssignmentRow): Assignment => ({
  id: row.id,
  resourceId: row.resource_id,
  tenantId: row.tenant_id,
  objectId: row.object_id,
  principalType: row.principal_type as PrincipalType,
  clientIds: row.client_ids === null ? undefined : JSON.parse(row.client_ids),
});
