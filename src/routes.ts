import type { Backups } from './backup/backups.ts';
import type { Recovery } from './backup/recovery.ts';
import { HOME_TENANT } from './callers.ts';
import type { Assignments } from './exchanges/assignments.ts';
import type { Exchanges } from './exchanges/exchanges.ts';
import { apiDocument } from './http/openapi.ts';
import type { Route } from './http/route.ts';
import type { Identities } from './identities/identities.ts';
import type { Imports } from './identities/imports.ts';
import type { Start } from './planes/console/start.ts';
import { startRoutes } from './planes/console/start-routes.ts';
import { assignmentRoutes } from './planes/identity/assignment-routes.ts';
import { exchangeRoutes } from './planes/identity/exchange-routes.ts';
import { identityRoutes } from './planes/identity/identity-routes.ts';
import { tokenRoutes } from './planes/identity/token-routes.ts';
import { cloudRoutes } from './planes/management/cloud-routes.ts';
import type { CommunicationServices } from './planes/management/communication-services.ts';
import { managementRoutes } from './planes/management/management-routes.ts';
import { backupRoutes } from './planes/operator/backup-routes.ts';
import { directoryRoutes } from './planes/operator/directory-routes.ts';
import { importRoutes } from './planes/operator/import-routes.ts';
import { keyRingRoutes } from './planes/operator/key-ring-routes.ts';
import { type StatusParts, statusRoutes } from './planes/operator/status-routes.ts';
import { trustRoutes } from './planes/operator/trust-routes.ts';
import { type IssuerParts, issuerRoutes } from './planes/sign-in/issuer-routes.ts';
import { operatorRoutes } from './planes/sign-in/operator-routes.ts';
import type { KeyRotation } from './secrets/key-rotation.ts';
import type { AccessTokens } from './tokens/access-tokens.ts';
import type { SigningKeys } from './tokens/signing-keys.ts';
import type { Lifetimes } from './tokens/token.ts';
import type { KeySets } from './trusts/key-sets.ts';
import type { Trusts } from './trusts/trusts.ts';

export interface RouteParts extends Omit<StatusParts, 'apiDocument'> {
  identities: Identities;
  imports: Imports;
  tokens: AccessTokens;
  keys: SigningKeys;
  trusts: Trusts;
  keySets: Pick<KeySets, 'check'>;
  exchanges: Exchanges;
  assignments: Assignments;
  lifetimes: Lifetimes;
  issuer: () => string;
  services: CommunicationServices;
  backups: Backups;
  recovery: Recovery;
  keyRotation: KeyRotation;
  isOperator: (secret: string) => boolean;
  /** In dev mode only. */
  devIssuer: IssuerParts | undefined;
  /** In dev mode only. */
  start: Start | undefined;
  wellKnownKey: 'loopback' | 'off' | 'everywhere';
}

/** Whoever signs in by OAuth: in dev mode everybody of the dev directory, the operator included; otherwise the operator alone. */
const signInRoutes = ({ mode, devIssuer, issuer, isOperator, wellKnownKey }: RouteParts): Route[] =>
  mode === 'dev'
    ? issuerRoutes(devIssuer as IssuerParts, { origin: issuer, isOperator, wellKnownKey })
    : operatorRoutes({ origin: issuer, isOperator });

/** Every route of the server, one of which describes them all. */
export function routeList(parts: RouteParts): Route[] {
  const routes: Route[] = [
    ...identityRoutes(parts.identities, parts.tokens, parts.lifetimes),
    ...directoryRoutes(parts.identities),
    ...importRoutes(parts.imports),
    ...tokenRoutes(parts.tokens, parts.keys, parts.lifetimes, parts.issuer),
    ...exchangeRoutes(parts.exchanges),
    ...assignmentRoutes(parts.assignments, () => `${parts.issuer()}/`),
    ...trustRoutes(parts.trusts, parts.keySets),
    ...managementRoutes(parts.services, { endpoint: () => `${parts.issuer()}/`, tenantId: HOME_TENANT }),
    ...cloudRoutes(parts.services, { origin: parts.issuer, tenantId: HOME_TENANT }),
    ...signInRoutes(parts),
    ...(parts.mode === 'dev' ? startRoutes(parts.start as Start) : []),
    ...backupRoutes(parts.backups, parts.recovery),
    ...keyRingRoutes(parts.keyRotation),
    ...statusRoutes({ ...parts, apiDocument: () => apiDocument(routes) }),
  ];
  return routes;
}
