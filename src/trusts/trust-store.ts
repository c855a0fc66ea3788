import type { ResourceId, TrustId } from '../callers.ts';
import { StoreError, type TrustGrantRow, type TrustRow } from '../storage/database.ts';
import { type Rows, sql } from '../storage/sql.ts';
import type { Grant, PrincipalKind, Right, Trust, TrustDefinition } from './trust.ts';

export class TrustStore {
  /** Every trust with its grants, by name. */
  async all(rows: Rows): Promise<Trust[]> {
    const trusts = await rows.all<TrustRow>(sql`
      select id, name, enabled, version, definition, ended_seq, created_at, changed_at from trusts order by name`);
    const grants = await rows.all<TrustGrantRow>(sql`
      select trust_id, name, principal_kind, principal, access_right, resource from trust_grants order by name`);
    return trusts.map((row) => ({
      id: row.id,
      name: row.name,
      enabled: row.enabled === 1,
      version: row.version,
      definition: definitionOf(row),
      grants: grants.filter((grant) => grant.trust_id === row.id).map(toGrant),
      createdAtMs: row.created_at,
      changedAtMs: row.changed_at,
    }));
  }

  async insert(tx: Rows, { id, name, enabled, definition, createdAtMs }: Trust, endedSeq: number): Promise<void> {
    await tx.run(sql`
      insert into trusts (id, name, enabled, version, definition, ended_seq, created_at, changed_at)
      values (${id}, ${name}, ${Number(enabled)}, 1, ${JSON.stringify(definition)}, ${endedSeq}, ${createdAtMs},
        ${createdAtMs})`);
  }

  /** Writes what may change. @param endedSeq position of the event that ends its tokens; undefined when they live on */
  async update(
    tx: Rows,
    { id, enabled, version, definition, changedAtMs }: Trust,
    endedSeq: number | undefined,
  ): Promise<void> {
    await tx.run(sql`
      update trusts
      set enabled = ${Number(enabled)}, version = ${version}, definition = ${JSON.stringify(definition)},
        changed_at = ${changedAtMs}
      where id = ${id}`);
    if (endedSeq !== undefined) await tx.run(sql`update trusts set ended_seq = ${endedSeq} where id = ${id}`);
  }

  /** Removes a trust with its grants. Its id is a GUID that nobody is given again. */
  async delete(tx: Rows, id: TrustId): Promise<void> {
    await tx.run(sql`delete from trust_grants where trust_id = ${id}`);
    await tx.run(sql`delete from trusts where id = ${id}`);
  }

  async putGrant(tx: Rows, id: TrustId, { name, principal, right, resource }: Grant): Promise<void> {
    await tx.run(sql`
      insert into trust_grants (trust_id, name, principal_kind, principal, access_right, resource)
      values (${id}, ${name}, ${principal.kind}, ${principal.value}, ${right}, ${resource})
      on conflict (trust_id, name) do update set principal_kind = excluded.principal_kind,
        principal = excluded.principal, access_right = excluded.access_right, resource = excluded.resource`);
  }

  async deleteGrant(tx: Rows, id: TrustId, name: string): Promise<void> {
    await tx.run(sql`delete from trust_grants where trust_id = ${id} and name = ${name}`);
  }
}

/** @throws StoreError when the row is not what was written */
function definitionOf({ name, definition }: TrustRow): TrustDefinition {
  try {
    return JSON.parse(definition);
  } catch (cause) {
    throw new StoreError(`the store is damaged: the trust ${JSON.stringify(name)} cannot be read`, { cause });
  }
}

const toGrant = (row: TrustGrantRow): Grant => ({
  name: row.name,
  principal: { kind: row.principal_kind as PrincipalKind, value: row.principal },
  right: row.access_right as Right,
  resource: row.resource as ResourceId | '*',
});
