// The trusted part: the only code that the server lets issue and revoke tokens.
import { CommunicationIdentityClient } from '@azure/communication-identity';
import { DefaultAzureCredential } from '@azure/identity';
import { identityNames, ROLES } from './roles.mjs';

const LIFETIME_MINUTES = 60;
/** The page waits meanwhile, so one more try is enough. */
const OPTIONS = { retryOptions: { maxRetries: 1 } };

/** With a connection string by its access key; without by a managed identity, a workload identity or a service principal. */
export const identityClient = ({ connectionString, endpoint }) =>
  connectionString
    ? new CommunicationIdentityClient(connectionString, OPTIONS)
    : new CommunicationIdentityClient(endpoint, new DefaultAzureCredential(), OPTIONS);

export class AccessTokens {
  #client;
  #identities;
  #cache;
  /** What is under way, by name of identity. */
  #underWay = new Map();

  constructor(client, identities, cache) {
    this.#client = client;
    this.#identities = identities;
    this.#cache = cache;
  }

  /**
   * A token with what the user's role needs.
   * @param inbox which of an agent's inboxes
   * @param refused a token that the server no longer takes, so that the cache lets go of it
   * @param isSignedIn asked again when it is this user's turn: somebody may have signed out meanwhile
   * @returns `{ token, expiresOn }`; undefined when the user has no such inbox or is signed out
   */
  async tokenFor(user, { inbox, refused, isSignedIn }) {
    const { scopes, identityName } = ROLES[user.role];
    const name = identityName(user, inbox);
    if (name === undefined) return undefined;
    return this.#inTurn(name, async () => {
      if (!isSignedIn()) return undefined;
      const id = await this.#identities.findOrCreate(name);
      const kept = this.#cache.find(id, scopes);
      if (kept && kept.token !== refused) return kept;
      try {
        return await this.#issue(id, scopes);
      } catch (cause) {
        if (cause.statusCode !== 404) throw cause;
        // Deleted there, or the server began anew with an empty data folder.
        this.#identities.forget(name);
        return this.#issue(await this.#identities.findOrCreate(name), scopes);
      }
    });
  }

  /** Ends every token of all the identities that a user has. When this has returned, the server takes none of them. */
  async endAllOf(user) {
    for (const name of identityNames(user)) {
      await this.#inTurn(name, async () => {
        const id = this.#identities.find(name);
        if (id === undefined) return;
        await this.#client.revokeTokens({ communicationUserId: id }).catch((cause) => {
          if (cause.statusCode !== 404) throw cause; // deleted there, and its tokens with it
        });
        this.#cache.drop(id);
      });
    }
  }

  async #issue(communicationUserId, scopes) {
    const options = { tokenExpiresInMinutes: LIFETIME_MINUTES };
    const { token, expiresOn } = await this.#client.getToken({ communicationUserId }, scopes, options);
    const issued = { token, expiresOn: expiresOn.getTime() };
    this.#cache.keep(communicationUserId, scopes, issued);
    return issued;
  }

  /** One after the other for each identity: none is made twice, and no token is kept that was just ended. */
  #inTurn(name, work) {
    const turn = (this.#underWay.get(name) ?? Promise.resolve()).then(work, work);
    this.#underWay.set(name, turn);
    const done = () => this.#underWay.get(name) === turn && this.#underWay.delete(name);
    turn.then(done, done);
    return turn;
  }
}
