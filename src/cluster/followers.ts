import { Backoff } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { unlessAborted } from '../lib/unless-aborted.ts';
import type { Events } from '../monitoring/events.ts';
import type { GroupWriter } from '../storage/writer.ts';
import type { FactStore, NumberedFact } from './fact-store.ts';
import { FollowerLease, type Term } from './follower-lease.ts';
import type { FollowerRow, FollowerStore } from './follower-store.ts';

/**
 * Deals with facts, once each or more often: those whose number was not kept yet come again, perhaps on another node. When
 * it resolves, all of them are dealt with. When it rejects, they come again after a pause.
 * @param signal given when this node may not go on: it stops, or another one has taken the follower
 */
export type Following = (facts: readonly NumberedFact[], signal: AbortSignal) => Promise<void>;

interface Uses {
  facts: Pick<FactStore, 'after' | 'giveNumbers' | 'numbers'>;
  store: FollowerStore;
  writer: Pick<GroupWriter, 'write'>;
  clock: Clock;
  events: Pick<Events, 'notice'>;
  nodeId: string;
  /** True when no other process uses the store. */
  isAlone: boolean;
}

export interface FollowersOptions {
  /** Time between two looks at the store. */
  pollMs?: number;
  /** Silence of a node after which another one takes its followers. */
  leaseMs?: number;
  /** How long facts are gathered after the first, so that many share a transaction. */
  gatherMs?: number;
  /** Pauses between attempts, the first and the longest. */
  backoffMs?: readonly [first: number, most: number];
  /** How long a stop waits for what runs. */
  patienceMs?: number;
}

const USUAL: Required<FollowersOptions> = {
  pollMs: 2000,
  leaseMs: 10_000,
  gatherMs: 50,
  backoffMs: [500, 60_000],
  patienceMs: 10_000,
};
/** Facts that a follower gets together. */
const MOST_TOGETHER = 64;
/** Facts that get their numbers in one transaction. */
const MOST_NUMBERS = 256;
/** The writer's turn of what gives or removes numbers. */
export const NUMBERS_TURN = 'fact numbers';
/** Facts without a number are counted up to here. */
const MOST_COUNTED = 10_000;

interface Followed {
  readonly name: string;
  readonly run: Following;
  readonly lease: FollowerLease;
  readonly backoff: Backoff;
  working: Promise<void> | undefined;
  worksAgain: boolean;
  /** Set while it waits after a failure. */
  retry: NodeJS.Timeout | undefined;
}

/**
 * Followers read the facts of all streams, each from a position of its own in the store: webhooks, audit, exports. One node
 * runs a follower at a time. They read in the order of numbers, which facts get after their commit: so a transaction that
 * commits late is never passed over.
 */
export class Followers {
  readonly #uses: Uses;
  readonly #options: Required<FollowersOptions>;
  readonly #followed = new Map<string, Followed>();
  #poll: NodeJS.Timeout | undefined;
  #polling: Promise<void> | undefined;
  #gathering: NodeJS.Timeout | undefined;
  #isStopped = false;
  #waiting: Readonly<Record<string, number>> = {};

  constructor(uses: Uses, options: FollowersOptions = {}) {
    this.#uses = uses;
    this.#options = { ...USUAL, ...options };
  }

  /**
   * Has a follower run on this node, or on another one that asks for the same. A new one begins with the oldest fact kept.
   * @param name stays the same over restarts
   */
  async follow(name: string, run: Following): Promise<void> {
    if (this.#followed.has(name)) throw new Error(`there is a follower ${name} already`);
    const { store, writer, clock, nodeId, isAlone } = this.#uses;
    await writer.write((tx) => store.ensure(tx, name), 'followers');
    const { leaseMs } = this.#options;
    const lease = new FollowerLease({ store, writer, clock, nodeId }, { leaseMs, isAlone });
    const backoff = new Backoff(...this.#options.backoffMs);
    this.#followed.set(name, { name, run, lease, backoff, working: undefined, worksAgain: false, retry: undefined });
    await this.#look();
    this.#schedule();
  }

  /** Forgets a follower that no release runs any more. Facts are kept for it until then. */
  async forget(name: string): Promise<void> {
    const { store, writer } = this.#uses;
    await writer.write((tx) => store.remove(tx, name), 'followers');
  }

  /** There may be new facts. */
  wake(): void {
    if (this.#gathering || this.#isStopped || this.#followed.size === 0) return;
    this.#gathering = setTimeout(() => {
      this.#gathering = undefined;
      for (const followed of this.#followed.values()) this.#work(followed);
    }, this.#options.gatherMs).unref();
  }

  /** Facts that wait for each follower of this node, as last read from the store. */
  get waiting(): Readonly<Record<string, number>> {
    return this.#waiting;
  }

  /** Names of the followers that this node runs now. */
  get running(): string[] {
    return [...this.#followed.values()].filter(({ lease }) => lease.term).map(({ name }) => name);
  }

  /**
   * Gives the signal to what runs, waits for it, and leaves the followers to the other nodes. What does not end in time keeps
   * its follower until other nodes have missed its signs of life.
   */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#poll);
    clearTimeout(this.#gathering);
    await this.#polling;
    const patience = AbortSignal.timeout(this.#options.patienceMs);
    await Promise.all(Array.from(this.#followed.values(), (followed) => this.#leave(followed, patience)));
  }

  async #leave({ lease, working, retry }: Followed, patience: AbortSignal): Promise<void> {
    clearTimeout(retry);
    const term = lease.end();
    const isOver =
      working === undefined ||
      (await unlessAborted(
        patience,
        working.then(() => true),
      ));
    if (term && isOver) await lease.release(term);
  }

  #schedule(): void {
    if (this.#poll || this.#isStopped) return;
    this.#poll = setTimeout(async () => {
      await this.#look();
      this.#poll = undefined;
      this.#schedule();
    }, this.#options.pollMs).unref();
  }

  #look(): Promise<void> {
    this.#polling ??= this.#lookOnce()
      .catch(() => undefined) // the store does not answer; leases end by themselves
      .finally(() => {
        this.#polling = undefined;
      });
    return this.#polling;
  }

  async #lookOnce(): Promise<void> {
    const { store, facts } = this.#uses;
    const rows = await store.find([...this.#followed.keys()]);
    await Promise.all(rows.map((row) => this.#see(row)));
    const { last, unnumbered } = await facts.numbers(MOST_COUNTED);
    this.#waiting = Object.fromEntries(rows.map(({ name, number }) => [name, last - number + unnumbered]));
  }

  async #see(row: FollowerRow): Promise<void> {
    const followed = this.#followed.get(row.name);
    if (!followed) return;
    await followed.lease.see(row).catch(() => undefined);
    this.#work(followed);
  }

  #work(followed: Followed): void {
    if (this.#isStopped || followed.retry || !followed.lease.term) return;
    followed.worksAgain = true;
    followed.working ??= this.#workOff(followed).finally(() => {
      followed.working = undefined;
      if (followed.worksAgain) this.#work(followed);
    });
  }

  async #workOff(followed: Followed): Promise<void> {
    try {
      while (followed.worksAgain) {
        followed.worksAgain = false;
        for (let term = followed.lease.term; term && (await this.#step(followed, term)); ) term = followed.lease.term;
      }
      followed.backoff.reset();
    } catch (cause) {
      this.#failed(followed, cause);
    }
  }

  /** @returns whether there may be more */
  async #step({ run, lease }: Followed, term: Term): Promise<boolean> {
    const { facts, writer } = this.#uses;
    const some = await facts.after(term.number, MOST_TOGETHER);
    const last = some.at(-1);
    if (!last) {
      const { unnumbered } = await facts.numbers(MOST_NUMBERS);
      if (unnumbered === 0) return false;
      return (await writer.write((tx) => facts.giveNumbers(tx, MOST_NUMBERS), NUMBERS_TURN, unnumbered)) > 0;
    }
    if (term.signal.aborted) return false;
    await run(some, term.signal);
    if (!(await lease.advance(term, last.number))) return false;
    term.number = last.number;
    return true;
  }

  #failed(followed: Followed, cause: unknown): void {
    if (this.#isStopped) return;
    const { name, lease, backoff } = followed;
    if (lease.term)
      this.#uses.events.notice('warn', 'a follower of facts failed; trying again', { follower: name, cause });
    followed.retry = setTimeout(() => {
      followed.retry = undefined;
      this.#work(followed);
    }, backoff.next()).unref();
  }
}
