import type { Clock } from '../lib/clock.ts';
import type { SteadyTime } from '../lib/steady-time.ts';

/** How far a clock may go back, little by little, without anybody taking note. */
const SLACK_MS = 1000;

/**
 * What ends at an instant. It is kept by whole seconds, so that looking for what is over is quick: tokens live for a day at
 * most, which has 86,400 of them.
 *
 * Time is that of requests ({@link SteadyTime}), except that it never goes back: when the wall clock was set back, and the
 * former time is no longer trusted, what was added before keeps the time that it had left. When a clock went forward and
 * was set right, that may be less than the token has: it ends early, and no later than it should.
 */
export class Deadlines<Item> {
  readonly #time: SteadyTime;
  readonly #clock: Clock;
  readonly #bySecond = new Map<number, Set<Item>>();
  /** Time of requests minus elapsed time, as of the last look. */
  #offset: number;
  /** By how much the time of requests has gone back, in all. */
  #lostMs = 0;

  constructor(time: SteadyTime, clock: Clock) {
    this.#time = time;
    this.#clock = clock;
    this.#offset = time.latest() - clock.elapsed();
  }

  /** @param atMs milliseconds since 1970. @returns the instant for {@link isOver} and {@link remove} */
  add(item: Item, atMs: number): number {
    this.#look();
    const deadline = atMs + this.#lostMs;
    const second = secondOf(deadline);
    const items = this.#bySecond.get(second);
    if (items) items.add(item);
    else this.#bySecond.set(second, new Set([item]));
    return deadline;
  }

  remove(item: Item, deadline: number): void {
    const second = secondOf(deadline);
    const items = this.#bySecond.get(second);
    items?.delete(item);
    if (items?.size === 0) this.#bySecond.delete(second);
  }

  isOver(deadline: number): boolean {
    return deadline <= this.#look();
  }

  /** Takes out everything that is over. */
  takeDue(): Item[] {
    const now = this.#look();
    const due: Item[] = [];
    for (const [second, items] of this.#bySecond) {
      if (second * 1000 > now) continue;
      this.#bySecond.delete(second);
      for (const item of items) due.push(item);
    }
    return due;
  }

  /** @returns milliseconds that never go back by more than {@link SLACK_MS} */
  #look(): number {
    const elapsed = this.#clock.elapsed();
    const offset = this.#time.latest() - elapsed;
    const back = this.#offset - offset;
    if (back > SLACK_MS) this.#lostMs += back;
    if (back > SLACK_MS || back < 0) this.#offset = offset;
    return elapsed + offset + this.#lostMs;
  }
}

const secondOf = (ms: number): number => Math.ceil(ms / 1000);
