import type { Clock } from '../../../src/lib/clock.ts';

/** Chance that can be repeated: everything random in a schedule comes from one of these (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to, not including, 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.next();
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(list: readonly T[]): T {
    if (list.length === 0) throw new Error('nothing to pick from');
    return list[this.below(list.length)] as T;
  }
}

interface Task {
  at: number;
  order: number;
  run: () => void;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Simulated time: a list of things to happen. All promises settle between two of them, and no real time is waited for. */
export class World {
  /** Real milliseconds since the beginning; nobody inside can read them. */
  now = 0;
  /** From then on nothing goes wrong any more. */
  readonly calmAt: number;
  /** Whose code is running. */
  current: Process | undefined;
  readonly random: Random;
  readonly #heap: Task[] = [];
  #orders = 0;

  constructor(random: Random, calmAt: number) {
    this.random = random;
    this.calmAt = calmAt;
  }

  get isCalm(): boolean {
    return this.now >= this.calmAt;
  }

  /** The end of a fault that begins now. */
  until(ms: number): number {
    return Math.min(this.now + ms, this.calmAt);
  }

  after(ms: number, run: () => void): void {
    const heap = this.#heap;
    const task = { at: this.now + Math.max(0, ms), order: this.#orders++, run };
    let index = heap.push(task) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(task, heap[parent])) break;
      heap[index] = heap[parent] as Task;
      index = parent;
    }
    heap[index] = task;
  }

  async runUntil(end: number): Promise<void> {
    for (let task = this.#heap[0]; task && task.at <= end; task = this.#heap[0]) {
      this.#removeFirst();
      this.now = task.at;
      task.run();
      await turn();
      this.current = undefined;
    }
    this.now = end;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= heap.length) break;
      if (isBefore(heap[child + 1], heap[child])) child += 1;
      if (!isBefore(heap[child], last)) break;
      heap[index] = heap[child] as Task;
      index = child;
    }
    heap[index] = last;
  }
}

const isBefore = (one: Task | undefined, other: Task | undefined): boolean =>
  one !== undefined && (other === undefined || one.at < other.at || (one.at === other.at && one.order < other.order));

/** How the network of a schedule behaves. */
export interface Weather {
  /** Usual time of one way, in milliseconds. */
  delayMs: number;
  /** How often a message takes seconds instead. */
  slow: number;
  /** How often one is lost outside partitions. */
  lost: number;
  /** How often a node is stopped at the very moment at which it sends or receives. */
  stops: number;
}

const FINE: Weather = { delayMs: 1, slow: 0, lost: 0, stops: 0 };
const EPOCH = Date.UTC(2026, 0, 1);
const CLIENT_TIMEOUT_MS = 8000;

/** A node's operating system process: its clocks, its connection, and whether it runs. */
export class Process implements Clock {
  readonly world: World;
  readonly #weather: Weather;
  alive = true;
  /** Rates of two processes differ by less than 1 %. */
  readonly #rate: number;
  #wallOffset: number;
  #stoppedUntil = 0;
  #cutUntil = 0;

  constructor(world: World, weather: Weather) {
    this.world = world;
    this.#weather = weather;
    this.#rate = world.random.between(1, 1.0099);
    this.#wallOffset = world.random.between(-7_200_000, 7_200_000);
  }

  now(): number {
    return Math.floor(EPOCH + this.world.now * this.#rate + this.#wallOffset);
  }

  elapsed(): number {
    return this.world.now * this.#rate;
  }

  /** Sets the wall clock. */
  jump(ms: number): void {
    this.#wallOffset += ms;
  }

  /** SIGSTOP, and SIGCONT after a while. */
  stop(ms: number): void {
    this.#stoppedUntil = Math.max(this.#stoppedUntil, this.world.until(ms));
  }

  /** Cuts the connection to the store. */
  cut(ms: number): void {
    this.#cutUntil = Math.max(this.#cutUntil, this.world.until(ms));
  }

  /** Runs code of this process, once it is not stopped. */
  deliver(run: () => void): void {
    if (!this.alive) return;
    if (this.world.now < this.#stoppedUntil) {
      this.world.after(this.#stoppedUntil - this.world.now, () => this.deliver(run));
      return;
    }
    this.world.current = this;
    run();
  }

  /** A place where the process may be stopped. */
  async maybeStop(): Promise<void> {
    const { random } = this.world;
    if (this.world.isCalm || !random.chance(this.#weather.stops)) return;
    this.stop(random.between(1, 6000));
    await new Promise<void>((resolve) => this.deliver(resolve));
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason));
      this.world.after(ms / this.#rate, () => {
        if (!signal?.aborted) this.deliver(resolve);
      });
    });
  }

  every(ms: number, run: () => void): { stop(): void } {
    let active = true;
    const tick = (): void => {
      if (!active || !this.alive) return;
      if (this.world.now < this.#stoppedUntil) {
        this.world.after(this.#stoppedUntil - this.world.now, tick); // missed ticks are not made up for
        return;
      }
      this.world.current = this;
      run();
      this.world.after(ms / this.#rate, tick);
    };
    this.world.after(ms / this.#rate, tick);
    return {
      stop() {
        active = false;
      },
    };
  }

  /**
   * Asks the store something.
   * @param work happens at the store when the question arrives; calls back with the answer, maybe later
   */
  ask<T>(work: (done: (value: T) => void, failed: (cause: Error) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      const lose = (cause: Error): void => this.deliver(() => reject(cause));
      const answer = (settle: () => void): void => this.#travel(() => this.deliver(settle), lose);
      const send = (): void =>
        this.#travel(
          () =>
            work(
              (value) => answer(() => resolve(value)),
              (cause) => answer(() => reject(cause)),
            ),
          lose,
        );
      const { random } = this.world;
      this.world.after(CLIENT_TIMEOUT_MS, () => lose(new Error('timeout')));
      // Stopped between the last line that ran and the socket.
      if (!this.world.isCalm && random.chance(this.#weather.stops)) this.stop(random.between(1, 6000));
      this.deliver(send);
    });
  }

  /** One way of a message. It may be cut off underway, and then be reset, vanish, or come late like TCP's do. */
  #travel(arrive: () => void, lose: (cause: Error) => void): void {
    const { world } = this;
    const { random } = world;
    const { delayMs, slow, lost } = world.isCalm ? FINE : this.#weather;
    const delay = random.chance(slow) ? random.between(100, 5000) : delayMs * random.between(0.2, 2);
    const fate = random.next();
    const isLost = random.chance(lost);
    world.after(delay, () => {
      const cut = world.now < this.#cutUntil;
      if (!cut && !isLost) arrive();
      else if (fate < 0.3) lose(new Error('connection reset'));
      else if (fate < 0.7) world.after((cut ? this.#cutUntil - world.now : 0) + random.between(0, 3000), arrive);
    });
  }
}
