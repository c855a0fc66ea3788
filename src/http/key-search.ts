import type { ResourceId } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { RecentMap } from '../lib/recent-map.ts';

/** HMACs by which an allowance grows in a second, and what it holds at most: some 5 % of a processor. */
const PER_SECOND = 20_000;
/** A client is told apart from those that send wrong signatures again when it has sent none for so long. */
const FORGIVEN_MS = 60_000;
/** Resources that are remembered for one client. */
const MOST_PROVEN = 16;
/** Clients that are remembered for certain; there may be twice as many. */
const LEAST_KNOWN = 5_000;

/** How many HMACs may be spent in vain. The last spending may exceed it, and is waited for then. */
class Allowance {
  readonly #clock: Clock;
  #left = PER_SECOND;
  #atMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#atMs = clock.elapsed();
  }

  get isSpent(): boolean {
    const now = this.#clock.elapsed();
    this.#left = Math.min(PER_SECOND, this.#left + ((now - this.#atMs) / 1000) * PER_SECOND);
    this.#atMs = now;
    return this.#left <= 0;
  }

  spend(hmacs: number): void {
    this.#left -= hmacs;
  }
}

interface Proven {
  /** The latest first. */
  resources: readonly ResourceId[];
  readonly allowance: Allowance;
}

/**
 * Bounds what wrong signatures cost where a host names no resource, so that the keys of all would have to be tried. Nothing
 * is spent by signatures that fit. Where a client has proved a resource, that resource is looked at first, and the client
 * has an allowance of its own. New clients share one allowance, and those of them that have sent wrong signatures share
 * another: a client that sends many takes the turn of neither.
 */
export class KeySearch {
  readonly #clock: Clock;
  readonly #proven = new RecentMap<Proven>(LEAST_KNOWN);
  /** When a client last sent a wrong signature, in elapsed milliseconds. */
  readonly #failed = new RecentMap<number>(LEAST_KNOWN);
  readonly #ofNewClients: Allowance;
  readonly #ofFailedClients: Allowance;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#ofNewClients = new Allowance(clock);
    this.#ofFailedClients = new Allowance(clock);
  }

  /** Resources whose keys a client has lately signed with. */
  provenBy(client: string): readonly ResourceId[] {
    return this.#proven.get(client)?.resources ?? [];
  }

  /** Notes that a client signed with a key of a resource. */
  proved(client: string, resource: ResourceId): void {
    const known = this.#proven.get(client);
    if (!known) {
      this.#proven.set(client, { resources: [resource], allowance: new Allowance(this.#clock) });
    } else if (known.resources[0] !== resource) {
      known.resources = [resource, ...known.resources.filter((id) => id !== resource)].slice(0, MOST_PROVEN);
    }
  }

  /** Insists that all keys may be tried once more for a client. @throws ServiceError `TooManyRequests` */
  requireAllowance(client: string): void {
    if (this.#allowanceOf(client).isSpent)
      throw new ServiceError('TooManyRequests', { reason: 'signature.tooManyWrong' });
  }

  /** Notes that a client's signature fitted nothing. @param hmacs how many it took to know that */
  failed(client: string, hmacs: number): void {
    this.#allowanceOf(client).spend(hmacs);
    this.#failed.set(client, this.#clock.elapsed());
  }

  #allowanceOf(client: string): Allowance {
    const known = this.#proven.get(client);
    if (known) return known.allowance;
    const failedMs = this.#failed.get(client) ?? Number.NEGATIVE_INFINITY;
    return this.#clock.elapsed() - failedMs < FORGIVEN_MS ? this.#ofFailedClients : this.#ofNewClients;
  }
}
