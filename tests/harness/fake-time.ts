import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../../src/lib/clock.ts';

interface Sleeper {
  readonly atMs: number;
  wake(): void;
}

/** Turns of the event loop after each wake-up, so that the code that was woken comes to a rest. */
const TURNS = 6;

/** A clock and its timers, which move when they are told to. */
export class FakeTime implements Clock {
  #elapsedMs = 0;
  #offsetMs = 1_000_000_000_000;
  #sleepers: Sleeper[] = [];

  now = (): number => this.#offsetMs + this.#elapsedMs;
  elapsed = (): number => this.#elapsedMs;

  sleep = (ms: number, _value?: undefined, { signal }: { signal?: AbortSignal } = {}): Promise<void> =>
    new Promise((resolve, reject) => {
      const sleeper = { atMs: this.#elapsedMs + ms, wake: resolve };
      this.#sleepers.push(sleeper);
      const end = (): void => {
        this.#sleepers = this.#sleepers.filter((one) => one !== sleeper);
        reject(signal?.reason);
      };
      if (signal?.aborted) end();
      else signal?.addEventListener('abort', end);
    });

  /** Moves the wall clock only. */
  jump(ms: number): void {
    this.#offsetMs += ms;
  }

  /** Lets time pass: everybody who sleeps is woken at the instant that was asked for. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#elapsedMs + ms;
    await settle();
    for (;;) {
      const next = this.#sleepers.reduce<Sleeper | undefined>(
        (first, one) => (first && first.atMs <= one.atMs ? first : one),
        undefined,
      );
      if (!next || next.atMs > endMs) break;
      this.#elapsedMs = Math.max(this.#elapsedMs, next.atMs);
      this.#sleepers = this.#sleepers.filter((one) => one !== next);
      next.wake();
      await settle();
    }
    this.#elapsedMs = endMs;
  }
}

async function settle(): Promise<void> {
  for (let count = 0; count < TURNS; count += 1) await turn();
}
