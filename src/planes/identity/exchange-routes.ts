import type { IdentityId } from '../../callers.ts';
import type { Exchanges } from '../../exchanges/exchanges.ts';
import { ok, type Reply, type Route, route } from '../../http/route.ts';
import { anything, object, optional, secret, text } from '../../http/schema.ts';

import { sevenDigits } from '../../lib/instants.ts';
import type { IssuedToken } from '../../tokens/token.ts';
import { precedes, versions } from './versions.ts';

// All of it may be missing: what the original says first is whether the token is good.
const TeamsUserBody = object({ token: optional(secret()), appId: optional(text()), userId: optional(text()) });

/** Newer clients may say more; nothing of it is needed. */
const OwnTokenBody = optional(anything());

const TOKEN = { token: secret(), expiresOn: text({ format: 'date-time' }) };
const ExchangedShape = object({ identity: object({ id: text() }), accessToken: object(TOKEN) });

const shownToken = ({ jwt, expiresOnMs }: IssuedToken) => ({ token: jwt, expiresOn: sevenDigits(expiresOnMs) });
const exchanged = ({ identityId, token }: { identityId: IdentityId; token: IssuedToken }): Reply =>
  ok({ identity: { id: identityId }, accessToken: shownToken(token) });

/** Exchanges on the wire: identity-protocol, sections 2.4–2.6. */
export const exchangeRoutes = (exchanges: Exchanges): Route[] => [
  route({
    operation: 'exchangeTeamsUserAccessToken',
    summary:
      'Exchanges a token of the directory of a Teams user, which the service presents, for an access token of that user.',
    at: 'POST /teamsUser/:exchangeAccessToken',
    versions: versions('2021-03-31-preview1'),
    access: { caller: 'service' },
    quota: 'exchangeToken',
    body: { schema: TeamsUserBody, kind: 'json' },
    answers: { 200: object(TOKEN) },
    async handle({ caller, body, version }) {
      const { token, appId, userId } = body;
      return ok(
        shownToken(await exchanges.teamsUser(caller, { token, appId, userId }, !precedes(version, '2021-11-01'))),
      );
    },
  }),
  route({
    operation: 'exchangeTeamsExtensionAccessToken',
    summary:
      'Exchanges the directory token of a Teams user for an access token. The user must be assigned to the resource.',
    at: 'POST /access/teamsExtension/:exchangeAccessToken',
    versions: versions('2025-03-02-preview'),
    versionMayBeMissing: true,
    access: { caller: 'entraUser', purpose: 'teamsExtension' },
    quota: 'exchangeToken',
    body: { schema: OwnTokenBody, kind: 'json' },
    answers: { 200: ExchangedShape },
    handle: async ({ caller }) => exchanged(await exchanges.ownToken(caller, 'teamsExtension')),
  }),
  route({
    operation: 'exchangeEntraUserAccessToken',
    summary:
      'Exchanges the directory token of an Entra user for an access token. The user must be assigned to the resource.',
    at: 'POST /access/entra/:exchangeAccessToken',
    versions: versions('2025-03-02-preview'),
    access: { caller: 'entraUser', purpose: 'entraUser' },
    quota: 'exchangeToken',
    body: { schema: OwnTokenBody, kind: 'json' },
    answers: { 200: ExchangedShape },
    handle: async ({ caller }) => exchanged(await exchanges.ownToken(caller, 'entraUser')),
  }),
];
