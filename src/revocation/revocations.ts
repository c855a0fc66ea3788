import { randomInt } from 'node:crypto';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { TimeSlice } from '../lib/time-slice.ts';
import type { Events } from '../monitoring/events.ts';
import { StoreError } from '../storage/database.ts';
import type { Rows } from '../storage/sql.ts';
import type { GroupWriter } from '../storage/writer.ts';
import {
  type Bound,
  type LoggedEvent,
  REASON_OF,
  type RevocableToken,
  type RevocationEvent,
  subjectOf,
  type Verdict,
} from './event.ts';
import { RevocationState } from './revocation-state.ts';
import type { Head, RevocationStore } from './revocation-store.ts';

interface Uses {
  /** Replaced as a whole, with the writer, by the randomised model in the tests. */
  store: Pick<RevocationStore, keyof RevocationStore>;
  writer: Pick<GroupWriter, 'write'>;
  clock: Clock;
  events: Pick<Events, 'notice' | 'tokensEnded'>;
  sleep: (ms: number, value?: undefined, options?: { signal?: AbortSignal }) => Promise<void>;
  /** Checks the log up to a position, from which on it is read into memory. */
  check?: (end: number) => Promise<void>;
}

/** Writes events, within a transaction. @returns the position of the last */
export type Recording = (...events: RevocationEvent[]) => Promise<number>;

/** Who keeps things open for tokens, and ends them when an event ends the token. */
export interface RevocationListener {
  /**
   * Called with each event, in order, in the same step in which this node applies it. When it returns, nothing may be sent
   * any more to those whose token the event ended. Must not throw, and waits for nobody: a heartbeat may be under way.
   */
  applied(event: LoggedEvent): void;
  /** Settles when those who were ended so far have been told; undefined when they have. */
  told(): Promise<void> | undefined;
}

/** Work within a transaction. */
type Work<T> = (tx: Rows, record: Recording) => Promise<T>;

interface Options {
  nodeId: string;
  /** True when this process alone changes the store: then nothing can be stale and nobody has to be waited for. */
  exclusive: boolean;
  /** Longest age of the last heartbeat with which tokens are still accepted; T of the security page. */
  leaseMs: number;
  /** Longest life of a token plus a margin. */
  windowMs: number;
  mostBytes?: number;
  /** Silence of another node after which it is forgotten. */
  forgetAfterMs?: number;
}

const HEARTBEAT_MS = 250;
const PAGE = 1000;
/** How much faster one node's clock may run than another's: rates, not settings. */
const DRIFT = 1.01;
const FORGET_AFTER_MS = 60_000;
const MOST_BYTES = 256 * 1024 * 1024;
const FIRST_POSITIONS = 2 ** 45;
/** Farther than any position handed out before a loss can be from the head that is left. */
export const RECOVERY_JUMP = 2 ** 40;

/**
 * Ends tokens and tells which are ended, by one logical clock (security-and-reliability, section 3). A token is refused
 * if and only if an event that concerns it was committed after it was issued, on every node, from the moment the event
 * is acknowledged. No wall clock decides.
 */
export class Revocations {
  readonly #uses: Uses;
  readonly #options: Options;
  #state: RevocationState;
  /** Start of the last heartbeat that completed, by both clocks: a suspended machine may stop one of them. */
  #lastHeartbeat: { elapsed: number; now: number } | undefined;
  #heartbeatUnderWay: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #config = 0;
  #configListeners: (() => Promise<void>)[] = [];
  readonly #listeners: RevocationListener[] = [];
  /** The head up to which this node has applied everything, with all that depends on it: what it tells the others. */
  #appliedHead: Head = { seq: 0, config: 0 };
  /** Since when it has applied the log so far, by its own clock. */
  #appliedHeadAt = Number.NEGATIVE_INFINITY;
  /** The last heartbeat of each other node, and since when it is the last one, by this node's own clock. */
  #lastSeen: ReadonlyMap<string, { beat: number; since: number }> = new Map();
  #lookedForNodesAt = Number.NEGATIVE_INFINITY;
  /** Set once the store is seen to have lost committed state; only {@link recover} ends it. */
  #rolledBack: string | undefined;

  constructor(uses: Uses, options: Options) {
    this.#uses = uses;
    this.#options = options;
    this.#state = this.#emptyState(0);
  }

  /** Loads the log, joins the nodes and begins its heartbeats. Nothing may be accepted before this has returned. */
  async start(): Promise<void> {
    const { store, writer, check } = this.#uses;
    await writer.write((tx) => store.ensureHead(tx, randomInt(1, FIRST_POSITIONS)));
    this.#state = this.#emptyState(await store.startOfWindow(this.#options.windowMs));
    await check?.(this.#state.applied);
    await this.#loadBounds(); // before the log, which tells what has happened to them since
    await this.heartbeat();
    if (this.#options.exclusive) return;
    this.#timer = setInterval(() => void this.heartbeat().catch(() => undefined), HEARTBEAT_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#heartbeatUnderWay?.catch(() => undefined);
    if (!this.#options.exclusive) await this.#uses.store.forgetNode(this.#options.nodeId).catch(() => undefined);
  }

  /** Position of the last event, as a transaction sees it. */
  async positionIn(tx: Rows): Promise<number> {
    return (await this.#uses.store.head(tx)).seq;
  }

  /** Calls back when another node, or this one, has made a {@link change}. A node follows it once all listeners are done. */
  onConfigChanged(listener: () => Promise<void>): void {
    this.#configListeners.push(listener);
  }

  /**
   * Announces the events after this call to a listener. A node says that it has applied an event, and a call that ended
   * tokens returns, only after every listener has been told of it.
   */
  announceTo(listener: RevocationListener): void {
    this.#listeners.push(listener);
  }

  /** Position of the last event this node knows. */
  get position(): number {
    return this.#state.applied;
  }

  /** Identities and assignments whose tokens were ended, and bounds, in memory. */
  get size(): number {
    return this.#state.size;
  }

  /** Age of the lease in milliseconds; 0 where nothing can be stale. */
  get leaseAgeMs(): number {
    if (this.#options.exclusive) return 0;
    if (!this.#lastHeartbeat) return Number.POSITIVE_INFINITY;
    const { clock } = this.#uses;
    return Math.max(clock.elapsed() - this.#lastHeartbeat.elapsed, clock.now() - this.#lastHeartbeat.now);
  }

  /** Why this node accepts no tokens now, or undefined when it does. */
  get problem(): string | undefined {
    if (this.#rolledBack) return this.#rolledBack;
    return this.leaseAgeMs > this.#options.leaseMs
      ? 'the last heartbeat with the store is older than the lease'
      : undefined;
  }

  /**
   * Does something that ends tokens, and returns when no node accepts them any more: when every other node has applied
   * the event, or has been silent for longer than the lease. Work that records nothing may find that an earlier call has
   * done it and still waits; so it returns when that holds for every event before it.
   * @param work does it in one transaction; `record` writes events, one at least, and gives the position of the last.
   * Recording comes first, so that all such transactions take their locks in the same order
   * @param turn and weight see {@link GroupWriter.write}
   */
  end<T>(work: Work<T>, turn?: string, weight?: number): Promise<T> {
    return this.#settle(work, { turn, weight, changes: false });
  }

  /**
   * As {@link end}, for work that changes what every node keeps in memory: resources, access keys, signing keys, data keys,
   * trusts. Every node reads them again, and this returns when every other node has, or has been silent for longer than the
   * lease. The first thing it does is to take the lock that makes such changes wait for each other.
   */
  change<T>(work: Work<T>, turn?: string): Promise<T> {
    return this.#settle(work, { turn, weight: undefined, changes: true });
  }

  /** As {@link end}, for an event that changes nothing but the log. */
  async record(event: RevocationEvent): Promise<number> {
    return this.end((_, record) => record(event));
  }

  /**
   * Returns when no node accepts any more what the events so far have ended: for a call that finds its work done by an
   * earlier one, which may not have returned yet.
   */
  async settled(): Promise<void> {
    await this.#listenersDone();
    if (this.#options.exclusive) return;
    const { seq } = await this.#uses.store.head();
    await this.#waitForNodes({ seq, config: 0 }, this.#committedBy(seq));
  }

  /**
   * Insists that nothing has ended a token.
   * @throws ServiceError `TokenRefused` with the event as reason; `NotFresh` when this node cannot tell
   */
  async check(token: RevocableToken): Promise<void> {
    await this.requireFresh();
    if (token.position > this.#state.applied) {
      await this.heartbeat().catch(notFresh); // may be one that had read the head before the token was issued,
      if (token.position > this.#state.applied) await this.heartbeat().catch(notFresh); // the next one cannot
      if (token.position > this.#state.applied) {
        this.#reportRollback(
          `a token was issued at position ${token.position}, the store is at position ${this.#state.applied}`,
        );
        throw new ServiceError('NotFresh', { reason: 'token.ahead' });
      }
    }
    const verdict =
      this.#state.verdict(token) ??
      (this.#state.needsRows(token) ? await this.#verdictFromRows(token).catch(notFresh) : undefined);
    if (verdict) throw await this.#refusal(verdict, token);
  }

  /**
   * Insists that what this node knows is current, by asking the store where the lease has run out.
   * @throws ServiceError `NotFresh`
   */
  async requireFresh(): Promise<void> {
    if (this.problem === undefined) return;
    if (!this.#rolledBack) await this.heartbeat().catch(notFresh); // may be one that began too long ago,
    if (this.problem !== undefined && !this.#rolledBack) await this.heartbeat().catch(notFresh); // the next one did not
    if (this.problem !== undefined)
      throw new ServiceError('NotFresh', { reason: 'lease.expired', detail: this.problem });
  }

  /**
   * Confirms with the store that this node is current: reads where the head is, applies what is missing. The lease counts
   * from the start of this call. Several callers share one.
   */
  heartbeat(): Promise<void> {
    this.#heartbeatUnderWay ??= this.#sendHeartbeat().finally(() => {
      this.#heartbeatUnderWay = undefined;
    });
    return this.#heartbeatUnderWay;
  }

  /**
   * Learns all that was committed when this was called: events, and changes of resources and keys.
   * @throws ServiceError `NotFresh`
   */
  async catchUp(): Promise<void> {
    await this.#heartbeatUnderWay?.catch(() => undefined); // may have read the head before,
    await this.heartbeat().catch(notFresh); // the next one cannot
  }

  /**
   * Accepts that the store has lost committed state, after a restore or a failover: ends every token issued so far and
   * moves the log beyond any position that may have been given out.
   */
  async recover(): Promise<void> {
    const { store } = this.#uses;
    await this.end(async (tx, record) => {
      await store.jump(tx, RECOVERY_JUMP);
      await record({ kind: 'all' });
    });
  }

  async #settle<T>(
    work: Work<T>,
    { turn, weight, changes }: { turn: string | undefined; weight: number | undefined; changes: boolean },
  ): Promise<T> {
    const { store, writer, clock, events } = this.#uses;
    const { exclusive } = this.#options;
    const { result, logged, head } = await writer.write(
      async (tx) => {
        const changed = changes ? await store.configChanged(tx) : undefined;
        const logged: LoggedEvent[] = [];
        const result = await work(tx, async (...events) => {
          logged.push(...(await store.appendAll(tx, events)));
          return logged.at(-1)?.seq ?? 0;
        });
        // Read after the work, so it is no older than what the work found done.
        const found = changes || logged.length > 0 || exclusive ? undefined : await store.head(tx);
        return { result, logged, head: changed ?? found };
      },
      turn,
      weight,
    );
    const committedAt = clock.elapsed();
    await this.#applyOwn(logged);
    await this.#listenersDone();
    const slice = new TimeSlice('revocations');
    for (const event of logged) {
      await slice.pause();
      events.tokensEnded(event.kind, event.seq, 'resourceId' in event ? event.resourceId : undefined, subjectOf(event));
    }
    const seq = logged.at(-1)?.seq ?? head?.seq ?? 0;
    const config = changes ? (head?.config ?? 0) : 0;
    const isNew = changes || logged.length > 0;
    await this.#waitForNodes({ seq, config }, isNew ? committedAt : this.#committedBy(seq));
    return result;
  }

  /** When everything up to a position was committed, or later, by this node's clock. */
  #committedBy(seq: number): number {
    return this.#appliedHead.seq >= seq && !this.#rolledBack ? this.#appliedHeadAt : this.#uses.clock.elapsed();
  }

  /** Bounds are about instants, so one may matter long after its event, and the rows have them all. */
  async #loadBounds(): Promise<void> {
    const { store, clock } = this.#uses;
    const since = this.#state.boundsFloorMs;
    for (const resourceId of await store.resourcesBoundAfter(since)) {
      let last: Bound | undefined;
      do {
        const page = await store.boundsAfter(resourceId, since, last, PAGE);
        const areKept = page.every((bound) => this.#state.recall(bound, clock.now()));
        last = areKept && page.length === PAGE ? page.at(-1) : undefined;
      } while (last);
    }
  }

  #verdictFromRows(token: RevocableToken): Promise<Verdict | undefined> {
    return this.#uses.store.verdictFromRows(token, this.#state.applied);
  }

  async #sendHeartbeat(): Promise<void> {
    const { store, clock } = this.#uses;
    const { exclusive, nodeId } = this.#options;
    const started = { elapsed: clock.elapsed(), now: clock.now() };
    const known = this.#state.applied;
    const applied = this.#appliedHead;
    if (exclusive) {
      await this.#applyUpTo(await store.head(), known);
      return;
    }
    const head = await this.#withinLease(store.heartbeat(nodeId, applied));
    await this.#applyUpTo(head, known);
    // The head was read before the others could see this node. What was committed in between nobody waited for this node
    // to apply, so only a heartbeat that begins now proves anything.
    if (head.joined) return this.#sendHeartbeat();
    this.#lastHeartbeat = started;
    // Tell the node that waits for it right away.
    if (isAhead(this.#appliedHead, applied))
      await this.#withinLease(store.heartbeat(nodeId, this.#appliedHead)).catch(() => undefined);
    await this.#forgetSilentNodes().catch(() => undefined);
  }

  /** @param known what this node had applied before the head was read; since then events of its own may have come */
  async #applyUpTo({ seq, config }: Head, known: number): Promise<void> {
    if (seq < known) {
      this.#reportRollback(`the store is at position ${seq}, this node has seen position ${known}`);
      return;
    }
    while (this.#state.applied < seq) {
      const limit = Math.min(PAGE, seq - this.#state.applied);
      const events = await this.#withinLease(this.#uses.store.after(this.#state.applied, limit));
      if (events.length === 0 && this.#state.applied < seq)
        throw new StoreError(
          `the store is damaged: revocation log: nothing after ${this.#state.applied}, the head is ${seq}`,
        );
      for (const event of events) this.#apply(event);
    }
    if (config !== this.#config) {
      for (const listener of this.#configListeners) await this.#withinLease(listener());
      this.#config = config;
    }
    if (this.#appliedHead.seq !== seq) this.#appliedHeadAt = this.#uses.clock.elapsed();
    this.#appliedHead = { seq, config };
  }

  #apply(event: LoggedEvent): void {
    if (event.seq <= this.#state.applied) return; // one of our own, applied while the log was being read
    const { applied } = this.#state;
    this.#state.apply(event, this.#uses.clock.now());
    if (event.seq > applied + 1) this.#rolledBack = undefined; // the operator has recovered the store
    for (const listener of this.#listeners) listener.applied(event);
  }

  /** Waits until the listeners have told everybody who was ended: also for a call whose work an earlier one has done. */
  async #listenersDone(): Promise<void> {
    for (const listener of this.#listeners) await listener.told();
  }

  /** Events of our own need no reading, unless another node's came in between. */
  async #applyOwn(logged: LoggedEvent[]): Promise<void> {
    for (const event of logged) {
      if (event.seq === this.#state.applied + 1) this.#apply(event);
    }
    const last = logged.at(-1)?.seq ?? 0;
    while (this.#state.applied < last) {
      await this.heartbeat();
      if (this.#rolledBack) return;
    }
  }

  /**
   * Forgets nodes that this one has not heard of for much longer than a lease: they accept nothing any more, and joining
   * again takes them a heartbeat that cannot miss anything. The store's clock has no say, for it may jump.
   */
  async #forgetSilentNodes(): Promise<void> {
    const { store, clock } = this.#uses;
    const { nodeId, leaseMs, forgetAfterMs = Math.max(FORGET_AFTER_MS, 2 * leaseMs) } = this.#options;
    if (clock.elapsed() - this.#lookedForNodesAt < forgetAfterMs / 4) return;
    this.#lookedForNodesAt = clock.elapsed();
    const nodes = await this.#withinLease(store.nodes());
    const now = clock.elapsed();
    const seen = nodes.map(({ id, beat }) => {
      const before = this.#lastSeen.get(id);
      return [id, { beat, since: before?.beat === beat ? before.since : now }] as const;
    });
    this.#lastSeen = new Map(seen);
    for (const [id, { beat, since }] of seen) {
      if (id !== nodeId && now - since > forgetAfterMs) await this.#withinLease(store.forgetNode(id, beat));
    }
  }

  /**
   * Waits for the store, but not for ever: a connection that was cut silently would hold up every heartbeat after this
   * one.
   */
  async #withinLease<T>(answer: Promise<T>): Promise<T> {
    const waiting = new AbortController();
    const tooLong = this.#uses.sleep(this.#options.leaseMs, undefined, { signal: waiting.signal }).then(() => {
      throw new Error('the store did not answer within the lease');
    });
    tooLong.catch(() => undefined);
    return Promise.race([answer, tooLong]).finally(() => waiting.abort());
  }

  /** @param committedAt by this node's clock, or later */
  async #waitForNodes(head: Head, committedAt: number): Promise<void> {
    const { store, clock, sleep } = this.#uses;
    const { exclusive, leaseMs, nodeId } = this.#options;
    if (exclusive) return;
    while (this.#state.applied < head.seq && !this.#rolledBack) await this.heartbeat(); // this node is one of them
    for (let pauseMs = 2; clock.elapsed() - committedAt < leaseMs * DRIFT; pauseMs = Math.min(pauseMs * 2, 50)) {
      const behind = await this.#withinLease(store.nodesBehind(head, nodeId)).catch(() => Number.POSITIVE_INFINITY);
      if (behind === 0) return;
      await sleep(Math.min(pauseMs, Math.max(1, committedAt + leaseMs * DRIFT - clock.elapsed())));
    }
  }

  async #refusal(verdict: Verdict, token: RevocableToken): Promise<ServiceError> {
    return new ServiceError('TokenRefused', {
      reason: REASON_OF[verdict.kind],
      detail: await this.#detail(verdict, token),
    });
  }

  async #detail({ seq, validFromMs }: Verdict, { position, issuedAtSeconds }: RevocableToken): Promise<string> {
    if (validFromMs !== undefined)
      return `valid from ${instant(validFromMs)} on, token issued ${instant(issuedAtSeconds * 1000)}`;
    if (seq === undefined) return '';
    const at = await this.#uses.store.recordedAt(seq).catch(() => undefined);
    return `event ${seq}${at ? ` at ${instant(at)}` : ''}, token issued at ${position}`;
  }

  #reportRollback(what: string): void {
    if (this.#rolledBack) return;
    this.#rolledBack = `the store has lost committed state (${what}): no token is accepted until the operator recovers it`;
    this.#uses.events.notice('error', this.#rolledBack);
  }

  #emptyState(applied: number): RevocationState {
    const { windowMs, mostBytes = MOST_BYTES } = this.#options;
    return new RevocationState(applied, this.#uses.clock.now(), windowMs, mostBytes);
  }
}

const isAhead = (one: Head, other: Head): boolean => one.seq > other.seq || one.config > other.config;
const instant = (ms: number): string => new Date(ms).toISOString();

function notFresh(cause: unknown): never {
  throw new ServiceError('NotFresh', { reason: 'lease.expired', cause });
}
