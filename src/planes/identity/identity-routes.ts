import { ServiceError } from '../../errors.ts';
import { created, noContent, ok, type Route, route } from '../../http/route.ts';
import { int32, listOf, maybe, object, optional, secret, text } from '../../http/schema.ts';

import type { Identities } from '../../identities/identities.ts';
import { customId, type Identity, identityId } from '../../identities/identity.ts';
import { parseInstant, sevenDigits, wholeSeconds } from '../../lib/instants.ts';
import type { AccessTokens } from '../../tokens/access-tokens.ts';
import { type Lifetimes, lifetime, scopeList } from '../../tokens/token.ts';
import { knownScopes } from './token-routes.ts';
import { precedes, versions } from './versions.ts';

const ALL = versions('2020-07-20-preview1');
/** The first shape, before `:issueAccessToken` and nested answers. */
const FIRST = versions('2020-07-20-preview1', '2020-07-20-preview2');
const SINCE_SECOND = versions('2021-02-22-preview1');

// Clients that were given nothing send null, [] or no member at all.
const CreateBody = object({
  createTokenWithScopes: optional(listOf(text())),
  expiresInMinutes: optional(int32()),
  customId: optional(text()),
});

const ValidFromBody = object({ tokensValidFrom: text() });

const IdentityShape = object({
  customId: maybe(text()),
  lastTokenIssuedAt: maybe(text({ format: 'date-time' })),
  id: text(),
});

const CreatedShape = object({
  identity: IdentityShape,
  accessToken: maybe(object({ token: secret(), expiresOn: text({ format: 'date-time' }) })),
});

/** Only identities with a custom id show more than their id. */
const shown = ({ id, customId, lastTokenIssuedAtMs }: Identity) => ({
  ...(customId !== undefined && { customId }),
  ...(customId !== undefined &&
    lastTokenIssuedAtMs !== undefined && { lastTokenIssuedAt: wholeSeconds(lastTokenIssuedAtMs) }),
  id,
});

/** The directory on the wire: identity-protocol, sections 2.1, 2.2, 2.5 and 2.7. */
export const identityRoutes = (identities: Identities, tokens: AccessTokens, lifetimes: Lifetimes): Route[] => [
  route({
    operation: 'createIdentity',
    summary: 'Creates an identity and, if the request names scopes, a token for it.',
    at: 'POST /identities',
    versions: ALL,
    access: { caller: 'service' },
    quota: ({ createTokenWithScopes }) =>
      createTokenWithScopes?.length ? 'createIdentityWithToken' : 'createIdentity',
    body: { schema: CreateBody, kind: 'json' },
    answers: { 201: CreatedShape, 200: object({ id: text() }) },
    async handle({ caller, body, version }) {
      if (FIRST.includes(version)) return ok({ id: (await identities.create(caller)).id });

      const minutes = lifetime(precedes(version, '2022-10-01') ? undefined : body.expiresInMinutes, lifetimes);
      const name = typeof body.customId === 'string' ? customId(body.customId) : undefined;
      const scopes = body.createTokenWithScopes ?? [];
      if (scopes.length === 0) return created({ identity: shown(await identities.create(caller, name)) });

      const wish = { scopes: scopeList(scopes, knownScopes(version)), minutes };
      const { identity, token } = await tokens.createWithToken(caller, name, wish);
      return created({
        identity: shown(identity),
        accessToken: { token: token.jwt, expiresOn: sevenDigits(token.expiresOnMs) },
      });
    },
  }),
  route({
    operation: 'getIdentity',
    summary: 'Gives an identity.',
    at: 'GET /identities/{id}',
    versions: ALL,
    access: { caller: 'service' },
    answers: { 200: IdentityShape },
    async handle({ caller, path }) {
      return ok(shown(await identities.get(caller, identityId(path.id, caller.resourceId))));
    },
  }),
  route({
    operation: 'deleteIdentity',
    summary: 'Deletes an identity with all that belongs to it, and ends its tokens.',
    at: 'DELETE /identities/{id}',
    versions: ALL,
    access: { caller: 'service' },
    urgent: true,
    quota: 'deleteIdentity',
    answers: { 204: 'nothing' },
    async handle({ caller, path }) {
      await identities.delete(caller, identityId(path.id, caller.resourceId));
      return noContent();
    },
  }),
  route({
    operation: 'revokeAccessTokens',
    summary: 'Ends every token issued so far for an identity.',
    at: 'POST /identities/{id}/:revokeAccessTokens',
    versions: SINCE_SECOND,
    access: { caller: 'service' },
    urgent: true,
    quota: 'revokeTokens',
    answers: { 204: 'nothing' },
    async handle({ caller, path }) {
      await identities.revokeTokens(caller, identityId(path.id, caller.resourceId));
      return noContent();
    },
  }),
  route({
    operation: 'updateIdentity',
    summary: 'Ends the tokens that were issued before an instant, as in the first preview.',
    at: 'PATCH /identities/{id}',
    versions: FIRST,
    access: { caller: 'service' },
    urgent: true,
    quota: 'revokeTokens',
    body: { schema: ValidFromBody, kind: 'json' },
    answers: { 204: 'nothing' },
    async handle({ caller, path, body }) {
      const validFromMs = parseInstant(body.tokensValidFrom);
      if (validFromMs === undefined) throw new ServiceError('TokensValidFromInvalid');
      await identities.setTokensValidFrom(caller, identityId(path.id, caller.resourceId), validFromMs);
      return noContent();
    },
  }),
];
