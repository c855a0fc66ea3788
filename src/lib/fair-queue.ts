/**
 * Runs so many jobs at a time. Those who wait for one to end get their turns by holder, one job each, so that nobody waits
 * for all that another one has to do (round robin; Nagle, "On Packet Switches With Infinite Storage", 1985).
 */
export class FairQueue {
  readonly #most: number;
  #running = 0;
  /** Starts of jobs by holder, in the order in which holders have their turns. None is empty. */
  readonly #waiting = new Map<string, (() => void)[]>();

  constructor(most: number) {
    this.#most = most;
  }

  /** @returns what the job returns, or throws what it throws */
  async run<Result>(holder: string, job: () => Promise<Result>): Promise<Result> {
    if (this.#running < this.#most) this.#running += 1;
    else await this.#turnOf(holder);
    return job().finally(() => this.#passOn());
  }

  #turnOf(holder: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const starts = this.#waiting.get(holder);
    if (starts) starts.push(resolve);
    else this.#waiting.set(holder, [resolve]);
    return promise;
  }

  /** The next job takes the place of the one that ended. */
  #passOn(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#running -= 1;
      return;
    }
    const [holder, [start, ...others]] = next;
    this.#waiting.delete(holder);
    if (others.length > 0) this.#waiting.set(holder, others); // behind all the others
    start?.();
  }
}
