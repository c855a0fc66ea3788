import type { ResourceId } from '../../callers.ts';
import { ServiceError } from '../../errors.ts';
import { echo } from '../../lib/echo.ts';
import { isGuid } from '../../lib/guid.ts';
import { resourceName } from '../../resources/resource.ts';

/** Where a resource stands: names as they were sent, compared without regard to case. */
export interface Place {
  readonly subscriptionId: string;
  readonly group: string;
}

/** `Microsoft.Communication/communicationServices`, as the management plane knows it. */
export interface CommunicationService extends Place {
  readonly resourceId: ResourceId;
  readonly name: string;
  /** Always `global` in the original; kept as sent. */
  readonly location: string;
  /** Set once, such as `United States`. */
  readonly dataLocation: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly identity: ManagedIdentity | undefined;
  /** What clients may set and nothing here acts on. */
  readonly properties: Readonly<Record<string, unknown>>;
  readonly createdAtMs: number;
  readonly changedAtMs: number;
}

export interface ManagedIdentity {
  readonly type: string;
  readonly userAssignedIdentities?: unknown;
}

export interface ResourceGroup {
  readonly subscriptionId: string;
  readonly name: string;
  readonly location: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly createdAtMs: number;
}

/** The subscription that dev mode puts its resource into. */
export const FIRST_SUBSCRIPTION = '5e1f0057-0000-4000-8000-000000000001';

/** @throws ServiceError `SubscriptionIdInvalid` */
export function subscriptionId(text: string): string {
  if (!isGuid(text)) throw new ServiceError('SubscriptionIdInvalid', { values: { id: echo(text) } });
  return text.toLowerCase();
}

/** @throws ServiceError `ResourceGroupNameInvalid` */
export function groupName(text: string): string {
  if (!/^[-\w.()]{1,90}$/.test(text) || text.endsWith('.')) throw new ServiceError('ResourceGroupNameInvalid');
  return text;
}

/** As {@link resourceName}, with the case in which it was sent. @throws ServiceError `ResourceNameInvalid` */
export function serviceName(text: string): string {
  resourceName(text);
  return text;
}

/** Names are the same when they differ in case only. */
export const nameKey = (name: string): string => name.toLowerCase();

/** `United States` → `unitedstates`, as tokens name it. */
export const tokenLocation = (dataLocation: string): string => dataLocation.toLowerCase().replace(/[^a-z]/g, '');
