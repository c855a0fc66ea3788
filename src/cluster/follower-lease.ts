import type { Clock } from '../lib/clock.ts';
import type { GroupWriter } from '../storage/writer.ts';
import type { FollowerRow, FollowerStore } from './follower-store.ts';

interface Uses {
  store: Pick<FollowerStore, 'take' | 'heartbeat' | 'release' | 'advance'>;
  writer: Pick<GroupWriter, 'write'>;
  clock: Clock;
  nodeId: string;
}

interface Options {
  leaseMs: number;
  /** True when no other process uses the store: then nobody has to be waited for, and no sign of life is needed. */
  isAlone: boolean;
}

/** How much faster one node's clock may run than another's. */
const DRIFT = 1.01;

/** A node's right to run a follower, while it lasts. */
export interface Term {
  readonly name: string;
  readonly term: number;
  /** Number of the last fact that was dealt with. */
  number: number;
  /** Given when the right has ended. */
  readonly signal: AbortSignal;
}

interface Held {
  readonly term: Term;
  readonly ending: AbortController;
  /** When the last sign of life that was confirmed was sent, in elapsed time. */
  confirmedAt: number;
  /** Ends the right where nobody looks at it: the store may not answer. */
  timer: NodeJS.Timeout | undefined;
}

/**
 * The right to run one follower, which one node has at a time. Its holder shows signs of life in the row. Another node takes
 * it when it has seen the same sign for as long as the lease, by its own elapsed time. Its holder stops when no sign was
 * confirmed for as long, counted from before it was sent. So no wall clock decides, neither a node's nor the store's.
 */
export class FollowerLease {
  readonly #uses: Uses;
  readonly #options: Options;
  #held: Held | undefined;
  /** What was last seen of a node that has it, and since when. */
  #seen: { readonly row: FollowerRow; readonly since: number } | undefined;

  constructor(uses: Uses, options: Options) {
    this.#uses = uses;
    this.#options = options;
  }

  /** The right, while this node has it. */
  get term(): Term | undefined {
    this.#expire();
    return this.#held?.term;
  }

  /** Looks at what the store says: shows a sign of life, takes the follower, or goes on waiting. */
  async see(row: FollowerRow): Promise<void> {
    this.#expire();
    if (this.#held) await this.#renew(this.#held);
    else if (row.holder === '' || this.#options.isAlone || this.#isSilent(row)) await this.#take(row);
  }

  /** Keeps how far the follower is. @returns false when the right has ended */
  async advance(term: Term, number: number): Promise<boolean> {
    const { store } = this.#uses;
    const isMine = await this.#confirm(term, (tx) => store.advance(tx, term.name, term.term, number));
    return isMine && !term.signal.aborted;
  }

  /** Ends the right. @returns what {@link release} needs, once the work under it is over */
  end(): Term | undefined {
    const term = this.#held?.term;
    this.#end();
    return term;
  }

  /** Lets another node take the follower at once. */
  async release({ name, term }: Term): Promise<void> {
    const { store, writer } = this.#uses;
    await writer.write((tx) => store.release(tx, name, term), turnOf(name)).catch(() => undefined);
  }

  async #renew({ term }: Held): Promise<void> {
    if (this.#options.isAlone) return;
    await this.#confirm(term, (tx) => this.#uses.store.heartbeat(tx, term.name, term.term));
  }

  async #confirm(term: Term, write: Parameters<GroupWriter['write']>[0]): Promise<boolean> {
    const { writer, clock } = this.#uses;
    const sentAt = clock.elapsed();
    const isMine = (await writer.write(write, turnOf(term.name))) === true;
    const held = this.#held?.term === term ? this.#held : undefined;
    if (held && isMine) this.#prolong(held, sentAt);
    else if (held) this.#end();
    return isMine;
  }

  async #take(row: FollowerRow): Promise<void> {
    const { store, writer, clock, nodeId } = this.#uses;
    const sentAt = clock.elapsed();
    const number = await writer.write((tx) => store.take(tx, row, nodeId), turnOf(row.name));
    this.#seen = undefined;
    if (number === undefined) return;
    const ending = new AbortController();
    const term = { name: row.name, term: row.term + 1, number, signal: ending.signal };
    this.#held = { term, ending, confirmedAt: sentAt, timer: undefined };
    this.#prolong(this.#held, sentAt);
  }

  #prolong(held: Held, sentAt: number): void {
    if (this.#options.isAlone) return;
    held.confirmedAt = Math.max(held.confirmedAt, sentAt);
    clearTimeout(held.timer);
    held.timer = setTimeout(() => this.#expire(), this.#options.leaseMs + 1).unref();
  }

  #isSilent(row: FollowerRow): boolean {
    const now = this.#uses.clock.elapsed();
    const isSame = this.#seen?.row.term === row.term && this.#seen.row.beat === row.beat;
    if (!isSame) this.#seen = { row, since: now };
    return this.#seen !== undefined && now - this.#seen.since > this.#options.leaseMs * DRIFT;
  }

  #expire(): void {
    if (!this.#held || this.#options.isAlone) return;
    if (this.#uses.clock.elapsed() - this.#held.confirmedAt > this.#options.leaseMs) this.#end();
  }

  #end(): void {
    clearTimeout(this.#held?.timer);
    this.#held?.ending.abort();
    this.#held = undefined;
    this.#seen = undefined;
  }
}

const turnOf = (name: string): string => `follower/${name}`;
