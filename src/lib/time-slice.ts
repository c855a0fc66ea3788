import { FairQueue } from './fair-queue.ts';

/** Short beside what a request takes, long beside a turn of an idle event loop. */
const SLICE_MS = 1;

const turns = new FairQueue(1);

/**
 * Waits for a turn of the event loop with room for a piece of long work: each turn has one such piece, of whatever kind, so
 * that short work waits for one only.
 * @param holder of those who wait each holder has its turns, one after the other
 */
export const waitForTimeSlice = (holder: string): Promise<void> =>
  turns.run(holder, () => new Promise((resolve) => setImmediate(resolve)));

/** Lets the event loop serve others in the middle of long work, which asks for a pause at each of its steps. */
export class TimeSlice {
  readonly #holder: string;
  #begun = performance.now();

  constructor(holder: string) {
    this.#holder = holder;
  }

  /** @returns undefined while the slice lasts; afterwards a promise that settles when others have been served */
  pause(): Promise<void> | undefined {
    if (performance.now() - this.#begun < SLICE_MS) return undefined;
    return waitForTimeSlice(this.#holder).then(() => {
      this.#begun = performance.now();
    });
  }
}
