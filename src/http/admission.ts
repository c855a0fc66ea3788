import type { Caller } from '../callers.ts';
import { ServiceError } from '../errors.ts';

/** Which places a request takes. Those that end access, or tell how the server is, have places of their own. */
export type Lane = 'usual' | 'urgent';

/** Made once: the many that are refused should not each pay for the trace of an error. */
const OVERLOADED = {
  usual: new ServiceError('Overloaded', { reason: 'overload.usual' }),
  urgent: new ServiceError('Overloaded', { reason: 'overload.urgent' }),
  bodies: new ServiceError('Overloaded', { reason: 'overload.bodies' }),
};

const REFUSAL_DELAY_MS = 100;
/** Times as long for the largest. */
const REFUSAL_DELAY_MOST = 8;

/**
 * How long the answer to a request that was refused for load is delayed. A refusal costs a fifth of a token, so clients
 * that come again at once, whatever `Retry-After` says, would have the server do nothing but refuse: now a connection is
 * refused some ten times a second. At random around that, or those who were refused together would come again together.
 * @param places that the request would take by its body: a large body costs more to refuse, too
 */
export const refusalDelayMs = (places: number): number =>
  REFUSAL_DELAY_MS * Math.min(places, REFUSAL_DELAY_MOST) * (0.5 + Math.random());

interface Bounds {
  /** How many requests may be under way in each lane. */
  readonly places: Readonly<Record<Lane, number>>;
  /** Bytes of bodies in memory, of all requests together. */
  readonly bodyBytes: number;
}

/** A body of more bytes, or with more entries in its lists, holds one more place for each so many. */
const BYTES_PER_PLACE = 8 * 1024;
const ENTRIES_PER_PLACE = 8;

/** What a request costs by its body, in places where there are 256 of them. Zero entries: not known yet */
export const placesFor = (bodyBytes: number, entries = 0): number =>
  Math.max(1, Math.ceil(bodyBytes / BYTES_PER_PLACE), Math.ceil(entries / ENTRIES_PER_PLACE));

/**
 * Bounds what is under way, and with it every queue behind: a request holds a place from the end of its body to its answer,
 * several where it costs as much as several others, and waits for at most one signature or one write at a time. What would
 * find no place is refused before its body is read; a body that comes slowly holds no more than the bytes that have come
 * (security-and-reliability, L1–L4, R10).
 */
export class Admission {
  readonly #lanes: Readonly<Record<Lane, Shares>>;
  readonly #bodyBytes: Shares;

  constructor({ places, bodyBytes }: Bounds) {
    this.#lanes = { usual: new Shares(places.usual), urgent: new Shares(places.urgent) };
    this.#bodyBytes = new Shares(bodyBytes);
  }

  /** Whether there are places, which are not taken by this. */
  hasPlace(lane: Lane, holder: string, places = 1): boolean {
    return this.#lanes[lane].has(holder, this.#most(lane, places));
  }

  /** As {@link hasPlace}. @throws ServiceError `Overloaded` */
  requirePlace(lane: Lane, holder: string, places = 1): void {
    if (!this.hasPlace(lane, holder, places)) throw OVERLOADED[lane];
  }

  /**
   * Takes places.
   * @param holder whose share they count against
   * @throws ServiceError `Overloaded`
   */
  enter(lane: Lane, holder: string, places = 1): Place {
    this.requirePlace(lane, holder, places);
    const shares = this.#lanes[lane];
    let held = this.#most(lane, places);
    shares.take(holder, held);
    return {
      grow: (wanted) => {
        const more = this.#most(lane, wanted) - held;
        if (more <= 0) return;
        if (!shares.has(holder, more)) throw OVERLOADED[lane];
        shares.take(holder, more);
        held += more;
      },
      leave: () => shares.giveBack(holder, held),
    };
  }

  /**
   * What costs as much as several takes a share of all places, so that few of it are under way however many places there are.
   * None takes more than a quarter: one alone is always served, and so is a second one beside it.
   */
  #most(lane: Lane, places: number): number {
    const { all } = this.#lanes[lane];
    if (places <= 1) return 1;
    return Math.min(Math.ceil((places * all) / 256), Math.max(1, Math.floor(all / 4)));
  }

  /** An account for the bytes of a body, as they come. */
  openBody(holder: string): BodyAccount {
    const shares = this.#bodyBytes;
    let bytes = 0;
    return {
      add(more) {
        if (!shares.has(holder, more)) throw OVERLOADED.bodies;
        shares.take(holder, more);
        bytes += more;
      },
      close: () => shares.giveBack(holder, bytes),
    };
  }

  /** Requests that hold a place. */
  get underWay(): Readonly<Record<Lane, number>> {
    return { usual: this.#lanes.usual.taken, urgent: this.#lanes.urgent.taken };
  }

  /** Bytes of bodies in memory. */
  get bodyBytes(): number {
    return this.#bodyBytes.taken;
  }
}

/** The places that a request holds. */
export interface Place {
  /** Holds so many after this, where it held fewer. @throws ServiceError `Overloaded` */
  grow(places: number): void;
  /** Gives them back; to be called once. */
  leave(): void;
}

export interface BodyAccount {
  /** @throws ServiceError `Overloaded` */
  add(bytes: number): void;
  /** The bytes are no longer needed; to be called once. */
  close(): void;
}

/**
 * An amount that several share without a list of who they are: everybody may hold as much as is still free (Choudhury and
 * Hahne, "Dynamic Queue Length Thresholds", 1998). One alone gets half of it, each of n an equal (n + 1)th, and the
 * next one finds as much free.
 */
class Shares {
  readonly all: number;
  readonly #held = new Map<string, number>();
  #taken = 0;

  constructor(all: number) {
    this.all = all;
  }

  get taken(): number {
    return this.#taken;
  }

  has(holder: string, amount: number): boolean {
    return (this.#held.get(holder) ?? 0) + amount <= this.all - this.#taken;
  }

  take(holder: string, amount: number): void {
    this.#held.set(holder, (this.#held.get(holder) ?? 0) + amount);
    this.#taken += amount;
  }

  giveBack(holder: string, amount: number): void {
    const held = (this.#held.get(holder) ?? 0) - amount;
    if (held > 0) this.#held.set(holder, held);
    else this.#held.delete(holder);
    this.#taken -= amount;
  }
}

/** Who has one share: a resource's service, its users, the operator; those who proved nothing by their address. */
export const holderOf = (caller: Caller, peer: string): string =>
  `${caller.kind} ${'resourceId' in caller ? caller.resourceId : caller.kind === 'nobody' ? peer : ''}`;
