import type { Clock } from '../lib/clock.ts';
import type { ForeignKey, KeySet } from './key-set.ts';
import { ProviderFailure } from './provider-fetch.ts';

const MINUTE_MS = 60_000;
/** A set that is older is read again, while it goes on serving. */
const FRESH_MS = 60 * MINUTE_MS;
/** How long a set serves when it cannot be read again. */
const KEPT_MS = 24 * 60 * MINUTE_MS;
/** A key that is not in the set has it read again this often at most, for all callers together. */
const REFETCH_MS = 5 * MINUTE_MS;
/** The same while there is no set at all. */
const RETRY_MS = 2000;

/** What a look-up found: a key; that the provider has none of that id; or why that is not known. */
export type Finding = { readonly key: ForeignKey | undefined } | { readonly failure: string };

interface Uses {
  clock: Clock;
  /** Asks the provider. @throws ProviderFailure */
  read: () => Promise<KeySet>;
  /** Told when reading begins to fail, fails for another reason, or works again (undefined). */
  changed: (failure: string | undefined) => void;
}

/** The keys of one address, remembered (security-and-reliability, section 4.7). */
export class CachedKeySet {
  readonly #uses: Uses;
  #keys: KeySet | undefined;
  /** All three in elapsed milliseconds. */
  #readAtMs = Number.NEGATIVE_INFINITY;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #refetchedAtMs = Number.NEGATIVE_INFINITY;
  #failure: string | undefined;
  #reading: Promise<void> | undefined;

  constructor(uses: Uses) {
    this.#uses = uses;
  }

  /** Finds a key by its exact id. */
  async find(kid: string): Promise<Finding> {
    const age = this.#since(this.#readAtMs);
    if (!this.#keys || age > KEPT_MS) {
      this.#keys = undefined;
      await this.#readUnlessTriedWithin(RETRY_MS);
      return this.#finding(kid);
    }
    if (this.#keys.has(kid)) {
      if (age > FRESH_MS) void this.#readUnlessTriedWithin(REFETCH_MS);
      return this.#finding(kid);
    }
    if (this.#since(this.#refetchedAtMs) >= REFETCH_MS) {
      this.#refetchedAtMs = this.#uses.clock.elapsed();
      await this.#readUnlessTriedWithin(0);
    } else {
      await this.#reading;
    }
    return this.#finding(kid);
  }

  #finding(kid: string): Finding {
    const key = this.#keys?.get(kid);
    if (key || this.#failure === undefined) return { key };
    return { failure: this.#failure };
  }

  /** Never rejects. Calls that come while it is being read wait for the same answer. */
  async #readUnlessTriedWithin(ms: number): Promise<void> {
    if (!this.#reading && this.#since(this.#triedAtMs) >= ms) {
      this.#triedAtMs = this.#uses.clock.elapsed();
      this.#reading = this.#read().finally(() => {
        this.#reading = undefined;
      });
    }
    await this.#reading;
  }

  async #read(): Promise<void> {
    const former = this.#failure;
    try {
      this.#keys = await this.#uses.read();
      this.#readAtMs = this.#triedAtMs;
      this.#failure = undefined;
    } catch (cause) {
      this.#failure = cause instanceof ProviderFailure ? cause.message : `unexpected: ${cause}`;
    }
    if (this.#failure !== former) this.#uses.changed(this.#failure);
  }

  #since(ms: number): number {
    return this.#uses.clock.elapsed() - ms;
  }
}
