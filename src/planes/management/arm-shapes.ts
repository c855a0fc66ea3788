import type { ResourceId } from '../../callers.ts';
import { guidFor } from '../../lib/guid.ts';
import { sevenDigits } from '../../lib/instants.ts';
import type { CommunicationService, ManagedIdentity } from './communication-service.ts';

export const NAMESPACE = 'Microsoft.Communication';
export const SERVICE_TYPE = 'microsoft.communication/communicationservices';

/** An instant as ARM writes it. */
export const armTime = (ms: number): string => sevenDigits(ms).replace('+00:00', 'Z');

/** What a service has in common with every resource of ARM. */
export const shownResource = (service: CommunicationService, tenantId: string) => ({
  id: `/subscriptions/${service.subscriptionId}/resourceGroups/${service.group}/providers/${NAMESPACE}/communicationServices/${service.name}`,
  name: service.name,
  type: SERVICE_TYPE,
  location: service.location,
  tags: service.tags,
  ...(service.identity && { identity: shownIdentity(service.identity, service.resourceId, tenantId) }),
});

/** A system-assigned identity has a name here, by which nothing gets tokens. */
function shownIdentity({ type, userAssignedIdentities }: ManagedIdentity, resourceId: ResourceId, tenantId: string) {
  const ofSystem = /\bSystemAssigned\b/i.test(type);
  return {
    type,
    ...(ofSystem && { principalId: guidFor(`system-assigned ${resourceId}`), tenantId }),
    ...(userAssignedIdentities !== undefined && { userAssignedIdentities }),
  };
}
