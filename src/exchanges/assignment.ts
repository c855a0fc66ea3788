import type { AssignmentId, PresentedUser, ResourceId } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import { echo } from '../lib/echo.ts';
import { isGuid } from '../lib/guid.ts';

/** Which exchange an assignment opens: that of Entra users, or that of Teams users for a Teams-extension endpoint. */
export type Plane = 'entra' | 'teamsExtension';

/** What an assignment may be about, per plane (identity-protocol, sections 2.5 and 2.6). */
export const PRINCIPAL_TYPES = {
  entra: ['user', 'group', 'tenant'],
  teamsExtension: ['user', 'resourceAccount'],
} as const satisfies Record<Plane, readonly string[]>;

export type PrincipalType = (typeof PRINCIPAL_TYPES)[Plane][number];

/** Says that a user, the members of a group, or everybody of a tenant may get access tokens of a resource by themselves. */
export interface Assignment {
  readonly id: AssignmentId;
  readonly resourceId: ResourceId;
  readonly tenantId: string;
  /** Of the user or group; for a tenant its own id once more. */
  readonly objectId: string;
  readonly principalType: PrincipalType;
  /** Client applications through which they may come; undefined: any that the trust names. */
  readonly clientIds: readonly string[] | undefined;
}

/** An assignment as somebody writes it down. */
export interface AssignmentWish {
  tenantId: string;
  principalType: string;
  clientIds?: readonly string[] | null | undefined;
}

const MOST_CLIENTS = 100;
const MOST_AT_ONCE = 500;

const invalid = (field: string, why: string): ServiceError =>
  new ServiceError('AssignmentInvalid', { target: field, values: { field: pascal(field), why } });

const pascal = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);

/** Reads a GUID in either case. @throws ServiceError `AssignmentInvalid` naming the field */
export function guid(text: string, field: string): string {
  if (!isGuid(text)) throw invalid(field, `'${echo(text)}' is not a GUID`);
  return text.toLowerCase();
}

export const entraAssignmentId = (objectId: string): AssignmentId => `entra/${objectId}` as AssignmentId;
export const teamsAssignmentId = (tenantId: string, objectId: string): AssignmentId =>
  `teamsExtension/${tenantId}/${objectId}` as AssignmentId;

/** Checks an assignment. @throws ServiceError `AssignmentInvalid` naming the field */
export function assignment(
  resourceId: ResourceId,
  plane: Plane,
  objectIdText: string,
  wish: AssignmentWish,
): Assignment {
  const objectId = guid(objectIdText, 'objectId');
  const tenantId = guid(wish.tenantId, 'tenantId');
  const types: readonly PrincipalType[] = PRINCIPAL_TYPES[plane];
  const principalType = types.find((type) => type.toLowerCase() === wish.principalType.toLowerCase());
  if (!principalType) throw invalid('principalType', `must be one of ${types.join(', ')}`);
  if (principalType === 'tenant' && objectId !== tenantId)
    throw invalid('objectId', 'must be equal to the tenantId when the principalType is tenant');
  const clientIds = wish.clientIds?.map((client) => guid(client, 'clientIds'));
  if (plane === 'entra' && !clientIds?.length) throw invalid('clientIds', 'name at least one application');
  if (clientIds && clientIds.length > MOST_CLIENTS)
    throw invalid('clientIds', `must have at most ${MOST_CLIENTS} entries`);
  return {
    id: plane === 'entra' ? entraAssignmentId(objectId) : teamsAssignmentId(tenantId, objectId),
    resourceId,
    tenantId,
    objectId,
    principalType,
    clientIds: clientIds && [...new Set(clientIds)],
  };
}

/** Bounds how much one call changes. @throws ServiceError `AssignmentInvalid` */
export function requireFew(count: number): void {
  if (count > MOST_AT_ONCE)
    throw new ServiceError('AssignmentInvalid', {
      values: { field: 'Assignments', why: `at most ${MOST_AT_ONCE} in one request` },
    });
}

/** The assignments that could let a user in, most particular first. */
export const candidatesFor = (plane: Plane, { tenantId, objectId, groups }: PresentedUser): AssignmentId[] =>
  plane === 'entra'
    ? [objectId, ...groups.filter((group) => isGuid(group)), tenantId].map((id) => entraAssignmentId(id.toLowerCase()))
    : [teamsAssignmentId(tenantId, objectId)];

/** Whether an assignment found among {@link candidatesFor} lets the user in. */
export function admits({ principalType, tenantId, objectId, clientIds }: Assignment, user: PresentedUser): boolean {
  const isMeant = {
    user: objectId === user.objectId,
    resourceAccount: objectId === user.objectId,
    group: user.groups.some((group) => group.toLowerCase() === objectId),
    tenant: objectId === user.tenantId,
  }[principalType];
  return (
    isMeant &&
    tenantId === user.tenantId &&
    (clientIds === undefined || clientIds.includes(user.applicationId.toLowerCase()))
  );
}

/** What of an assignment can change. */
type Terms = Pick<Assignment, 'tenantId' | 'principalType' | 'clientIds'>;

/** Whether a changed assignment takes something back from those who came in by the former one. */
export function narrows(former: Terms, next: Terms): boolean {
  if (former.tenantId !== next.tenantId || former.principalType !== next.principalType) return true;
  if (next.clientIds === undefined) return false;
  const { clientIds } = next;
  return former.clientIds === undefined || !former.clientIds.every((client) => clientIds.includes(client));
}
