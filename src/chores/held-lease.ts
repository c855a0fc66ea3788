import type { Clock } from '../lib/clock.ts';

/** As of `node:timers/promises`. @throws an AbortError when the signal is given */
export type Sleep = (
  ms: number,
  value?: undefined,
  options?: { readonly signal?: AbortSignal; readonly ref?: boolean },
) => Promise<void>;

interface Uses {
  /** Extends the lease. @returns false when another node has it */
  renew: () => Promise<boolean>;
  clock: Clock;
  sleep: Sleep;
}

/** Parts of the length of a lease. The last third is left for a run to end in, once it has been told to. */
const RENEWED_EVERY = 1 / 4;
const GIVEN_UP_AFTER = 2 / 3;
const MOST_BETWEEN_LOOKS_MS = 1000;

/** The lease of a chore while it runs: it is renewed, and the run is told to end when it could not be. */
export class HeldLease {
  readonly #uses: Uses;
  readonly #leaseMs: number;
  readonly #lost = new AbortController();
  readonly #ended = new AbortController();
  readonly #over = AbortSignal.any([this.#lost.signal, this.#ended.signal]);
  /** When the last step that the store has confirmed was begun, by both clocks: a suspended machine may stop one of them. */
  #confirmed: { now: number; elapsed: number };

  /** @param begun when the call was made that took the lease, by both clocks of this node */
  constructor(uses: Uses, { leaseMs, begun }: { leaseMs: number; begun: { now: number; elapsed: number } }) {
    this.#uses = uses;
    this.#leaseMs = leaseMs;
    this.#confirmed = begun;
    void this.#renewAgainAndAgain();
    void this.#watch();
  }

  /** Aborted when another node may run the chore soon. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Ends the renewing. The row is the caller's to give back. */
  end(): void {
    this.#ended.abort();
  }

  async #renewAgainAndAgain(): Promise<void> {
    while (await this.#pause(this.#leaseMs * RENEWED_EVERY)) {
      const begun = this.#time();
      const isOurs = await this.#uses.renew().catch(() => undefined); // a store that fails may be back in time
      if (isOurs === true) this.#confirmed = begun;
      if (isOurs === false) return this.#lost.abort(new Error('another node has taken its lease'));
    }
  }

  async #watch(): Promise<void> {
    while (await this.#pause(Math.min(this.#leaseMs / 10, MOST_BETWEEN_LOOKS_MS))) {
      if (this.#ageMs() >= this.#leaseMs * GIVEN_UP_AFTER)
        return this.#lost.abort(new Error('its lease could not be renewed in time'));
    }
  }

  #ageMs(): number {
    const { now, elapsed } = this.#time();
    return Math.max(now - this.#confirmed.now, elapsed - this.#confirmed.elapsed);
  }

  #time(): { now: number; elapsed: number } {
    return { now: this.#uses.clock.now(), elapsed: this.#uses.clock.elapsed() };
  }

  /** @returns false once there is nothing to do any more */
  async #pause(ms: number): Promise<boolean> {
    if (this.#over.aborted) return false;
    return this.#uses.sleep(ms, undefined, { signal: this.#over, ref: false }).then(
      () => true,
      () => false,
    );
  }
}
