import { ServiceError } from '../errors.ts';
import { type Rows, statement } from './sql.ts';

interface Job {
  readonly turn: string | undefined;
  run(tx: Rows): Promise<unknown>;
  resolve(value: unknown): void;
  reject(cause: unknown): void;
}

interface Uses {
  /** Gives one connection to a piece of work that begins and ends a transaction on it. */
  onConnection(work: (tx: Rows) => Promise<void>): Promise<void>;
  /** How a transaction begins: SQLite takes the write lock at once, so that no upgrade can fail later. */
  begin: string;
  /** Waits until no other transaction, of any process, has one of these turns, and keeps them until the transaction ends. */
  takeTurns?(tx: Rows, turns: readonly string[]): Promise<void>;
  /** Transactions under way at a time: one where the store has one writer. */
  lanes: number;
  /** Tells a transaction that lost a race with another one, and would succeed if it were run again. */
  isLostRace?(cause: unknown): boolean;
  /** Tells a failing store from a failing statement. After the former nothing of the transaction can be trusted. */
  isStoreFailure(cause: unknown): boolean;
  /** Called after a store failure, once the transaction is over and before the next begins. */
  afterStoreFailure?(cause: unknown): void;
}

const MOST_PER_GROUP = 256;
const MOST_ATTEMPTS = 5;

/**
 * Durable writes, gathered: whatever arrives during one turn of the event loop, or while a commit is under way, shares
 * the next transaction and its one sync to disk. Each job runs behind a savepoint, so one that fails leaves no trace
 * and harms no other; a job's promise settles only after the commit returned.
 */
export class GroupWriter {
  readonly #uses: Uses;
  #waiting: Job[] = [];
  /** Turns of the transactions under way. */
  readonly #turns = new Set<string>();
  #running = 0;
  #scheduled = false;
  #idle: (() => void)[] = [];
  /** Transactions and jobs committed so far, for the metrics. */
  readonly counts = { groups: 0, jobs: 0, failures: 0 };

  constructor(uses: Uses) {
    this.#uses = uses;
  }

  /**
   * Runs the work in a transaction; more than once when that lost a race, so the work has no effect but on the rows.
   * @param turn names what the work changes of what is there already, where others may change it at the same time: the
   * resource. Works of one turn are never in two transactions at a time. Without it two transactions, each with works of
   * many callers, could each wait for a row of the other's
   * @returns what the work returned, after it is durable
   * @throws what the work threw; ServiceError `StoreUnavailable` when the store failed, and then the outcome is unknown
   */
  write<T>(work: (tx: Rows) => Promise<T>, turn?: string): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ turn, run: work, resolve: resolve as (value: unknown) => void, reject });
      this.#schedule();
    });
  }

  /** Writes that wait for their transaction to begin. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Resolves when every write asked for so far has settled. */
  settled(): Promise<void> {
    if (this.#running === 0 && this.#waiting.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #schedule(): void {
    if (this.#scheduled || this.#running >= this.#uses.lanes) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      void this.#drain();
    });
  }

  async #drain(): Promise<void> {
    const group = this.#takeGroup();
    if (group.length > 0) {
      const turns = turnsOf(group);
      for (const turn of turns) this.#turns.add(turn);
      this.#running += 1;
      if (this.#waiting.length > 0) this.#schedule();
      await this.#commit(group);
      this.#running -= 1;
      for (const turn of turns) this.#turns.delete(turn);
      if (this.#waiting.length > 0) this.#schedule();
    }
    if (this.#waiting.length === 0 && this.#running === 0) for (const wake of this.#idle.splice(0)) wake();
  }

  /** Jobs whose turn is in another transaction wait for its end, and hold up nobody else. */
  #takeGroup(): Job[] {
    const group: Job[] = [];
    this.#waiting = this.#waiting.filter((job) => {
      const fits = group.length < MOST_PER_GROUP && !(job.turn !== undefined && this.#turns.has(job.turn));
      if (fits) group.push(job);
      return !fits;
    });
    return group;
  }

  async #commit(group: Job[]): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const outcomes: Outcome[] = [];
      try {
        await this.#uses.onConnection((tx) => this.#transaction(tx, group, outcomes));
      } catch (cause) {
        if (attempt < MOST_ATTEMPTS && this.#uses.isLostRace?.(cause)) continue;
        this.counts.failures += 1;
        this.#repair(cause);
        const unavailable = new ServiceError('StoreUnavailable', { reason: 'store.failed', cause });
        for (const job of group) job.reject(unavailable);
        return;
      }
      this.counts.groups += 1;
      this.counts.jobs += group.length;
      for (const { job, value, failure } of outcomes) {
        if (failure) job.reject(failure.cause);
        else job.resolve(value);
      }
      return;
    }
  }

  /** A repair that fails leaves a store that fails: the next write finds out, and tries again. */
  #repair(cause: unknown): void {
    try {
      this.#uses.afterStoreFailure?.(cause);
    } catch {
      this.counts.failures += 1;
    }
  }

  async #transaction(tx: Rows, group: Job[], outcomes: Outcome[]): Promise<void> {
    const shared = group.length > 1;
    await execute(tx, this.#uses.begin);
    try {
      const turns = turnsOf(group);
      if (turns.length > 0) await this.#uses.takeTurns?.(tx, turns);
      for (const job of group) {
        if (shared) await execute(tx, 'savepoint job');
        try {
          outcomes.push({ job, value: await job.run(tx) });
          if (shared) await execute(tx, 'release savepoint job');
        } catch (cause) {
          if (this.#uses.isStoreFailure(cause)) throw cause;
          outcomes.push({ job, value: undefined, failure: { cause } });
          if (shared) await execute(tx, 'rollback to savepoint job');
        }
      }
      await execute(tx, outcomes.some(({ failure }) => !failure) ? 'commit' : 'rollback');
    } catch (cause) {
      await execute(tx, 'rollback').catch(() => undefined); // the store may have rolled back by itself
      throw cause;
    }
  }
}

interface Outcome {
  job: Job;
  value: unknown;
  failure?: { cause: unknown };
}

const turnsOf = (group: readonly Job[]): string[] => [...new Set(group.flatMap(({ turn }) => turn ?? []))];

const execute = (tx: Rows, text: string): Promise<number> => tx.run(statement(text));
