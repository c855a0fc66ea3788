import { ServiceError } from '../errors.ts';
import { ok, type Reply, type Route, route } from '../http/route.ts';
import { int32, maybe, object, secret, text } from '../http/schema.ts';

interface SignIn {
  /** Address of this server, without a trailing slash. */
  origin: () => string;
  isOperator: (secret: string) => boolean;
  /** Stands for the directory of the operator. */
  tenantId: string;
}

const HOUR_SECONDS = 3600;

const SignInBody = object({ grant_type: text(), client_secret: maybe(secret()) });
const OAuthError = object({ error: text(), error_description: text() });

/** The answer to an operator who has proven to be one. */
export const operatorToken = (secret: string): Reply =>
  ok({ token_type: 'Bearer', expires_in: HOUR_SECONDS, ext_expires_in: HOUR_SECONDS, access_token: secret });

/**
 * Lets the operator sign in with tools that know OAuth only, such as `az login --service-principal`: the operator key is
 * the client secret and the access token. Under `/adfs`, since clients then take the authority as it is.
 */
export const operatorRoutes = ({ origin, isOperator, tenantId }: SignIn): Route[] => [
  route({
    operation: 'getOperatorAuthority',
    summary: 'Where operators sign in, for tools that know OAuth only.',
    at: 'GET /adfs/.well-known/openid-configuration',
    access: { caller: 'nobody' },
    answers: {
      200: object({ issuer: text(), authorization_endpoint: text(), token_endpoint: text() }),
    },
    handle: () =>
      ok({
        issuer: `${origin()}/adfs`,
        authorization_endpoint: `${origin()}/adfs/oauth2/authorize`,
        token_endpoint: `${origin()}/adfs/oauth2/v2.0/token`,
        jwks_uri: `${origin()}/.well-known/jwks.json`,
        grant_types_supported: ['client_credentials'],
        token_endpoint_auth_methods_supported: ['client_secret_post'],
        tenant: tenantId,
      }),
  }),
  route({
    operation: 'signInOperator',
    summary: 'Takes the operator key as a client secret (RFC 6749, section 4.4) and gives it back as the access token.',
    at: 'POST /adfs/oauth2/v2.0/token',
    access: { caller: 'nobody' },
    body: { schema: SignInBody, kind: 'form' },
    errors: 'oauth',
    answers: {
      200: object({ token_type: text(), expires_in: int32(), access_token: secret() }),
      400: OAuthError,
      401: OAuthError,
    },
    handle({ body }) {
      if (body.grant_type !== 'client_credentials')
        throw new ServiceError('GrantUnsupported', { values: { grants: 'client_credentials' } });
      const secret = body.client_secret ?? '';
      if (!isOperator(secret)) throw new ServiceError('ClientRefused');
      return operatorToken(secret);
    },
  }),
];
