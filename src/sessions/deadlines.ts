import type { Clock } from '../lib/clock.ts';
import type { SteadyTime } from '../lib/steady-time.ts';

/** How far a clock may go back, little by little, without anybody taking note. */
const SLACK_MS = 1000;

/**
 * What ends at an instant, by seconds: adding, removing and looking take the same time whatever is kept.
 *
 * Time is that of requests ({@link SteadyTime}), except that it never goes back: when the wall clock was set back, and the
 * former time is no longer believed, what was added before keeps the time that it had left.
 */
export class Deadlines<Item> {
  readonly #time: SteadyTime;
  readonly #clock: Clock;
  readonly #bySecond = new Map<number, Set<Item>>();
  /** No second with items is earlier. */
  #first = Number.POSITIVE_INFINITY;
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
    this.#first = Math.min(this.#first, second);
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

  /** Takes out everything whose second is over. */
  takeDue(): Item[] {
    const now = Math.floor(this.#look() / 1000);
    if (now < this.#first) return [];
    const due = this.#secondsUpTo(now).flatMap((second) => [...(this.#bySecond.get(second) ?? [])]);
    for (const second of this.#secondsUpTo(now)) this.#bySecond.delete(second);
    this.#first = now + 1;
    return due;
  }

  /** After a jump there may be more seconds than items. */
  #secondsUpTo(now: number): number[] {
    const count = now - this.#first + 1;
    if (count > this.#bySecond.size) return [...this.#bySecond.keys()].filter((second) => second <= now);
    return Array.from({ length: count }, (_, index) => this.#first + index);
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
