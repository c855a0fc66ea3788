import type { EntraUserCaller, IdentityId, PresentedUser, ServiceCaller } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import type { AccessTokens } from '../tokens/access-tokens.ts';
import type { IssuedToken } from '../tokens/token.ts';
import type { Assignments } from './assignments.ts';
import { type Expected, identityOf, requireExpected, scopesFor } from './exchange.ts';

interface Uses {
  tokens: AccessTokens;
  assignments: Assignments;
  /** Verifies the token of a Teams user. @throws ServiceError `InvalidAccessToken`, `ProviderUnavailable` */
  teamsUserOf: (jwt: string) => Promise<PresentedUser>;
}

/** Gives access tokens to users of other directories, for tokens that those gave them. */
export class Exchanges {
  readonly #uses: Uses;

  constructor(uses: Uses) {
    this.#uses = uses;
  }

  /**
   * Exchanges a Teams user's token that a service presents.
   * @param required whether the service must say which application and user it expects
   * @throws ServiceError `InvalidAccessToken`, then what {@link requireExpected} throws
   */
  async teamsUser(
    caller: ServiceCaller,
    { token, ...expected }: Expected & { token: string | null | undefined },
    required: boolean,
  ): Promise<IssuedToken> {
    const { tokens, teamsUserOf } = this.#uses;
    if (!token) throw new ServiceError('InvalidAccessToken', { reason: 'foreign.malformed', detail: 'no token' });
    const user = await teamsUserOf(token);
    requireExpected(expected, user, required);
    const wish = {
      identityId: identityOf('teamsUser', caller.resourceId, user),
      scopes: scopesFor('teamsUser', user.permissions),
      user,
      isTeamsUser: true,
    };
    return tokens.exchange(caller.resourceId, wish, async (tx) => {
      await tokens.requireCredentialIn(tx, caller);
      return undefined;
    });
  }

  /**
   * Exchanges the token that a user presents by themselves.
   * @throws ServiceError `AssignmentMissing`; `InvalidAccessToken` when it carries no permission
   */
  async ownToken(
    { resourceId, user }: EntraUserCaller,
    exchange: 'entraUser' | 'teamsExtension',
  ): Promise<{ identityId: IdentityId; token: IssuedToken }> {
    const { tokens, assignments } = this.#uses;
    const identityId = identityOf(exchange, resourceId, user);
    const scopes = scopesFor(exchange, user.permissions);
    const plane = exchange === 'entraUser' ? 'entra' : 'teamsExtension';
    const token = await tokens.exchange(resourceId, { identityId, scopes, user, isTeamsUser: false }, (tx) =>
      assignments.admitIn(tx, resourceId, plane, user),
    );
    return { identityId, token };
  }
}
