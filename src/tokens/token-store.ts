import type { IdentityId, ResourceId, ServiceCaller } from '../callers.ts';
import { type Rows, sql } from '../storage/sql.ts';

/** Everything a token is made from, as it was at one instant. */
export interface IssueSnapshot {
  /** Position of the revocation log: claim `rv`. */
  readonly seq: number;
  readonly location: string | null;
  readonly region: string | null;
  /** The version that the credential has now; null when it, or the resource, is gone, or the trust is disabled. */
  readonly credential_version: number | null;
  /** Null when the resource has no such identity. */
  readonly identity_id: IdentityId | null;
  readonly custom_id: string | null;
}

export class TokenStore {
  /** One statement, hence one snapshot on either database. */
  async snapshot(
    rows: Rows,
    resourceId: ResourceId,
    credential: ServiceCaller['credential'],
    identityId: IdentityId,
  ): Promise<IssueSnapshot> {
    const snapshot = await rows.first<IssueSnapshot>(
      credential.kind === 'accessKey'
        ? sql`
      select head.seq, resources.location, resources.region, access_keys.version as credential_version,
        identities.id as identity_id, identities.custom_id
      from head
      left join resources on resources.id = ${resourceId} and resources.deleted_seq is null
      left join access_keys on access_keys.resource_id = resources.id and access_keys.slot = ${credential.slot}
      left join identities on identities.resource_id = resources.id and identities.id = ${identityId}`
        : sql`
      select head.seq, resources.location, resources.region, trusts.version as credential_version,
        identities.id as identity_id, identities.custom_id
      from head
      left join resources on resources.id = ${resourceId} and resources.deleted_seq is null
      left join trusts on trusts.id = ${credential.trustId} and trusts.enabled = 1 and resources.id is not null
      left join identities on identities.resource_id = resources.id and identities.id = ${identityId}`,
    );
    if (!snapshot) throw new Error('the store has no head');
    return snapshot;
  }
}
