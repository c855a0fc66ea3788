/** Short beside what a request takes, long beside a turn of an idle event loop. */
const SLICE_MS = 2;

/** Lets the event loop serve others in the middle of long work, which asks for a pause at each of its steps. */
export class TimeSlice {
  #begun = performance.now();

  /** @returns undefined while the slice lasts; afterwards a promise that settles when the event loop has gone round once */
  pause(): Promise<void> | undefined {
    if (performance.now() - this.#begun < SLICE_MS) return undefined;
    return new Promise((resolve) => {
      setImmediate(() => {
        this.#begun = performance.now();
        resolve();
      });
    });
  }
}
