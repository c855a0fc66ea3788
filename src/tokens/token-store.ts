import type { IdentityId, KeySlot, ResourceId } from '../callers.ts';
import type { Rows } from '../storage/database.ts';
import { Prepared } from '../storage/prepared.ts';

/** Everything a token is made from, as it was at one instant. */
export interface IssueSnapshot {
  /** Position of the revocation log: claim `rv`. */
  readonly seq: number;
  readonly location: string | null;
  readonly region: string | null;
  /** Null when the resource is gone. */
  readonly key_version: number | null;
  /** Null when the resource has no such identity. */
  readonly identity_id: IdentityId | null;
  readonly custom_id: string | null;
}

// One statement, hence one snapshot on either database. Prepared, because it stands before every token.
const SNAPSHOT = new Prepared<IssueSnapshot, [ResourceId, KeySlot, IdentityId]>((rows) =>
  rows
    .selectFrom('head')
    .leftJoin('resources', (join) =>
      join.on('resources.id', '=', '' as ResourceId).on('resources.deleted_seq', 'is', null),
    )
    .leftJoin('access_keys', (join) =>
      join.onRef('access_keys.resource_id', '=', 'resources.id').on('access_keys.slot', '=', 'primary'),
    )
    .leftJoin('identities', (join) =>
      join.onRef('identities.resource_id', '=', 'resources.id').on('identities.id', '=', '' as IdentityId),
    )
    .select([
      'head.seq',
      'resources.location',
      'resources.region',
      'access_keys.version as key_version',
      'identities.id as identity_id',
      'identities.custom_id',
    ])
    .compile(),
);

export class TokenStore {
  async snapshot(rows: Rows, resourceId: ResourceId, slot: KeySlot, identityId: IdentityId): Promise<IssueSnapshot> {
    const snapshot = await SNAPSHOT.first(rows, [resourceId, slot, identityId]);
    if (!snapshot) throw new Error('the store has no head');
    return snapshot;
  }
}
