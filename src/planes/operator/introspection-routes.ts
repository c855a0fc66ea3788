import { capabilitiesOf } from '../../capabilities/capabilities.ts';
import { SCOPES } from '../../capabilities/tables.ts';
import { ServiceError } from '../../errors.ts';
import { ok, type Route, route } from '../../http/route.ts';
import { listOf, maybe, object, secret, text, truth } from '../../http/schema.ts';
import { sevenDigits } from '../../lib/instants.ts';
import type { AccessTokens } from '../../tokens/access-tokens.ts';
import type { SigningKeys } from '../../tokens/signing-keys.ts';

const WhoamiShape = object({
  identity: object({ id: text() }),
  resourceId: text(),
  scopes: listOf(text()),
  capabilities: listOf(text()),
  expiresOn: text({ format: 'date-time' }),
});

const IntrospectBody = object({ token: secret(), token_type_hint: maybe(text()) });

const IntrospectShape = object({
  active: truth(),
  scope: maybe(text()),
  capabilities: maybe(listOf(text())),
  inactive_reason: maybe(text()),
});

/** What a token says and whether it holds: identity-protocol, section 2.7; RFC 7662; RFC 7517; OpenID Connect Discovery 1.0. */
export const introspectionRoutes = (tokens: AccessTokens, keys: SigningKeys, issuer: string): Route[] => [
  route({
    operation: 'whoami',
    summary: 'Tells the bearer of an access token who they are and what they may do.',
    at: 'GET /-/whoami',
    access: { caller: 'user', requires: 'anyScope' },
    answers: { 200: WhoamiShape },
    handle({ caller }) {
      return ok({
        identity: { id: caller.identityId },
        resourceId: caller.resourceId,
        scopes: caller.scopes,
        capabilities: capabilitiesOf(caller.scopes),
        expiresOn: sevenDigits(caller.expiresOnMs),
      });
    },
  }),
  route({
    operation: 'introspectToken',
    summary:
      'Tells whether an access token is valid now (RFC 7662). A resource can ask about its own tokens only. The operator can ask about all, and also gets the reason if a token is not valid.',
    at: 'POST /-/introspect',
    access: { caller: 'serviceOrOperator' },
    reads: true,
    body: { schema: IntrospectBody, kind: 'form' },
    answers: { 200: IntrospectShape },
    async handle({ caller, body }) {
      try {
        const { claims, caller: user } = await tokens.verify(body.token);
        // Another resource's token and no token look the same to a resource.
        if (caller.kind === 'service' && user.resourceId !== caller.resourceId) return ok({ active: false });
        return ok({
          active: true,
          scope: user.scopes.join(' '),
          capabilities: capabilitiesOf(user.scopes),
          sub: user.identityId,
          aud: user.resourceId,
          iss: claims.issuer,
          exp: claims.expSeconds,
          iat: claims.iatSeconds,
          jti: claims.tokenId,
          token_type: 'Bearer',
        });
      } catch (cause) {
        if (!(cause instanceof ServiceError) || cause.error !== 'TokenRefused') throw cause;
        const detail = cause.detail === undefined ? '' : `; ${cause.detail}`;
        return ok({
          active: false,
          ...(caller.kind === 'operator' && { inactive_reason: `${cause.reason}${detail}` }),
        });
      }
    },
  }),
  route({
    operation: 'getSigningKeys',
    summary: 'The public keys that tokens are verified with (RFC 7517).',
    at: 'GET /.well-known/jwks.json',
    access: { caller: 'nobody' },
    answers: { 200: object({ keys: listOf(object({})) }) },
    handle() {
      return { ...ok({ keys: keys.published() }), headers: { 'Cache-Control': 'public, max-age=900' } };
    },
  }),
  route({
    operation: 'getDiscovery',
    summary: 'Where to find the keys and the introspection endpoint (OpenID Connect Discovery 1.0, RFC 8414).',
    at: 'GET /.well-known/openid-configuration',
    access: { caller: 'nobody' },
    answers: {
      200: object({ issuer: text(), jwks_uri: text(), introspection_endpoint: text() }),
    },
    handle() {
      return {
        ...ok({
          issuer,
          jwks_uri: `${issuer}/.well-known/jwks.json`,
          introspection_endpoint: `${issuer}/-/introspect`,
          id_token_signing_alg_values_supported: [...new Set(keys.published().map((key) => key.alg))],
          subject_types_supported: ['public'],
          response_types_supported: ['none'],
          scopes_supported: [...SCOPES],
        }),
        headers: { 'Cache-Control': 'public, max-age=900' },
      };
    },
  }),
];
