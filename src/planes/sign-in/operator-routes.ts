import { HOME_TENANT } from '../../callers.ts';
import { ServiceError } from '../../errors.ts';
import { ok, type Reply, type Route, route } from '../../http/route.ts';
import { int32, maybe, object, secret, text } from '../../http/schema.ts';
import { echo } from '../../lib/echo.ts';
import { isGuid } from '../../lib/guid.ts';

interface SignIn {
  /** Address of this server, without a trailing slash. */
  origin: string;
  isOperator: (secret: string) => boolean;
}

/** What a client posts to sign in for itself. */
interface Credentials {
  readonly grant_type: string;
  readonly client_secret?: string | undefined;
}

const HOUR_SECONDS = 3600;
const GRANT = 'client_credentials';

const SignInBody = object({ grant_type: text(), client_secret: maybe(secret()) });
const OAuthError = object({ error: text(), error_description: text() });
const DiscoveryShape = object({ issuer: text(), authorization_endpoint: text(), token_endpoint: text() });

/** Names under which clients look for a directory without its id. */
const OPEN_TENANTS = ['adfs', 'common', 'organizations'];

const takesOperator = (tenant: string): boolean => isGuid(tenant) || OPEN_TENANTS.includes(tenant.toLowerCase());

/**
 * Signs the operator in with the operator key as the client secret (RFC 6749, section 4.4) and gives it back as the access
 * token, whichever GUID the tenant has: tools such as Terraform insist on one.
 * @returns undefined for everybody else
 */
export function operatorToken(
  tenant: string,
  { grant_type, client_secret }: Credentials,
  isOperator: (secret: string) => boolean,
): Reply | undefined {
  if (grant_type !== GRANT || client_secret === undefined || !takesOperator(tenant)) return undefined;
  if (!isOperator(client_secret)) return undefined;
  return ok({
    token_type: 'Bearer',
    expires_in: HOUR_SECONDS,
    ext_expires_in: HOUR_SECONDS,
    access_token: client_secret,
  });
}

/**
 * Lets the operator sign in with tools that know OAuth only, such as `az login --service-principal`. Under `/adfs` clients take
 * the authority as it is; under any other name they ask Microsoft about it first, unless they are told not to.
 */
export function operatorRoutes({ origin, isOperator }: SignIn): Route[] {
  const requireTenant = (tenant: string): void => {
    if (!takesOperator(tenant))
      throw new ServiceError('TenantUnknown', { values: { tenant: echo(tenant), known: HOME_TENANT } });
  };
  const discovery = (tenant: string, version: '' | '/v2.0'): object => {
    requireTenant(tenant);
    const authority = `${origin}/${tenant.toLowerCase()}`;
    return {
      issuer: `${authority}${version}`,
      authorization_endpoint: `${authority}/oauth2/authorize`,
      token_endpoint: `${authority}/oauth2/v2.0/token`,
      jwks_uri: `${origin}/.well-known/jwks.json`,
      grant_types_supported: [GRANT],
      token_endpoint_auth_methods_supported: ['client_secret_post'],
      tenant: HOME_TENANT,
    };
  };
  const signIn = (tenant: string, body: Credentials): Reply => {
    requireTenant(tenant);
    if (body.grant_type !== GRANT) throw new ServiceError('GrantUnsupported', { values: { grants: GRANT } });
    const signedIn = operatorToken(tenant, body, isOperator);
    if (!signedIn) throw new ServiceError('ClientRefused');
    return signedIn;
  };

  return [
    ...(['', '/v2.0'] as const).map((version) =>
      route({
        operation: version === '' ? 'getOperatorAuthority' : 'getOperatorDiscovery',
        summary: 'Tells tools that support only OAuth where operators sign in. The tenant is `adfs` or any GUID.',
        at: `GET /{tenant}${version}/.well-known/openid-configuration`,
        access: { caller: 'nobody' },
        answers: { 200: DiscoveryShape },
        handle: ({ path }) => ok(discovery(path.tenant, version)),
      }),
    ),
    ...(['', '/adfs'] as const).map((start) =>
      route({
        operation: start === '' ? 'signInOperator' : 'signInAdfsOperator',
        summary:
          'Takes the operator key as a client secret (RFC 6749, section 4.4) and gives it back as the access token. The tenant is `adfs` or any GUID.',
        at: `POST ${start}/{tenant}/oauth2/v2.0/token`,
        access: { caller: 'nobody' },
        body: { schema: SignInBody, kind: 'form' },
        answers: {
          200: object({ token_type: text(), expires_in: int32(), access_token: secret() }),
          400: OAuthError,
          401: OAuthError,
        },
        handle: ({ path, body }) => signIn(path.tenant, body),
      }),
    ),
  ];
}
