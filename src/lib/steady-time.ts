import type { Clock } from './clock.ts';

/** What a clock may be off by without anybody calling it a jump. */
const JUMP_MS = 60_000;
/** After so long the clock is trusted again. */
const DOUBT_MS = 3_600_000;

/**
 * Tells when the wall clock has jumped, by comparing it with the time that has passed. A clock that was set back must not
 * bring expired tokens back, and nothing may be thrown away because a clock was set forward (security page, O5).
 */
export class SteadyTime {
  readonly #clock: Clock;
  /** Wall clock minus elapsed time, as last trusted. */
  #offset: number;
  /** Elapsed time since which the clock says something else. */
  #doubtedSince: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#offset = clock.now() - clock.elapsed();
  }

  /** The later of what the wall clock says and what it would say without the jump. Milliseconds since 1970. */
  latest(): number {
    return Math.max(this.#clock.now(), this.#look() + this.#clock.elapsed());
  }

  /** False within an hour of a jump. */
  isSettled(): boolean {
    this.#look();
    return this.#doubtedSince === undefined;
  }

  /** @returns the offset that is trusted */
  #look(): number {
    const elapsed = this.#clock.elapsed();
    const offset = this.#clock.now() - elapsed;
    const hasJumped = Math.abs(offset - this.#offset) > JUMP_MS;
    if (hasJumped) this.#doubtedSince ??= elapsed;
    const isTrusted = !hasJumped || elapsed - (this.#doubtedSince ?? elapsed) > DOUBT_MS;
    if (isTrusted) {
      this.#offset = offset;
      this.#doubtedSince = undefined;
    }
    return this.#offset;
  }
}
