import type { Events } from '../monitoring/events.ts';
import type { Revocations } from '../revocation/revocations.ts';
import type { SigningKeys } from '../tokens/signing-keys.ts';

interface Uses {
  revocations: Revocations;
  keys: SigningKeys;
  events: Pick<Events, 'notice'>;
}

/** The way out after the store has lost committed state (security-and-reliability, section 3.7). */
export class Recovery {
  readonly #uses: Uses;

  constructor(uses: Uses) {
    this.#uses = uses;
  }

  /**
   * Accepts the loss: ends every token issued so far, and withdraws every signing key, since the loss may have brought
   * back one that was withdrawn.
   * @returns the id of the key that signs after this
   */
  async acceptRollback(): Promise<string> {
    const { revocations, keys, events } = this.#uses;
    await revocations.recover();
    // The one that signs comes last: its place is then taken by a fresh key and not by one that waited.
    const active = keys.active.kid;
    const others = keys.published().filter(({ kid }) => kid !== active);
    for (const { kid } of others) await keys.kill(kid);
    await keys.kill(active);
    events.notice('warn', 'the operator accepted a rollback of the store: every token issued so far was ended');
    return keys.active.kid;
  }
}
