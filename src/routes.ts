import { backupRoutes } from './backup/backup-routes.ts';
import type { Backups } from './backup/backups.ts';
import type { Recovery } from './backup/recovery.ts';
import { apiDocument } from './http/openapi.ts';
import type { Route } from './http/route.ts';
import { directoryRoutes } from './identities/directory-routes.ts';
import type { Identities } from './identities/identities.ts';
import { identityRoutes } from './identities/identity-routes.ts';
import type { CommunicationServices } from './management/communication-services.ts';
import { managementRoutes, OPERATOR_TENANT } from './management/management-routes.ts';
import { operatorRoutes } from './operators/operator-routes.ts';
import { type StatusParts, statusRoutes } from './status/status-routes.ts';
import type { AccessTokens } from './tokens/access-tokens.ts';
import type { SigningKeys } from './tokens/signing-keys.ts';
import type { Lifetimes } from './tokens/token.ts';
import { tokenRoutes } from './tokens/token-routes.ts';

export interface RouteParts extends Omit<StatusParts, 'apiDocument'> {
  identities: Identities;
  tokens: AccessTokens;
  keys: SigningKeys;
  lifetimes: Lifetimes;
  issuer: () => string;
  services: CommunicationServices;
  backups: Backups;
  recovery: Recovery;
  isOperator: (secret: string) => boolean;
}

/** Every route of the server, one of which describes them all. */
export function routeList(parts: RouteParts): Route[] {
  const routes: Route[] = [
    ...identityRoutes(parts.identities, parts.tokens, parts.lifetimes),
    ...directoryRoutes(parts.identities),
    ...tokenRoutes(parts.tokens, parts.keys, parts.lifetimes, parts.issuer),
    ...managementRoutes(parts.services, { endpoint: () => `${parts.issuer()}/`, tenantId: OPERATOR_TENANT }),
    ...operatorRoutes({ origin: parts.issuer, isOperator: parts.isOperator, tenantId: OPERATOR_TENANT }),
    ...backupRoutes(parts.backups, parts.recovery),
    ...statusRoutes({ ...parts, apiDocument: () => apiDocument(routes) }),
  ];
  return routes;
}
