import type { Access } from '../../access.ts';
import type { Base } from '../../base.ts';
import { serviceDialect } from '../../http/service-dialect.ts';
import type { Plane } from '../plane.ts';
import { assignmentRoutes } from './assignment-routes.ts';
import { exchangeRoutes } from './exchange-routes.ts';
import { identityRoutes } from './identity-routes.ts';
import { tokenRoutes } from './token-routes.ts';
import { IDENTITY_VERSIONS } from './versions.ts';

/** Identities and their tokens, as the SDKs ask for them (identity-protocol). */
export const identityPlane = (
  { origin }: Base,
  { identities, tokens, lifetimes, exchanges, assignments }: Access,
): Plane => ({
  name: 'identity',
  versions: IDENTITY_VERSIONS,
  dialect: serviceDialect,
  routes: [
    ...identityRoutes(identities, tokens, lifetimes),
    ...tokenRoutes(tokens, lifetimes),
    ...exchangeRoutes(exchanges),
    ...assignmentRoutes(assignments, `${origin}/`),
  ],
});
