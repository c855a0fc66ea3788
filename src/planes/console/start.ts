import type { IdentityId, ServiceCaller } from '../../callers.ts';
import { identityId } from '../../identities/identity.ts';
import type { RecentRequest, RecentRequests } from '../../monitoring/recent-requests.ts';
import { DEV_RESOURCE } from '../../resources/resource.ts';
import type { Resources } from '../../resources/resources.ts';
import type { AccessTokens } from '../../tokens/access-tokens.ts';
import { type IssuedToken, type Lifetimes, scopeList } from '../../tokens/token.ts';

interface Uses {
  resources: Resources;
  tokens: AccessTokens;
  recent: RecentRequests;
  lifetimes: Lifetimes;
  /** Address of this server, without a trailing slash. */
  origin: string;
  /** File with the certificate authority of our own making. */
  caPath: () => string | undefined;
}

/** What the start page shows. */
export interface StartFacts {
  readonly endpoint: string;
  /** Undefined where it is not everybody's to know. */
  readonly connectionString: string | undefined;
  readonly caPath: string | undefined;
  readonly requests: readonly RecentRequest[];
}

/** A token from the start page, and whose it is. */
export interface StartToken extends IssuedToken {
  readonly identityId: IdentityId;
}

/** What dev mode offers a person in front of the machine. */
export class Start {
  readonly #uses: Uses;

  constructor(uses: Uses) {
    this.#uses = uses;
  }

  facts(): StartFacts {
    const { origin, caPath, recent } = this.#uses;
    const key = this.#publishedKey();
    const endpoint = `${origin}/`;
    return {
      endpoint,
      connectionString: key && `endpoint=${endpoint};accesskey=${key.secret.export().toString('base64')}`,
      caPath: caPath(),
      requests: recent.list(),
    };
  }

  /**
   * Issues a token of the development resource, as anybody on this machine can with the published key.
   * @param user whose; undefined: a new user's
   * @returns undefined when the key is not the published one: then nobody can without knowing it
   * @throws ServiceError as issuing does
   */
  async issue(scopes: readonly string[], user: string | undefined): Promise<StartToken | undefined> {
    const { tokens, lifetimes } = this.#uses;
    const key = this.#publishedKey();
    if (key === undefined) return undefined;
    const { slot, version } = key;
    const caller: ServiceCaller = {
      kind: 'service',
      resourceId: DEV_RESOURCE.id,
      credential: { kind: 'accessKey', slot, version },
    };
    const wish = { scopes: scopeList(scopes, 'all'), minutes: lifetimes.usual };
    if (user !== undefined) {
      const id = identityId(user, caller.resourceId);
      return { ...(await tokens.issue(caller, id, wish)), identityId: id };
    }
    const { identity, token } = await tokens.createWithToken(caller, undefined, wish);
    return { ...token, identityId: identity.id };
  }

  #publishedKey() {
    const { resources } = this.#uses;
    if (!resources.has(DEV_RESOURCE.id)) return undefined;
    const { keys, resource } = resources.get(DEV_RESOURCE.id);
    return resource.keysDisabled ? undefined : keys.find(({ slot, wellKnown }) => slot === 'primary' && wellKnown);
  }
}
