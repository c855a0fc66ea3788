import type { ApiVersion } from '../http/versions.ts';

/** Where a resource stands in the management plane. */
export interface Place {
  readonly subscription: string;
  readonly resourceGroup: string;
}

/** Keys of a resource, as the management plane gives them; `regenerateKey` gives one pair only. */
export interface Keys {
  readonly primaryKey?: string;
  readonly primaryConnectionString?: string;
  readonly secondaryKey?: string;
  readonly secondaryConnectionString?: string;
}

const VERSION: ApiVersion = '2026-03-18';

/** Target of a request about the communication services of a group. @param rest what follows, such as `/name` */
export const servicePath = ({ subscription, resourceGroup }: Place, rest = ''): string =>
  `${groupPath({ subscription, resourceGroup })}/providers/Microsoft.Communication/communicationServices${rest}?api-version=${VERSION}`;

/** As {@link servicePath}, for all groups of a subscription. */
export const subscriptionServicesPath = (subscription: string): string =>
  `/subscriptions/${encodeURIComponent(subscription)}/providers/Microsoft.Communication/communicationServices?api-version=${VERSION}`;

export const groupPath = ({ subscription, resourceGroup }: Place): string =>
  `/subscriptions/${encodeURIComponent(subscription)}/resourceGroups/${encodeURIComponent(resourceGroup)}`;
