import type { IdentityId, ResourceId } from '../callers.ts';
import type { Rows } from '../storage/sql.ts';

/** What an area keeps of resources and identities, and how it is removed with them. */
export interface Forgetter {
  /** The area, for error reports. */
  readonly name: string;
  /**
   * Removes what belongs to an identity, in the transaction that deletes the identity. What it throws rolls the deletion
   * back. It changes rows and nothing else, because a transaction may be run again. It is not called for each identity of a deleted resource: that is {@link resource}'s.
   */
  identity?(resourceId: ResourceId, id: IdentityId, tx: Rows): Promise<void>;
  /**
   * Removes everything of a deleted resource, in short transactions. It is called again, from the beginning, until a call
   * returns, and once more an hour later; so it is idempotent.
   * @throws the reason of the signal when that was given before the end
   */
  resource?(id: ResourceId, signal: AbortSignal): Promise<unknown>;
}

/**
 * Everybody who keeps something of resources and identities. Those registered last are called first: what builds on
 * another area's rows is removed before them.
 */
export class Forgetting {
  readonly #forgetters: Forgetter[] = [];

  /** @throws when an area of that name is there already */
  register(...forgetters: readonly Forgetter[]): void {
    for (const forgetter of forgetters) {
      if (this.#forgetters.some(({ name }) => name === forgetter.name))
        throw new Error(`${forgetter.name} is registered already`);
      this.#forgetters.unshift(forgetter);
    }
  }

  /** Removes what belongs to an identity, within the transaction that deletes it. */
  async identityIn(tx: Rows, resourceId: ResourceId, id: IdentityId): Promise<void> {
    for (const forgetter of this.#forgetters) await forgetter.identity?.(resourceId, id, tx);
  }

  /** Removes what belongs to a deleted resource. Returns once all of it is gone. */
  async resource(id: ResourceId, signal: AbortSignal): Promise<void> {
    for (const forgetter of this.#forgetters) {
      signal.throwIfAborted();
      await forgetter.resource?.(id, signal);
    }
    signal.throwIfAborted(); // a forgetter that returns when it is told to end has perhaps not ended
  }
}
