import type { Access } from '../../access.ts';
import type { Base } from '../../base.ts';
import type { SigningKeyMaterial } from '../../tokens/jws.ts';
import type { Plane } from '../plane.ts';
import { DevIssuer } from './dev-issuer.ts';
import { DeviceCodes } from './device-codes.ts';
import { issuerRoutes } from './issuer-routes.ts';
import { oauthDialect } from './oauth-dialect.ts';
import { operatorRoutes } from './operator-routes.ts';
import { TokenEndpoint } from './token-endpoint.ts';

/** Signs the operator in, for tools that know OAuth only. */
export const operatorSignInPlane = ({ origin }: Base, { isOperator }: Access): Plane => ({
  name: 'sign-in',
  dialect: oauthDialect,
  routes: operatorRoutes({ origin, isOperator }),
});

/** Issues tokens of the dev directory. */
export const devIssuer = (
  { clock, origin }: Base,
  { key, secret }: { key: SigningKeyMaterial; secret: string },
): DevIssuer => new DevIssuer({ key, secret, clock, origin });

/** Signs in everybody of the dev directory, and the operator. */
export function devSignInPlane({ settings, clock, origin }: Base, { isOperator }: Access, issuer: DevIssuer): Plane {
  const deviceCodes = new DeviceCodes(clock);
  const endpoint = new TokenEndpoint({ issuer, deviceCodes, origin });
  const { wellKnownKey } = settings;
  return {
    name: 'sign-in',
    dialect: oauthDialect,
    routes: issuerRoutes({ issuer, deviceCodes, endpoint }, { origin, isOperator, wellKnownKey }),
  };
}
