import { StoreError } from '../storage/database.ts';
import type { LoggedEvent, RevocableToken, RevocationKind, Verdict } from './event.ts';
import { fingerprint } from './event.ts';
import { PositionTable } from './position-table.ts';

/** A table takes 2.25 times its bytes while it grows and 1.25 times afterwards: the young generation's share, and the old one's. */
const GROWING_SHARE = 9 / 14;

interface Generation {
  readonly table: PositionTable;
  /** Every event from this position on is in this generation or a younger one. */
  readonly firstSeq: number;
  readonly sinceMs: number;
}

/**
 * What a node remembers of the revocation log: the newest event per identity, key slot, resource, trust, assignment,
 * signing key, and of everything. Pure memory; {@link Revocations} feeds it.
 *
 * Identities are kept in two generations. When the older one holds nothing that a living token could still meet, it is
 * dropped whole, and {@link floor} rises: tokens from below it are decided by the rows of the store.
 */
export class RevocationState {
  readonly #windowMs: number;
  readonly #mostBytes: number;
  #young: Generation;
  #old: Generation | undefined;
  readonly #keys = new Map<string, number>();
  readonly #resources = new Map<string, number>();
  readonly #signingKeys = new Map<string, number>();
  readonly #trusts = new Map<string, number>();
  readonly #assignments = new Map<string, number>();
  readonly #validFrom = new Map<string, { seconds: number; seq: number }>();
  #all = 0;
  #applied: number;

  /**
   * @param applied position up to which nothing needs to be remembered, because rows decide below it
   * @param windowMs longest life of a token, with a margin
   * @param mostBytes memory for identities, after which the floor rises early
   */
  constructor(applied: number, nowMs: number, windowMs: number, mostBytes: number) {
    this.#applied = applied;
    this.#windowMs = windowMs;
    this.#mostBytes = mostBytes;
    this.#young = { table: new PositionTable(), firstSeq: applied + 1, sinceMs: nowMs };
  }

  /** Position of the last event applied. */
  get applied(): number {
    return this.#applied;
  }

  /** Tokens issued at a position below this one may have been ended by an event that is no longer in memory. */
  get floor(): number {
    return (this.#old ?? this.#young).firstSeq - 1;
  }

  get size(): number {
    return this.#young.table.size + (this.#old?.table.size ?? 0);
  }

  /** Takes note of a bound from before {@link applied}. */
  recall(event: LoggedEvent): void {
    if (event.kind !== 'validFrom') return;
    const seconds = event.validFromMs / 1000;
    // An earlier bound set later does not bring anybody back.
    const identity = `${event.resourceId} ${event.identityId}`;
    if (seconds > (this.#validFrom.get(identity)?.seconds ?? 0)) {
      this.#validFrom.set(identity, { seconds, seq: event.seq });
    }
  }

  /**
   * @throws StoreError when a number is missing: the log is dense, so a hole means that something is broken. Only the end of
   * everything may follow a hole, see {@link Revocations.recover}
   */
  apply(event: LoggedEvent, nowMs: number): void {
    if (event.seq !== this.#applied + 1 && !(event.kind === 'all' && event.seq > this.#applied))
      throw new StoreError(`the store is damaged: revocation log: ${event.seq} follows ${this.#applied}`);
    this.#turnGenerations(event.seq, nowMs);
    switch (event.kind) {
      case 'identity':
      case 'identityDeleted':
        // The position doubled, with the last bit for what happened, so that one number holds both.
        this.#young.table.raise(
          fingerprint(event.resourceId, event.identityId),
          event.seq * 2 + Number(event.kind === 'identityDeleted'),
        );
        break;
      case 'validFrom':
        this.recall(event);
        break;
      case 'key':
        this.#keys.set(`${event.resourceId} ${event.slot}`, event.seq);
        break;
      case 'resource':
        this.#resources.set(event.resourceId, event.seq);
        break;
      case 'trust':
        this.#trusts.set(event.trustId, event.seq);
        break;
      case 'assignment':
        this.#assignments.set(`${event.resourceId} ${event.assignmentId}`, event.seq);
        break;
      case 'signingKey':
        this.#signingKeys.set(event.kid, event.seq);
        break;
      case 'all':
        this.#all = event.seq;
        break;
    }
    this.#applied = event.seq;
  }

  /** The newest event that ended the token, or undefined when it is good. One maximum over all levels, nothing else. */
  verdict(token: RevocableToken): Verdict | undefined {
    const identity = Math.max(this.#young.table.get(token.fingerprint), this.#old?.table.get(token.fingerprint) ?? 0);
    let kind: RevocationKind = identity % 2 === 1 ? 'identityDeleted' : 'identity';
    let seq = Math.floor(identity / 2);
    const consider = (other: RevocationKind, last = 0): void => {
      if (last > seq) [kind, seq] = [other, last];
    };
    consider('all', this.#all);
    if (token.keySlot) consider('key', this.#keys.get(`${token.resourceId} ${token.keySlot}`));
    consider('resource', this.#resources.get(token.resourceId));
    if (token.trustId) consider('trust', this.#trusts.get(token.trustId));
    if (token.assignmentId) consider('assignment', this.#assignments.get(`${token.resourceId} ${token.assignmentId}`));
    consider('signingKey', this.#signingKeys.get(token.kid));
    if (token.position < seq) return { kind, seq };

    const bound = this.#validFrom.get(`${token.resourceId} ${token.identityId}`);
    return bound && token.issuedAtSeconds < bound.seconds ? { kind: 'validFrom', seq: bound.seq } : undefined;
  }

  #turnGenerations(nextSeq: number, nowMs: number): void {
    const outlived = nowMs - this.#young.sinceMs > this.#windowMs;
    const tooLarge = this.#young.table.bytesForOneMore > this.#mostBytes * GROWING_SHARE;
    if (!outlived && !tooLarge) return;
    this.#old?.table.discard();
    this.#old = this.#young;
    this.#young = { table: new PositionTable(), firstSeq: nextSeq, sinceMs: nowMs };
  }
}
