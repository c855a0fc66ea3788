import type { IdentityId, KeySlot, ResourceId, TrustId } from '../../../src/callers.ts';
import type { Bound, LoggedEvent, RevocableToken, RevocationEvent, Verdict } from '../../../src/revocation/event.ts';
import type { Head, RevocationStore } from '../../../src/revocation/revocation-store.ts';
import type { Rows } from '../../../src/storage/sql.ts';
import type { GroupWriter } from '../../../src/storage/writer.ts';
import type { Process, World } from './simulation.ts';

interface IdentityRow {
  resourceId: ResourceId;
  revokedSeq: number;
  validFromMs: number | undefined;
}

/** What has been committed. */
export interface Content {
  seq: number;
  config: number;
  log: { event: LoggedEvent; at: number }[];
  nodes: Map<string, { followed: Head; beat: number }>;
  identities: Map<IdentityId, IdentityRow>;
  resources: Map<ResourceId, { deletedSeq: number | undefined }>;
  keys: Map<string, number>;
  trusts: Map<TrustId, number>;
  /** By resource and assignment. */
  assignments: Map<string, number>;
  signingKeys: Map<string, number>;
  /** What every node keeps in memory, beside the log. */
  grants: Set<string>;
}

export const keyOf = (resourceId: ResourceId, slot: KeySlot): string => `${resourceId} ${slot}`;

const LOCK_TIMEOUT_MS = 5000;
const IDLE_IN_TRANSACTION_MS = 5000;

/** A database server: one lock on the counter's row, commits one after another. */
export class Primary {
  content: Content;
  /** Another server has taken over. Reads are still answered; no commit completes, for want of a standby. */
  fenced = false;
  /** Nodes whose rows are locked by a heartbeat. */
  readonly beating = new Set<string>();
  #holder: Transaction | undefined;
  readonly #waiting: { transaction: Transaction; granted: () => void }[] = [];
  #clockOffset = 0;
  readonly #world: World;
  /** Told of every event at the instant of its commit. */
  readonly #committed: (event: LoggedEvent) => void;

  constructor(world: World, content: Content, committed: (event: LoggedEvent) => void) {
    this.#world = world;
    this.content = content;
    this.#committed = committed;
  }

  now(): number {
    return Math.floor(1_767_225_600_000 + this.#world.now + this.#clockOffset);
  }

  jump(ms: number): void {
    this.#clockOffset += ms;
  }

  /** A server that takes over with everything committed so far. */
  successor(): Primary {
    this.fenced = true;
    const next = new Primary(this.#world, structuredClone(this.content), this.#committed);
    next.#clockOffset = this.#clockOffset;
    return next;
  }

  lock(transaction: Transaction, granted: () => void, failed: (cause: Error) => void): void {
    if (transaction.ended || this.#holder === transaction) {
      if (transaction.ended) failed(new Error('the transaction is over'));
      else granted();
      return;
    }
    const entry = { transaction, granted };
    this.#waiting.push(entry);
    this.#world.after(LOCK_TIMEOUT_MS, () => {
      const index = this.#waiting.indexOf(entry);
      if (index < 0) return;
      this.#waiting.splice(index, 1);
      failed(new Error('lock timeout'));
    });
    this.#grantNext();
  }

  end(transaction: Transaction): void {
    transaction.ended = true;
    if (this.#holder === transaction) this.#holder = undefined;
    this.#grantNext();
  }

  commit(transaction: Transaction, done: () => void, failed: (cause: Error) => void): void {
    if (transaction.ended) failed(new Error('the transaction was ended: idle for too long'));
    const writes = transaction.writes.length + transaction.logged.length > 0;
    if (transaction.ended || (this.fenced && writes)) return; // waits for a standby that will never answer
    for (const write of transaction.writes) write(this.content);
    for (const event of transaction.logged) {
      if (!transaction.gapped) this.content.seq = event.seq;
      this.content.log.push({ event, at: this.now() });
      this.#committed(event);
    }
    this.content.log.sort((one, other) => one.event.seq - other.event.seq);
    this.end(transaction);
    done();
  }

  #grantNext(): void {
    while (!this.#holder) {
      const next = this.#waiting.shift();
      if (!next) return;
      if (next.transaction.ended) continue;
      this.#holder = next.transaction;
      // A client that stopped or died in the middle does not hold the lock for ever.
      this.#world.after(Math.min(IDLE_IN_TRANSACTION_MS, Math.max(this.#world.calmAt - this.#world.now, 500)), () => {
        if (!next.transaction.ended) this.end(next.transaction);
      });
      next.granted();
    }
  }
}

/** A transaction as the client sees it; its writes take effect at the commit. */
export class Transaction {
  readonly primary: Primary;
  readonly logged: LoggedEvent[] = [];
  readonly writes: ((content: Content) => void)[] = [];
  ended = false;
  gapped = false;

  constructor(primary: Primary) {
    this.primary = primary;
  }
}

const isAfter =
  (ms: number) =>
  ({ validFromMs }: IdentityRow): boolean =>
    validFromMs !== undefined && validFromMs > ms;

const transactionOf = (tx: Rows): Transaction => tx as unknown as Transaction;

/** A node's connection to whichever server it believes in. */
export interface Link {
  readonly process: Process;
  primary: Primary;
}

export function fakeWriter(link: Link): Pick<GroupWriter, 'write'> {
  return {
    async write<T>(work: (tx: Rows) => Promise<T>): Promise<T> {
      const transaction = new Transaction(link.primary);
      const { primary } = transaction;
      try {
        const result = await work(transaction as unknown as Rows);
        await link.process.ask<void>((done, failed) => primary.commit(transaction, done as () => void, failed));
        return result;
      } catch (cause) {
        // When the connection works, the rollback arrives; when it does not, the server's own timeout ends it.
        link.process.ask<void>((done) => done(primary.end(transaction))).catch(() => undefined);
        throw cause;
      }
    },
  };
}

/** Rules of the protocol that a planted fault takes away. */
export interface StoreFaults {
  /** Nobody waits for other nodes. */
  noCommitWait?: boolean;
  /** The heartbeat reads where the head is and writes nothing. */
  readOnlyBeat?: boolean;
  /** Numbers come from a sequence, outside of the transaction; events may become visible out of order. */
  gaps?: boolean;
  /** As `gaps`, and readers take a hole for nothing. */
  unnoticedGaps?: boolean;
  /** A node that has just joined counts the heartbeat that made it known. */
  joinsAtOnce?: boolean;
  /** Nobody waits for other nodes to read again what they keep in memory. */
  noConfigWait?: boolean;
  /** A call that records nothing waits for nothing. */
  repeatsAtOnce?: boolean;
}

type Store = Pick<RevocationStore, keyof RevocationStore>;

/** The store of revocations as one node reaches it over the simulated network. */
export class FakeStore implements Store {
  readonly #link: Link;
  readonly #faults: StoreFaults;

  constructor(link: Link, faults: StoreFaults) {
    this.#link = link;
    this.#faults = faults;
  }

  async ensureHead(): Promise<void> {}

  head(tx?: Rows): Promise<Head> {
    const primary = tx ? transactionOf(tx).primary : this.#link.primary;
    return this.#link.process.ask((done) => {
      const { seq, config } = primary.content;
      done(tx && this.#faults.repeatsAtOnce ? { seq: 0, config: 0 } : { seq, config });
    });
  }

  append(tx: Rows, event: RevocationEvent): Promise<LoggedEvent> {
    const transaction = transactionOf(tx);
    const { primary } = transaction;
    const { gaps, unnoticedGaps } = this.#faults;
    return this.#link.process.ask((done, failed) => {
      const number = (): void => {
        const last = transaction.logged.at(-1)?.seq;
        const logged = { ...event, seq: (last ?? primary.content.seq) + 1 };
        if (gaps || unnoticedGaps) {
          transaction.gapped = true;
          primary.content.seq += 1;
          logged.seq = primary.content.seq;
        }
        transaction.logged.push(logged);
        done(logged);
      };
      if (gaps || unnoticedGaps) number();
      else primary.lock(transaction, number, failed);
    });
  }

  async appendAll(tx: Rows, events: readonly RevocationEvent[]): Promise<LoggedEvent[]> {
    const logged: LoggedEvent[] = [];
    for (const event of events) logged.push(await this.append(tx, event));
    return logged;
  }

  async jump(): Promise<void> {
    throw new Error('not part of the model');
  }

  configChanged(tx: Rows): Promise<Head> {
    const transaction = transactionOf(tx);
    const { primary } = transaction;
    transaction.writes.push((content) => {
      content.config += 1;
    });
    return this.#link.process.ask((done, failed) => {
      const read = (): void => done({ seq: primary.content.seq, config: primary.content.config + 1 });
      primary.lock(transaction, read, failed);
    });
  }

  after(seq: number, limit: number): Promise<LoggedEvent[]> {
    return this.#read((content) => {
      const found = content.log.filter(({ event }) => event.seq > seq).map(({ event }) => event);
      if (this.#faults.unnoticedGaps) {
        const known = new Map(found.map((event) => [event.seq, event]));
        return Array.from(
          { length: Math.max(0, content.seq - seq) },
          (_, index): LoggedEvent =>
            known.get(seq + 1 + index) ?? { kind: 'signingKey', kid: 'nothing', seq: seq + 1 + index },
        ).slice(0, limit);
      }
      return found.slice(0, limit);
    });
  }

  startOfWindow(windowMs: number): Promise<number> {
    return this.#read((content, primary) => {
      const first = content.log.find(({ at }) => at > primary.now() - windowMs);
      return first ? first.event.seq - 1 : content.seq;
    });
  }

  resourcesBoundAfter(ms: number): Promise<ResourceId[]> {
    return this.#read((content) => [
      ...new Set([...content.identities.values()].filter(isAfter(ms)).map(({ resourceId }) => resourceId)),
    ]);
  }

  boundsAfter(resourceId: ResourceId, ms: number): Promise<Bound[]> {
    return this.#read(({ identities }) =>
      [...identities]
        .filter(([, row]) => row.resourceId === resourceId && isAfter(ms)(row))
        .map(([identityId, { validFromMs = 0 }]) => ({ resourceId, identityId, validFromMs })),
    );
  }

  recordedAt(seq: number): Promise<number | undefined> {
    return this.#read((content) => content.log.find(({ event }) => event.seq === seq)?.at);
  }

  verdictFromRows(token: RevocableToken, known: number): Promise<Verdict | undefined> {
    return this.#read((content): Verdict | undefined => {
      if (content.seq < known) throw new Error('the database is behind');
      const resource = content.resources.get(token.resourceId);
      if (!resource || resource.deletedSeq !== undefined) return { kind: 'resource', seq: resource?.deletedSeq };
      const identity = content.identities.get(token.identityId);
      if (!identity) return { kind: 'identityDeleted', seq: undefined };
      const levels: Verdict[] = [
        { kind: 'identity', seq: identity.revokedSeq },
        { kind: 'key', seq: (token.keySlot && content.keys.get(keyOf(token.resourceId, token.keySlot))) ?? 0 },
        { kind: 'trust', seq: (token.trustId && content.trusts.get(token.trustId)) ?? 0 },
        { kind: 'assignment', seq: content.assignments.get(`${token.resourceId} ${token.assignmentId}`) ?? 0 },
        { kind: 'signingKey', seq: content.signingKeys.get(token.kid) ?? 0 },
        { kind: 'all', seq: content.log.findLast(({ event }) => event.kind === 'all')?.event.seq ?? 0 },
      ];
      const newest = levels.reduce((one, other) => ((other.seq ?? 0) > (one.seq ?? 0) ? other : one));
      if (token.position < (newest.seq ?? 0)) return newest;
      return identity.validFromMs !== undefined && token.issuedAtSeconds < identity.validFromMs / 1000
        ? { kind: 'validFrom', seq: undefined }
        : undefined;
    });
  }

  heartbeat(nodeId: string, followed: Head): Promise<Head & { joined: boolean }> {
    const { primary, process } = this.#link;
    const { world } = process;
    const { readOnlyBeat, joinsAtOnce } = this.#faults;
    return process.ask((done) => {
      const { seq, config, nodes } = primary.content;
      const joined = !nodes.has(nodeId) && !joinsAtOnce;
      if (readOnlyBeat) return done({ seq, config, joined: false });
      primary.beating.add(nodeId);
      // The transaction reads the head before its commit makes the row visible.
      const slow = world.random.chance(nodes.has(nodeId) ? 0.1 : 0.5) && !world.isCalm;
      const commitMs = slow ? world.random.between(0, 400) : 0.5;
      world.after(commitMs, () => {
        primary.beating.delete(nodeId);
        if (primary.fenced) return;
        primary.content.nodes.set(nodeId, { followed, beat: primary.now() });
        done({ seq, config, joined });
      });
    });
  }

  async nodesBehind({ seq, config }: Head, nodeId: string): Promise<number> {
    const { noCommitWait, noConfigWait } = this.#faults;
    const isBehind = (followed: Head): boolean => followed.seq < seq || (followed.config < config && !noConfigWait);
    const behind = await this.#read(
      ({ nodes }) => [...nodes].filter(([id, { followed }]) => id !== nodeId && isBehind(followed)).length,
    );
    return noCommitWait ? 0 : behind;
  }

  nodes(): Promise<{ id: string; beat: number }[]> {
    return this.#read(({ nodes }) => [...nodes].map(([id, { beat }]) => ({ id, beat })));
  }

  forgetNode(id: string, beat?: number): Promise<void> {
    const { beating } = this.#link.primary;
    return this.#write(({ nodes }) => {
      // A heartbeat under way has the row locked; once it is over, the last one is another.
      if (beat === undefined || (nodes.get(id)?.beat === beat && !beating.has(id))) nodes.delete(id);
    });
  }

  #read<T>(look: (content: Content, primary: Primary) => T): Promise<T> {
    const { primary } = this.#link;
    return this.#link.process.ask((done, failed) => {
      try {
        done(look(primary.content, primary));
      } catch (cause) {
        failed(cause as Error);
      }
    });
  }

  #write(change: (content: Content) => void): Promise<void> {
    const { primary } = this.#link;
    return this.#link.process.ask((done) => {
      if (!primary.fenced) done(change(primary.content));
    });
  }
}
