import type { Caller } from '../callers.ts';
import { ServiceError } from '../errors.ts';

/** How many of one kind may be held open at a time. */
export interface HoldLimits {
  /** By one user; by one address, of those who proved nothing. */
  readonly user: number;
  /** By one resource, all of its users together. */
  readonly resource: number;
  readonly all: number;
}

/** What holds unless the caller says otherwise, for sockets and for parked requests each. */
export const HELD_MOST: HoldLimits = { user: 16, resource: 4_000, all: 5_000 };

/** One that is held. */
export interface Hold {
  /** Gives it back. May be called more than once. */
  release(): void;
}

/**
 * Counts what stays open for long and takes no place in {@link Admission} meanwhile: sockets, or parked answers. What is
 * bounded here is memory and connections, not work.
 */
export class Holds {
  readonly #limits: HoldLimits;
  readonly #byUser = new Map<string, number>();
  readonly #byResource = new Map<string, number>();
  #open = 0;

  constructor(limits: HoldLimits) {
    this.#limits = limits;
  }

  /** How many are held now. */
  get open(): number {
    return this.#open;
  }

  /** @throws ServiceError `TooManyRequests` when the caller holds too many, `Overloaded` when all together do */
  take(caller: Caller, peer: string): Hold {
    const user = userOf(caller, peer);
    const resource = 'resourceId' in caller ? caller.resourceId : undefined;
    this.#requireRoom(user, resource);
    this.#count(user, resource, 1);
    let held = true;
    return {
      release: () => {
        if (held) this.#count(user, resource, -1);
        held = false;
      },
    };
  }

  #requireRoom(user: string | undefined, resource: string | undefined): void {
    const { user: ofUser, resource: ofResource, all } = this.#limits;
    if (user !== undefined && (this.#byUser.get(user) ?? 0) >= ofUser)
      throw new ServiceError('TooManyRequests', { reason: 'held.user' });
    if (resource !== undefined && (this.#byResource.get(resource) ?? 0) >= ofResource)
      throw new ServiceError('TooManyRequests', { reason: 'held.resource' });
    if (this.#open >= all) throw new ServiceError('Overloaded', { reason: 'held.all' });
  }

  #count(user: string | undefined, resource: string | undefined, by: 1 | -1): void {
    this.#open += by;
    add(this.#byUser, user, by);
    add(this.#byResource, resource, by);
  }
}

function add(counts: Map<string, number>, key: string | undefined, by: 1 | -1): void {
  if (key === undefined) return;
  const count = (counts.get(key) ?? 0) + by;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}

/** A resource's own service has no share but that of its resource, and an operator only that of all. */
function userOf(caller: Caller, peer: string): string | undefined {
  if (caller.kind === 'user') return `${caller.resourceId} ${caller.identityId}`;
  return caller.kind === 'nobody' ? peer : undefined;
}
