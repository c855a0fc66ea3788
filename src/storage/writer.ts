import { ServiceError } from '../errors.ts';
import { type Rows, statement } from './sql.ts';

interface Job {
  readonly turn: string | undefined;
  readonly weight: number;
  /** How often its transaction was given up for others. */
  yields: number;
  run(tx: Rows): Promise<unknown>;
  resolve(value: unknown): void;
  reject(cause: unknown): void;
}

interface Uses {
  /**
   * Gives one connection to a piece of work that begins and ends a transaction on it.
   * @param shouldYield asked when the work has paused: true has its next statement throw {@link Yielded}
   */
  onConnection(work: (tx: Rows) => Promise<void>, shouldYield: () => boolean): Promise<void>;
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

/** Weight of the jobs that share a transaction. */
const MOST_PER_GROUP = 256;
/** A job that weighs more than this is alone in its transaction, so that no other job waits for its commit. */
const MOST_IN_COMPANY = 16;
const MOST_ATTEMPTS = 5;
/** After so many times a heavy job yields no more, even if others wait. */
const MOST_YIELDS = 3;

/** Ends a transaction of a heavy job in the middle, because others wait. It is run again after them. */
export class Yielded extends Error {
  override readonly name = 'Yielded';
}

/**
 * Durable writes, gathered: whatever arrives during one turn of the event loop, or while a commit is under way, shares
 * the next transaction and its one sync to disk. Each job runs behind a savepoint, so one that fails leaves no trace
 * and harms no other; a job's promise settles only after the commit returned.
 *
 * A job says how much it changes. Heavy jobs have transactions of their own, which alternate with those of the others. Where
 * the store has one writer, a heavy job yields in the middle to what arrives meanwhile, a few times, and is run again.
 */
export class GroupWriter {
  readonly #uses: Uses;
  #waiting: Job[] = [];
  #heavyWaiting: Job[] = [];
  #heavyIsNext = false;
  #heavyRunning = 0;
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
   * @param weight about how many rows it changes
   * @returns what the work returned, after it is durable
   * @throws what the work threw; ServiceError `StoreUnavailable` when the store failed, and then the outcome is unknown
   */
  write<T>(work: (tx: Rows) => Promise<T>, turn?: string, weight = 1): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const job = { turn, weight, yields: 0, run: work, resolve: resolve as (value: unknown) => void, reject };
      (isHeavy(job) ? this.#heavyWaiting : this.#waiting).push(job);
      this.#schedule();
    });
  }

  /** Writes that wait for their transaction to begin. */
  get waiting(): number {
    return this.#waiting.length + this.#heavyWaiting.length;
  }

  /** Resolves when every write asked for so far has settled. */
  settled(): Promise<void> {
    if (this.#running === 0 && this.waiting === 0) return Promise.resolve();
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
      const heavy = Number(group.some(isHeavy));
      for (const turn of turns) this.#turns.add(turn);
      this.#running += 1;
      this.#heavyRunning += heavy;
      if (this.waiting > 0) this.#schedule();
      await this.#commit(group);
      this.#running -= 1;
      this.#heavyRunning -= heavy;
      for (const turn of turns) this.#turns.delete(turn);
      if (this.waiting > 0) this.#schedule();
    }
    if (this.waiting === 0 && this.#running === 0) for (const wake of this.#idle.splice(0)) wake();
  }

  /** One heavy job, or several others. @returns none where every job that waits has its turn in another transaction */
  #takeGroup(): Job[] {
    let group = this.#heavyIsNext ? this.#takeHeavy() : this.#takeLight();
    if (group.length === 0) group = this.#heavyIsNext ? this.#takeLight() : this.#takeHeavy();
    this.#heavyIsNext = !group.some(isHeavy);
    return group;
  }

  /** Where several transactions run at a time, half of them are kept for the other jobs. */
  #takeHeavy(): Job[] {
    if (this.#heavyRunning >= Math.ceil(this.#uses.lanes / 2)) return [];
    const index = this.#heavyWaiting.findIndex((job) => this.#mayBegin(job));
    return index < 0 ? [] : this.#heavyWaiting.splice(index, 1);
  }

  #takeLight(): Job[] {
    const group: Job[] = [];
    let weight = 0;
    this.#waiting = this.#waiting.filter((job) => {
      const fits = weight + job.weight <= MOST_PER_GROUP && this.#mayBegin(job);
      if (!fits) return true;
      group.push(job);
      weight += job.weight;
      return false;
    });
    return group;
  }

  /** A job whose turn is in another transaction waits for its end, and holds up nobody else. */
  #mayBegin({ turn }: Job): boolean {
    return turn === undefined || !this.#turns.has(turn);
  }

  async #commit(group: Job[]): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const outcomes: Outcome[] = [];
      try {
        await this.#uses.onConnection(
          (tx) => this.#transaction(tx, group, outcomes),
          () => this.#waiting.length > 0 && group.every((job) => isHeavy(job) && job.yields < MOST_YIELDS),
        );
      } catch (cause) {
        if (cause instanceof Yielded) {
          for (const job of group) job.yields += 1;
          this.#heavyWaiting.unshift(...group);
          return;
        }
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
          if (cause instanceof Yielded || this.#uses.isStoreFailure(cause)) throw cause;
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

const isHeavy = ({ weight }: Pick<Job, 'weight'>): boolean => weight > MOST_IN_COMPANY;

const turnsOf = (group: readonly Job[]): string[] => [...new Set(group.flatMap(({ turn }) => turn ?? []))];

const execute = (tx: Rows, text: string): Promise<number> => tx.run(statement(text));
