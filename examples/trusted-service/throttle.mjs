// Slows down who guesses passwords.
const WINDOW_MS = 15 * 60_000;

export class Throttle {
  /** By what is counted: `{ count, endsAtMs }`. */
  #counts = new Map();
  #now;

  constructor(now = Date.now) {
    this.#now = now;
  }

  /**
   * Counts an attempt before it is made, so that many at once are counted too.
   * @returns the seconds to wait, 0 when it may be made
   */
  attempt(what, most) {
    const now = this.#now();
    for (const [key, { endsAtMs }] of this.#counts) if (endsAtMs <= now) this.#counts.delete(key);
    const entry = this.#counts.get(what) ?? { count: 0, endsAtMs: now + WINDOW_MS };
    if (entry.count >= most) return Math.ceil((entry.endsAtMs - now) / 1000);
    entry.count++;
    this.#counts.set(what, entry);
    return 0;
  }

  forgive(what) {
    this.#counts.delete(what);
  }
}
