import type { ResourceId } from '../callers.ts';
import type { RevocableToken } from './event.ts';
import { PositionTable } from './position-table.ts';

/** A table takes 2.25 times its bytes while it grows. */
const GROWING_SHARE = 4 / 9;
/** How much is left when tables were given up, so that the next event does not look for one again. */
const KEPT_SHARE = 3 / 4;

/**
 * What a node remembers of bounds on the instant of issue (`tokensValidFrom`): enough to tell which tokens one may end.
 * Whether it does, the row of the identity says.
 *
 * Each resource has a table with the bound of each identity, and a floor: the rows decide about everything that was issued
 * before it. So bounds are dropped by raising a floor, those of one resource without effect on the others.
 */
export class Bounds {
  readonly #mostBytes: number;
  readonly #tables = new Map<ResourceId, PositionTable>();
  readonly #floors = new Map<ResourceId, number>();
  #bytes = 0;
  /** Seconds since 1970: bounds up to here are not in memory, in any resource. */
  readonly floor: number;

  /**
   * @param floor 0 at least
   * @param mostBytes of the tables together, also while one of them grows
   */
  constructor(floor: number, mostBytes: number) {
    this.floor = floor;
    this.#mostBytes = mostBytes * GROWING_SHARE;
  }

  /** Memory of the tables. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Identities with a bound in memory. */
  get size(): number {
    return [...this.#tables.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** Whether a bound may end a token. */
  mayEnd({ resourceId, fingerprint, issuedAtSeconds }: RevocableToken): boolean {
    return (
      issuedAtSeconds < this.#floorOf(resourceId) ||
      issuedAtSeconds < (this.#tables.get(resourceId)?.get(fingerprint) ?? 0)
    );
  }

  /**
   * Takes note of a bound: of the first whole second, since 1970, whose tokens pass.
   * @param outlived the second before which no token that still lives was issued; 0 at least
   * @returns false when the rows decide about it, and about every lower one of the resource
   */
  raise(resourceId: ResourceId, fingerprint: Uint32Array, seconds: number, outlived: number): boolean {
    if (seconds <= outlived) this.#raiseFloor(resourceId, seconds);
    if (seconds <= this.#floorOf(resourceId)) return false;
    const table = this.#tables.get(resourceId) ?? new PositionTable();
    const bytesBefore = this.#tables.has(resourceId) ? table.bytes : 0;
    if (table.isFull) {
      this.#raiseFloor(resourceId, outlived);
      table.reserve(outlived);
    }
    table.raise(fingerprint, seconds);
    this.#tables.set(resourceId, table);
    this.#bytes += table.bytes - bytesBefore;
    if (this.#bytes > this.#mostBytes) this.#evictLargest();
    return seconds > this.#floorOf(resourceId);
  }

  /** Forgets a resource, none of whose tokens are good any more. */
  forget(resourceId: ResourceId): void {
    this.#drop(resourceId);
    this.#floors.delete(resourceId);
  }

  #evictLargest(): void {
    const largestFirst = [...this.#tables].sort(([, one], [, other]) => other.bytes - one.bytes);
    for (const [resourceId, { highest }] of largestFirst) {
      this.#raiseFloor(resourceId, highest);
      this.#drop(resourceId);
      if (this.#bytes <= this.#mostBytes * KEPT_SHARE) return;
    }
  }

  #drop(resourceId: ResourceId): void {
    const table = this.#tables.get(resourceId);
    if (!table) return;
    this.#tables.delete(resourceId);
    this.#bytes -= table.bytes;
    table.discard();
  }

  #floorOf(resourceId: ResourceId): number {
    return this.#floors.get(resourceId) ?? this.floor;
  }

  #raiseFloor(resourceId: ResourceId, seconds: number): void {
    if (seconds > this.#floorOf(resourceId)) this.#floors.set(resourceId, seconds);
  }
}
