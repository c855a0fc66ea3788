import { ok, type Route, route } from '../../http/route.ts';
import { int32, listOf, object, optional, secret, text } from '../../http/schema.ts';
import type { ApiVersion } from '../../http/versions.ts';
import { identityId } from '../../identities/identity.ts';
import { sevenDigits } from '../../lib/instants.ts';
import type { AccessTokens } from '../../tokens/access-tokens.ts';
import { type Lifetimes, lifetime, scopeList } from '../../tokens/token.ts';
import { precedes, versions } from './versions.ts';

const IssueBody = object({
  scopes: listOf(text()),
  expiresInMinutes: optional(int32()),
});

const FirstIssueBody = object({ scopes: listOf(text()) });

const TOKEN = { token: secret(), expiresOn: text({ format: 'date-time' }) };
const TokenShape = object(TOKEN);

/** The scopes that an api-version knows. */
export const knownScopes = (version: ApiVersion) => (precedes(version, '2023-10-01') ? 'first' : 'all');

/** Tokens on the wire: identity-protocol, section 2.3. */
export const tokenRoutes = (tokens: AccessTokens, lifetimes: Lifetimes): Route[] => [
  route({
    operation: 'issueAccessToken',
    summary: 'Issues a token for an identity.',
    at: 'POST /identities/{id}/:issueAccessToken',
    versions: versions('2021-02-22-preview1'),
    access: { caller: 'service' },
    quota: 'issueToken',
    body: { schema: IssueBody, kind: 'json' },
    answers: { 200: TokenShape },
    async handle({ caller, path, body, version }) {
      const minutes = lifetime(precedes(version, '2022-10-01') ? undefined : body.expiresInMinutes, lifetimes);
      const wish = { scopes: scopeList(body.scopes, knownScopes(version)), minutes };
      const token = await tokens.issue(caller, identityId(path.id, caller.resourceId), wish);
      return ok({ token: token.jwt, expiresOn: sevenDigits(token.expiresOnMs) });
    },
  }),
  route({
    operation: 'issueToken',
    summary: 'Issues a token, as in the first preview.',
    at: 'POST /identities/{id}/token',
    versions: versions('2020-07-20-preview1', '2020-07-20-preview2'),
    access: { caller: 'service' },
    quota: 'issueToken',
    body: { schema: FirstIssueBody, kind: 'json' },
    answers: { 200: object({ id: text(), ...TOKEN }) },
    async handle({ caller, path, body }) {
      const id = identityId(path.id, caller.resourceId);
      const token = await tokens.issue(caller, id, {
        scopes: scopeList(body.scopes, 'first'),
        minutes: lifetimes.usual,
      });
      return ok({ id, token: token.jwt, expiresOn: sevenDigits(token.expiresOnMs) });
    },
  }),
];
