import type { Clock } from '../lib/clock.ts';
import type { Events } from '../monitoring/events.ts';
import type { Chore } from './chore.ts';
import { HeldLease, type Sleep } from './held-lease.ts';
import type { LeaseStore } from './lease-store.ts';

interface Uses {
  chores: readonly Chore[];
  /** Undefined where this process alone has the store: then it is the one node. */
  leases: LeaseStore | undefined;
  clock: Clock;
  sleep: Sleep;
  events: Pick<Events, 'notice' | 'choresStarted' | 'choreRan' | 'choreRanElsewhere'>;
  /** From 0 to 1. */
  random?: () => number;
}

interface Options {
  /** How long {@link ChoreDriver.stop} waits for runs that do not end. */
  stopMs: number;
}

/** Share of a waiting time that chance decides, so that nodes do not run a chore together. */
const JITTER = 0.2;
/** After a failure a chore is tried again as soon as this, whatever its period. */
const RETRY_MS = 60_000;
/** How long after the lease or the period of another node ends a node asks, at most. */
const LATE_MS = 1000;

/**
 * Runs chores, each by a timer of its own: a run begins when the one before has ended and the period has passed. So no chore
 * waits for another one, and none is run twice at a time by this process.
 *
 * A chore of one node needs its lease. The lease moves on when its holder is gone. A holder that was cut off or held up
 * tells its run to end before others can begin; a run that ignores that is the reason why chores have to be idempotent.
 */
export class ChoreDriver {
  readonly #uses: Uses;
  readonly #options: Options;
  readonly #stopping = new AbortController();
  readonly #running = new Set<string>();
  #loops: readonly Promise<void>[] = [];

  constructor(uses: Uses, options: Options) {
    this.#uses = uses;
    this.#options = options;
  }

  start(): void {
    const { chores, events } = this.#uses;
    events.choresStarted(chores.map(({ name }) => name));
    this.#loops = chores.map((chore) => this.#loop(chore));
  }

  /** Tells the runs to end, and returns when they have, or when it has waited long enough. */
  async stop(): Promise<void> {
    const { sleep, events } = this.#uses;
    this.#stopping.abort(new Error('the server stops'));
    const waiting = new AbortController();
    const patience = sleep(this.#options.stopMs, undefined, { signal: waiting.signal }).catch(() => undefined);
    await Promise.race([Promise.all(this.#loops), patience]);
    waiting.abort();
    if (this.#running.size > 0)
      events.notice('warn', 'stopping while chores still run', { chores: [...this.#running].join(', ') });
  }

  async #loop(chore: Chore): Promise<void> {
    let waitMs = this.#jittered(chore.firstMs);
    while (await this.#pause(waitMs)) waitMs = await this.#step(chore);
  }

  /** Runs a chore, or finds that another node does. @returns the time to wait until the next step, in milliseconds */
  async #step(chore: Chore): Promise<number> {
    const leases = chore.where === 'oneNode' ? this.#uses.leases : undefined;
    if (!leases) return this.#jittered(this.#restMs(chore, await this.#run(chore)));
    const { clock, events, random = Math.random } = this.#uses;
    const begun = { now: clock.now(), elapsed: clock.elapsed() };
    try {
      const claim = await leases.take(chore.name, chore.periodMs);
      if (claim.isHeld) return await this.#runWithLease(chore, leases, begun);
      if (claim.succeededAtMs !== undefined) events.choreRanElsewhere(chore.name, claim.succeededAtMs);
      return claim.waitMs + LATE_MS * random();
    } catch (cause) {
      events.choreRan(chore.name, { cause });
      return this.#jittered(this.#restMs(chore, 'failed'));
    }
  }

  async #runWithLease(chore: Chore, leases: LeaseStore, begun: { now: number; elapsed: number }): Promise<number> {
    const { clock, sleep } = this.#uses;
    const renew = () => leases.renew(chore.name);
    const lease = new HeldLease({ renew, clock, sleep }, { leaseMs: leases.leaseMs, begun });
    const outcome = await this.#run(chore, lease.lost);
    lease.end();
    const dueInMs = this.#jittered(this.#restMs(chore, outcome));
    // A lease that cannot be given back now ends by itself.
    await leases.giveBack(chore.name, { dueInMs, succeeded: outcome === 'done' }).catch(() => undefined);
    return dueInMs;
  }

  async #run(chore: Chore, lost?: AbortSignal): Promise<'done' | 'failed' | 'stopped'> {
    const { clock, events } = this.#uses;
    const { signal: stopping } = this.#stopping;
    this.#running.add(chore.name);
    try {
      await chore.run(lost ? AbortSignal.any([stopping, lost]) : stopping);
      lost?.throwIfAborted();
    } catch (cause) {
      if (stopping.aborted) return 'stopped';
      events.choreRan(chore.name, { cause: lost?.aborted ? lost.reason : cause });
      return 'failed';
    } finally {
      this.#running.delete(chore.name);
    }
    if (stopping.aborted) return 'stopped'; // it may have ended in the middle
    events.choreRan(chore.name, { succeededAtMs: clock.now() });
    return 'done';
  }

  #restMs({ periodMs }: Chore, outcome: 'done' | 'failed' | 'stopped'): number {
    if (outcome === 'stopped') return 0;
    return outcome === 'done' ? periodMs : Math.min(periodMs, RETRY_MS);
  }

  #jittered(ms: number): number {
    const { random = Math.random } = this.#uses;
    return ms * (1 - JITTER * random());
  }

  /** @returns false when the server stops */
  async #pause(ms: number): Promise<boolean> {
    const { signal } = this.#stopping;
    if (signal.aborted) return false;
    return this.#uses.sleep(ms, undefined, { signal, ref: false }).then(
      () => true,
      () => false,
    );
  }
}
