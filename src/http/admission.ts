import type { Caller } from '../callers.ts';
import { ServiceError } from '../errors.ts';

/** Which places a request takes. Those that end access, or tell how the server is, have places of their own. */
export type Lane = 'usual' | 'urgent';

const OVERLOAD = { usual: 'overload.usual', urgent: 'overload.urgent' } as const;

/**
 * Bounds what is under way, and with it every queue behind: a request holds one place from the proof of its caller to its
 * answer, and waits for at most one signature or one write at a time. What finds no place is refused at once, before its
 * body is read (security-and-reliability, L1, L4 and R10).
 */
export class Admission {
  readonly #lanes: Readonly<Record<Lane, Places>>;

  /** @param places how many requests may be under way in each lane */
  constructor(places: Readonly<Record<Lane, number>>) {
    this.#lanes = { usual: new Places(places.usual), urgent: new Places(places.urgent) };
  }

  /**
   * Takes a place.
   * @param holder whose share it counts against
   * @returns gives it back; to be called once
   * @throws ServiceError `Overloaded`
   */
  enter(lane: Lane, holder: string): () => void {
    const places = this.#lanes[lane];
    if (!places.take(holder)) throw new ServiceError('Overloaded', { reason: OVERLOAD[lane] });
    return () => places.giveBack(holder);
  }

  /** Requests under way. */
  get underWay(): Readonly<Record<Lane, number>> {
    return { usual: this.#lanes.usual.taken, urgent: this.#lanes.urgent.taken };
  }
}

/**
 * Places that several share without a list of who they are: everybody may hold as many as are still free (Choudhury and
 * Hahne, "Dynamic Queue Length Thresholds", 1998). One alone gets half of them, each of n an equal (n + 1)th, and whoever
 * comes next finds as much free.
 */
class Places {
  readonly #all: number;
  readonly #held = new Map<string, number>();
  #taken = 0;

  constructor(all: number) {
    this.#all = all;
  }

  get taken(): number {
    return this.#taken;
  }

  take(holder: string): boolean {
    const held = this.#held.get(holder) ?? 0;
    if (held >= this.#all - this.#taken) return false;
    this.#held.set(holder, held + 1);
    this.#taken += 1;
    return true;
  }

  giveBack(holder: string): void {
    const held = this.#held.get(holder) ?? 0;
    if (held > 1) this.#held.set(holder, held - 1);
    else this.#held.delete(holder);
    this.#taken -= 1;
  }
}

/** Who shares places: a resource's service, its users, the operator; those who proved nothing by their address. */
export const holderOf = (caller: Caller, peer: string): string =>
  `${caller.kind} ${'resourceId' in caller ? caller.resourceId : caller.kind === 'nobody' ? peer : ''}`;
