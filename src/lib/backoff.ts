/** Pauses between attempts: each about twice as long as the one before, and each node at another moment. */
export class Backoff {
  readonly #firstMs: number;
  readonly #mostMs: number;
  #nextMs: number;

  constructor(firstMs: number, mostMs: number) {
    this.#firstMs = firstMs;
    this.#mostMs = mostMs;
    this.#nextMs = firstMs;
  }

  /** Milliseconds to wait before the next attempt. */
  next(): number {
    const ms = this.#nextMs;
    this.#nextMs = Math.min(2 * ms, this.#mostMs);
    return ms * (0.5 + Math.random() / 2);
  }

  /** Call it after an attempt that succeeded. */
  reset(): void {
    this.#nextMs = this.#firstMs;
  }
}
