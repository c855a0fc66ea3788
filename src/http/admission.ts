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

const KEPT_BACK_MS = 100;

/**
 * How long the answer to a request that was refused for load is kept back. A refusal costs a fifth of a token, so clients
 * that come again at once, whatever `Retry-After` says, would have the server do nothing but refuse: now a connection is
 * refused some ten times a second. At random around that, or those who were refused together would come again together.
 */
export const keepBackMs = (): number => KEPT_BACK_MS * (0.5 + Math.random());

interface Bounds {
  /** How many requests may be under way in each lane. */
  readonly places: Readonly<Record<Lane, number>>;
  /** Bytes of bodies in memory, of all requests together. */
  readonly bodyBytes: number;
}

/**
 * Bounds what is under way, and with it every queue behind: a request holds one place from the end of its body to its
 * answer, and waits for at most one signature or one write at a time. What would find no place is refused before its body
 * is read; a body that comes slowly holds no more than the bytes that have come (security-and-reliability, L1–L4, R10).
 */
export class Admission {
  readonly #lanes: Readonly<Record<Lane, Shares>>;
  readonly #bodyBytes: Shares;

  constructor({ places, bodyBytes }: Bounds) {
    this.#lanes = { usual: new Shares(places.usual), urgent: new Shares(places.urgent) };
    this.#bodyBytes = new Shares(bodyBytes);
  }

  /** Looks whether there is a place, without taking it. @throws ServiceError `Overloaded` */
  requirePlace(lane: Lane, holder: string): void {
    if (!this.#lanes[lane].has(holder, 1)) throw OVERLOADED[lane];
  }

  /**
   * Takes a place.
   * @param holder whose share it counts against
   * @returns gives it back; to be called once
   * @throws ServiceError `Overloaded`
   */
  enter(lane: Lane, holder: string): () => void {
    this.requirePlace(lane, holder);
    const places = this.#lanes[lane];
    places.take(holder, 1);
    return () => places.giveBack(holder, 1);
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

export interface BodyAccount {
  /** @throws ServiceError `Overloaded` */
  add(bytes: number): void;
  /** The bytes are no longer needed; to be called once. */
  close(): void;
}

/**
 * An amount that several share without a list of who they are: everybody may hold as much as is still free (Choudhury and
 * Hahne, "Dynamic Queue Length Thresholds", 1998). One alone gets half of it, each of n an equal (n + 1)th, and whoever
 * comes next finds as much free.
 */
class Shares {
  readonly #all: number;
  readonly #held = new Map<string, number>();
  #taken = 0;

  constructor(all: number) {
    this.#all = all;
  }

  get taken(): number {
    return this.#taken;
  }

  has(holder: string, amount: number): boolean {
    return (this.#held.get(holder) ?? 0) + amount <= this.#all - this.#taken;
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
