import type { Database } from '../storage/database.ts';
import { type Rows, sql } from '../storage/sql.ts';

/** Whether a node may run a chore now; if not, when to ask again, and when the last run of any node succeeded. */
export type Claim =
  | { readonly isHeld: true }
  | { readonly isHeld: false; readonly waitMs: number; readonly succeededAtMs: number | undefined };

interface LeaseState {
  readonly held_ms: number | null;
  readonly due_ms: number;
  readonly succeeded_at: number | null;
}

/** Long enough for a database that fails over, short enough that nobody misses the chores of a node that was killed. */
export const CHORE_LEASE_MS = 60_000;

interface Options {
  /** Names this process among the nodes. */
  holder: string;
  /** How long a lease holds without being renewed. */
  leaseMs: number;
}

/**
 * Leases of chores: one row a chore says who runs it, until when, and when it is due again. All times are those of the
 * store's clock, so the clocks of nodes decide nothing.
 */
export class LeaseStore {
  readonly #db: Database;
  readonly #options: Options;

  constructor(db: Database, options: Options) {
    this.#db = db;
    this.#options = options;
  }

  get leaseMs(): number {
    return this.#options.leaseMs;
  }

  /** Takes the lease of a chore that is due and that no node runs. Only reads where that is not so. */
  async take(name: string, periodMs: number): Promise<Claim> {
    const { rows, writer, clock } = this.#db;
    const { holder, leaseMs } = this.#options;
    const before = await this.#look(rows, name);
    if (before && waitMs(before, periodMs) > 0) return refused(before, periodMs);
    const taken = await writer.write(async (tx) => {
      await tx.run(sql`
        insert into chore_leases (name, holder, held_until, due_at, succeeded_at) values (${name}, null, 0, 0, null)
        on conflict do nothing`);
      return tx.run(sql`
        update chore_leases set holder = ${holder}, held_until = ${clock} + ${leaseMs}
        where name = ${name} and (holder is null or held_until <= ${clock})
          and (due_at <= ${clock} or due_at > ${clock} + ${periodMs})`);
    }, turnOf(name));
    if (taken === 1) return { isHeld: true };
    const after = await this.#look(rows, name);
    return after ? refused(after, periodMs) : { isHeld: false, waitMs: 0, succeededAtMs: undefined };
  }

  /** Extends a lease, counted from this instant. @returns false when another node has taken it */
  async renew(name: string): Promise<boolean> {
    const { writer, clock } = this.#db;
    const { holder, leaseMs } = this.#options;
    const written = await writer.write(
      (tx) =>
        tx.run(sql`
          update chore_leases set held_until = ${clock} + ${leaseMs} where name = ${name} and holder = ${holder}`),
      turnOf(name),
    );
    return written === 1;
  }

  /** Ends a lease, unless another node has it. @param dueInMs time to the next run */
  async giveBack(name: string, { dueInMs, succeeded }: { dueInMs: number; succeeded: boolean }): Promise<void> {
    const { writer, clock } = this.#db;
    const succeededAt = succeeded ? clock : sql`succeeded_at`;
    await writer.write(
      (tx) =>
        tx.run(sql`
          update chore_leases
          set holder = null, held_until = 0, due_at = ${clock} + ${Math.round(dueInMs)}, succeeded_at = ${succeededAt}
          where name = ${name} and holder = ${this.#options.holder}`),
      turnOf(name),
    );
  }

  #look(rows: Rows, name: string): Promise<LeaseState | undefined> {
    const { clock } = this.#db;
    return rows.first<LeaseState>(sql`
      select case when holder is not null then held_until - ${clock} end as held_ms, due_at - ${clock} as due_ms,
        succeeded_at
      from chore_leases where name = ${name}`);
  }
}

/** The row of a chore is changed by one transaction at a time. */
const turnOf = (name: string): string => `chore ${name}`;

/** A chore that is due later than its period allows is due now: the store's clock was set back. */
function waitMs({ held_ms, due_ms }: LeaseState, periodMs: number): number {
  return Math.max(held_ms ?? 0, due_ms > periodMs ? 0 : due_ms, 0);
}

const refused = (state: LeaseState, periodMs: number): Claim => ({
  isHeld: false,
  waitMs: waitMs(state, periodMs),
  succeededAtMs: state.succeeded_at ?? undefined,
});
