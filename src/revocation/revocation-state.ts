import { StoreError } from '../storage/database.ts';
import { Bounds } from './bounds.ts';
import {
  assignmentFingerprint,
  type Bound,
  fingerprint,
  type LoggedEvent,
  type RevocableToken,
  type RevocationKind,
  type Verdict,
} from './event.ts';
import { PositionTable } from './position-table.ts';

/** Of the memory, for bounds on the instant of issue. */
const BOUNDS_SHARE = 1 / 8;
/** A table takes 2.25 times its bytes while it grows (current generation) and 1.25 times afterwards (previous). */
const GROWING_SHARE = ((1 - BOUNDS_SHARE) * 9) / 14;

interface Generation {
  readonly table: PositionTable;
  /** Every event from this position on is in this generation or a later one. */
  readonly firstSeq: number;
  readonly sinceMs: number;
}

/**
 * What a node remembers of the revocation log: the newest event per identity, key slot, resource, trust, assignment,
 * signing key, and of everything; and the bounds on the instant of issue. Pure memory; {@link Revocations} feeds it.
 *
 * Identities and assignments are kept in two generations. When the older one holds nothing that a living token could still
 * meet, it is dropped whole, and {@link floor} rises: tokens from below it are decided by the rows of the store.
 */
export class RevocationState {
  readonly #windowMs: number;
  readonly #mostBytes: number;
  #current: Generation;
  #previous: Generation | undefined;
  readonly #keys = new Map<string, number>();
  readonly #resources = new Map<string, number>();
  readonly #signingKeys = new Map<string, number>();
  readonly #trusts = new Map<string, number>();
  readonly #bounds: Bounds;
  #all = 0;
  #applied: number;

  /**
   * @param applied position up to which nothing needs to be remembered, because rows decide below it
   * @param windowMs longest life of a token, with a margin
   * @param mostBytes memory for identities, assignments and bounds, above which rows decide about more
   */
  constructor(applied: number, nowMs: number, windowMs: number, mostBytes: number) {
    this.#applied = applied;
    this.#windowMs = windowMs;
    this.#mostBytes = mostBytes;
    this.#current = { table: new PositionTable(), firstSeq: applied + 1, sinceMs: nowMs };
    this.#bounds = new Bounds(this.#outlived(nowMs), mostBytes * BOUNDS_SHARE);
  }

  /** Position of the last event applied. */
  get applied(): number {
    return this.#applied;
  }

  /** Tokens issued at a position below this one may have been ended by an event that is no longer in memory. */
  get floor(): number {
    return (this.#previous ?? this.#current).firstSeq - 1;
  }

  /** Identities and assignments whose tokens were ended, and bounds. */
  get size(): number {
    return this.#current.table.size + (this.#previous?.table.size ?? 0) + this.#bounds.size;
  }

  /** Milliseconds since 1970: bounds up to here are not recalled. */
  get boundsFloorMs(): number {
    return this.#bounds.floor * 1000;
  }

  /**
   * Takes note of a bound.
   * @returns false when rows decide about it, and about every lower one of the resource
   */
  recall({ resourceId, identityId, validFromMs }: Bound, nowMs: number): boolean {
    const seconds = Math.ceil(validFromMs / 1000); // tokens are issued at whole seconds
    return this.#bounds.raise(resourceId, fingerprint(resourceId, identityId), seconds, this.#outlived(nowMs));
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
        this.#current.table.raise(
          fingerprint(event.resourceId, event.identityId),
          event.seq * 2 + Number(event.kind === 'identityDeleted'),
        );
        break;
      case 'validFrom':
        this.recall(event, nowMs);
        break;
      case 'key':
        this.#keys.set(`${event.resourceId} ${event.slot}`, event.seq);
        break;
      case 'resource':
        this.#resources.set(event.resourceId, event.seq);
        this.#bounds.forget(event.resourceId);
        break;
      case 'trust':
        this.#trusts.set(event.trustId, event.seq);
        break;
      case 'assignment':
        this.#current.table.raise(assignmentFingerprint(event.resourceId, event.assignmentId), event.seq * 2);
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

  /** The newest event in memory that ended the token. One maximum over all levels, nothing else. */
  verdict(token: RevocableToken): Verdict | undefined {
    const identity = this.#newest(token.fingerprint);
    let kind: RevocationKind = identity % 2 === 1 ? 'identityDeleted' : 'identity';
    let seq = Math.floor(identity / 2);
    const consider = (other: RevocationKind, last = 0): void => {
      if (last > seq) [kind, seq] = [other, last];
    };
    consider('all', this.#all);
    if (token.keySlot) consider('key', this.#keys.get(`${token.resourceId} ${token.keySlot}`));
    consider('resource', this.#resources.get(token.resourceId));
    if (token.trustId) consider('trust', this.#trusts.get(token.trustId));
    if (token.assignmentFingerprint) consider('assignment', this.#newest(token.assignmentFingerprint) / 2);
    consider('signingKey', this.#signingKeys.get(token.kid));
    return token.position < seq ? { kind, seq } : undefined;
  }

  /** Whether the rows have to be asked about a token that has no {@link verdict}. */
  needsRows(token: RevocableToken): boolean {
    return token.position < this.floor || this.#bounds.mayEnd(token);
  }

  #newest(fingerprint: Uint32Array): number {
    return Math.max(this.#current.table.get(fingerprint), this.#previous?.table.get(fingerprint) ?? 0);
  }

  /** The second before which no token that still lives was issued. */
  #outlived(nowMs: number): number {
    return Math.max(0, Math.floor((nowMs - this.#windowMs) / 1000));
  }

  #turnGenerations(nextSeq: number, nowMs: number): void {
    const outlived = nowMs - this.#current.sinceMs > this.#windowMs;
    const tooLarge = this.#current.table.bytesForOneMore > this.#mostBytes * GROWING_SHARE;
    if (!outlived && !tooLarge) return;
    this.#previous?.table.discard();
    this.#previous = this.#current;
    this.#current = { table: new PositionTable(), firstSeq: nextSeq, sinceMs: nowMs };
  }
}
