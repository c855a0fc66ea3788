import type { IdentityId, PresentedUser, ResourceId } from '../callers.ts';
import type { Scope } from '../capabilities/tables.ts';
import { ServiceError } from '../errors.ts';
import { isGuid } from '../lib/guid.ts';

/**
 * The scopes that a user's permissions come to, in the order in which tokens name them (identity-protocol, sections 2.4–2.6
 * and 5.2). The names are the ones that users consent to at their own directory.
 */
export const PERMISSIONS = {
  teamsUser: { 'Teams.ManageCalls': 'voip', 'Teams.ManageChats': 'chat' },
  teamsExtension: { 'TeamsExtension.ManageCalls': 'voip' },
  entraUser: {
    Chat: 'chat',
    'Chat.Join': 'chat.join',
    'Chat.Join.Limited': 'chat.join.limited',
    VoIP: 'voip',
    'VoIP.Join': 'voip.join',
  },
} as const satisfies Record<string, Readonly<Record<string, Scope>>>;

/** Which exchange: what the user's token was made for decides. */
export type Exchange = keyof typeof PERMISSIONS;

/** @throws ServiceError `InvalidAccessToken` when none of the permissions is one of the exchange's */
export function scopesFor(exchange: Exchange, permissions: readonly string[]): Scope[] {
  const rows: [string, Scope][] = Object.entries(PERMISSIONS[exchange]);
  const scopes = rows.flatMap(([permission, scope]) => (permissions.includes(permission) ? [scope] : []));
  if (scopes.length > 0) return scopes;
  throw new ServiceError('InvalidAccessToken', {
    reason: 'foreign.scope',
    detail: `needs one of ${rows.map(([permission]) => permission).join(', ')}`,
  });
}

/** The identity of a user who was exchanged, made from what the directory calls the user (identity-protocol, section 5.5). */
export function identityOf(exchange: Exchange, resourceId: ResourceId, user: PresentedUser): IdentityId {
  const { tenantId, objectId } = user;
  const ids: Record<Exchange, string> = {
    teamsUser: `8:orgid:${objectId}`,
    teamsExtension: `8:acs:${resourceId}_${tenantId}_${objectId}`,
    entraUser: `8:acs:${resourceId}_wf_${tenantId}_${objectId}`,
  };
  return ids[exchange] as IdentityId;
}

/** What a service says of the Teams user whose token it presents. */
export interface Expected {
  appId: string | null | undefined;
  userId: string | null | undefined;
}

/**
 * Compares what a service says with the token, in the order in which the original complains: all fields are there, all are
 * GUIDs, both fit.
 * @param required false for the first previews, which knew neither field: what they send all the same must fit
 * @throws ServiceError `ExchangeFieldMissing`, `ExchangeFieldMalformed`, `UnexpectedApplication`, `UnexpectedUser`
 */
export function requireExpected({ appId, userId }: Expected, user: PresentedUser, required: boolean): void {
  const fields = [
    ['appId', 'AppId', appId],
    ['userId', 'UserId', userId],
  ] as const;
  for (const [, field, value] of fields) {
    if (required && !value?.trim())
      throw new ServiceError('ExchangeFieldMissing', { target: field, values: { field } });
  }
  for (const [target, field, value] of fields) {
    if (value && !isGuid(value)) throw new ServiceError('ExchangeFieldMalformed', { target, values: { field } });
  }
  if (appId && appId.toLowerCase() !== user.applicationId.toLowerCase())
    throw new ServiceError('UnexpectedApplication');
  if (userId && userId.toLowerCase() !== user.objectId) throw new ServiceError('UnexpectedUser');
}
