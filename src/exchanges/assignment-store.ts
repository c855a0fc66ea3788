import type { AssignmentId, ResourceId } from '../callers.ts';
import type { AssignmentRow } from '../storage/database.ts';
import { batches, list, type Rows, sql } from '../storage/sql.ts';
import type { Assignment, Plane, PrincipalType } from './assignment.ts';

const COLUMNS = sql`resource_id, id, tenant_id, object_id, principal_type, client_ids`;

export class AssignmentStore {
  async find(rows: Rows, resourceId: ResourceId, id: AssignmentId): Promise<Assignment | undefined> {
    const row = await rows.first<AssignmentRow>(
      sql`select ${COLUMNS} from assignments where resource_id = ${resourceId} and id = ${id}`,
    );
    return row && fromRow(row);
  }

  /** Those of some assignments that there are, by id. */
  async findAll(
    rows: Rows,
    resourceId: ResourceId,
    ids: readonly AssignmentId[],
  ): Promise<ReadonlyMap<AssignmentId, Assignment>> {
    const found = new Map<AssignmentId, Assignment>();
    for (const some of batches(ids)) {
      const those = await rows.all<AssignmentRow>(sql`
        select ${COLUMNS} from assignments
        where resource_id = ${resourceId} and id in (${list(some.map((id) => sql`${id}`))})`);
      for (const row of those) found.set(row.id, fromRow(row));
    }
    return found;
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

  /** Writes assignments, each in place of the one of its id. @param puts with the position up to which tokens are void */
  async putAll(tx: Rows, puts: readonly { assignment: Assignment; endedSeq: number }[], atMs: number): Promise<void> {
    for (const some of batches(puts)) {
      const rows = some.map(
        ({ assignment: { resourceId, id, tenantId, objectId, principalType, clientIds }, endedSeq }) =>
          sql`(${resourceId}, ${id}, ${tenantId}, ${objectId}, ${principalType}, ${listText(clientIds)}, ${endedSeq},
            ${atMs})`,
      );
      await tx.run(sql`
        insert into assignments
          (resource_id, id, tenant_id, object_id, principal_type, client_ids, ended_seq, created_at)
        values ${list(rows)}
        on conflict (resource_id, id) do update set tenant_id = excluded.tenant_id,
          principal_type = excluded.principal_type, client_ids = excluded.client_ids, ended_seq = excluded.ended_seq`);
    }
  }

  /** Gives more than before, so tokens issued by them live on. */
  async widenAll(tx: Rows, assignments: readonly Assignment[]): Promise<void> {
    for (const some of batches(assignments)) {
      const given = some.map(
        ({ resourceId, id, clientIds }) => sql`(${resourceId}, ${id}, cast(${listText(clientIds)} as text))`,
      );
      await tx.run(sql`
        update assignments set client_ids = given.column3 from (values ${list(given)}) as given
        where assignments.resource_id = given.column1 and assignments.id = given.column2`);
    }
  }

  /** Removes up to `limit` assignments of a resource. @returns how many */
  deleteSome(tx: Rows, resourceId: ResourceId, limit: number): Promise<number> {
    return tx.run(sql`
      delete from assignments
      where resource_id = ${resourceId}
        and id in (select id from assignments where resource_id = ${resourceId} limit ${limit})`);
  }

  async delete(tx: Rows, resourceId: ResourceId, ids: readonly AssignmentId[]): Promise<void> {
    for (const some of batches(ids)) {
      await tx.run(sql`
        delete from assignments
        where resource_id = ${resourceId} and id in (${list(some.map((id) => sql`${id}`))})`);
    }
  }
}

const listText = (clientIds: readonly string[] | undefined): string | null =>
  clientIds ? JSON.stringify(clientIds) : null;

const fromRow = (row: AssignmentRow): Assignment => ({
  id: row.id,
  resourceId: row.resource_id,
  tenantId: row.tenant_id,
  objectId: row.object_id,
  principalType: row.principal_type as PrincipalType,
  clientIds: row.client_ids === null ? undefined : JSON.parse(row.client_ids),
});
