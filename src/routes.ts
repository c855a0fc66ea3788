import type { Route } from './http/route.ts';
import type { Identities } from './identities/identities.ts';
import { identityRoutes } from './identities/identity-routes.ts';
import type { CommunicationServices } from './management/communication-services.ts';
import { managementRoutes, OPERATOR_TENANT } from './management/management-routes.ts';
import { type StatusParts, statusRoutes } from './status/status-routes.ts';
import type { AccessTokens } from './tokens/access-tokens.ts';
import type { SigningKeys } from './tokens/signing-keys.ts';
import type { Lifetimes } from './tokens/token.ts';
import { tokenRoutes } from './tokens/token-routes.ts';

export interface RouteParts extends StatusParts {
  identities: Identities;
  tokens: AccessTokens;
  keys: SigningKeys;
  lifetimes: Lifetimes;
  issuer: () => string;
  services: CommunicationServices;
}

/** Every route of the server. */
export const routeList = (parts: RouteParts): Route[] => [
  ...identityRoutes(parts.identities, parts.tokens, parts.lifetimes),
  ...tokenRoutes(parts.tokens, parts.keys, parts.lifetimes, parts.issuer),
  ...managementRoutes(parts.services, { endpoint: () => `${parts.issuer()}/`, tenantId: OPERATOR_TENANT }),
  ...statusRoutes(parts),
];
