import type { Clock } from '../lib/clock.ts';
import type { Moved } from './fact.ts';
import type { FactStore } from './fact-store.ts';

interface Uses {
  store: Pick<FactStore, 'positions'>;
  clock: Clock;
}

interface Options {
  /** Time between the starts of two sweeps. */
  sweepMs?: number;
}

/**
 * Told where a stream is.
 * @param isRead true for a position that was read from the store, false for a hint, which may be wrong in any way
 */
export type PositionListener = (position: number, isRead: boolean) => void;

/** Longest time that a lost hint costs. */
export const SWEEP_MS = 2000;

/**
 * Tells those who watch streams that there may be something new: at once when a hint says so, and at the latest with the
 * next sweep, which asks the store where all watched streams are. It runs only while something is watched.
 */
export class Positions {
  readonly #uses: Uses;
  readonly #sweepMs: number;
  readonly #listeners = new Map<string, PositionListener>();
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> | undefined;
  #isStopped = false;
  /** Sweeps that have begun and those that the store did not answer. */
  readonly counts = { sweeps: 0, failures: 0 };

  constructor(uses: Uses, { sweepMs = SWEEP_MS }: Options = {}) {
    this.#uses = uses;
    this.#sweepMs = sweepMs;
  }

  /** Listens for a stream, which nobody else does. @returns what ends it */
  listen(stream: string, listener: PositionListener): () => void {
    if (this.#listeners.has(stream)) throw new Error(`somebody listens for ${stream} already`);
    this.#listeners.set(stream, listener);
    this.#schedule(this.#sweepMs);
    return () => {
      this.#listeners.delete(stream);
    };
  }

  /** Streams that somebody listens for. */
  get size(): number {
    return this.#listeners.size;
  }

  /** Passes on what a hint says. */
  hinted({ stream, position }: Moved): void {
    this.#listeners.get(stream)?.(position, false);
  }

  /** Asks the store where all watched streams are. Those that ask meanwhile share one answer. */
  sweep(): Promise<void> {
    this.#sweeping ??= this.#sweep().finally(() => {
      this.#sweeping = undefined;
    });
    return this.#sweeping;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#sweeping;
  }

  async #sweep(): Promise<void> {
    if (this.#listeners.size === 0) return;
    this.counts.sweeps += 1;
    try {
      const names = [...this.#listeners.keys()];
      const found = new Map(
        (await this.#uses.store.positions(names)).map(({ stream, position }) => [stream, position]),
      );
      for (const name of names) this.#listeners.get(name)?.(found.get(name) ?? 0, true);
    } catch {
      this.counts.failures += 1; // the next one asks again
    }
  }

  #schedule(afterMs: number): void {
    if (this.#timer || this.#isStopped) return;
    this.#timer = setTimeout(() => void this.#onTimer(), afterMs).unref();
  }

  async #onTimer(): Promise<void> {
    const { clock } = this.#uses;
    const started = clock.elapsed();
    await this.sweep();
    this.#timer = undefined;
    if (this.#listeners.size > 0) this.#schedule(Math.max(0, started + this.#sweepMs - clock.elapsed()));
  }
}
