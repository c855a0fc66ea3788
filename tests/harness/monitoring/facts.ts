import type { IdentityId, ResourceId } from '../../../src/callers.ts';
import type { RequestFacts } from '../../../src/monitoring/events.ts';

const RESOURCE = '11111111-2222-4333-8444-555555555555';

/** An answered request, as ordinary as they come. */
export const FACTS: RequestFacts = {
  operation: 'issueAccessToken',
  method: 'POST',
  path: `/identities/8%3Aacs%3A${RESOURCE}_00000000-0000-0000-0000-000000000001/:issueAccessToken`,
  pathPattern: '/identities/{id}/:issueAccessToken',
  status: 200,
  durationMs: 1.23456,
  clientRequestId: '5f3759df-0000-4000-8000-000000000000',
  msCv: 'abcdefghijklmnopqrstuv.0',
  apiVersion: '2023-10-01',
  caller: 'service',
  resourceId: RESOURCE as ResourceId,
  identityId: `8:acs:${RESOURCE}_00000000-0000-0000-0000-000000000001` as IdentityId,
  reason: undefined,
  detail: undefined,
  cause: undefined,
};
