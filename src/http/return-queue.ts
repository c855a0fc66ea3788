import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Admission, Lane, Place } from './admission.ts';

/** How long a request waits for a place after its wait is over. */
const PATIENCE_MS = 5_000;
/** How long nothing is tried after nobody has got a place. */
const PAUSE_MS = 5;

interface Returning {
  readonly lane: Lane;
  readonly holder: string;
  readonly sinceMs: number;
  resolve(place: Place): void;
  reject(error: ServiceError): void;
}

/**
 * Gives parked requests a place again, in turn. One event may end a thousand waits at once, and each of these requests was
 * admitted before: so they queue here for a moment, where a new request would be refused at once.
 */
export class ReturnQueue {
  readonly #admission: Admission;
  readonly #clock: Clock;
  #waiting: Returning[] = [];

  constructor(admission: Admission, clock: Clock) {
    this.#admission = admission;
    this.#clock = clock;
  }

  /** @throws ServiceError `Overloaded` when there is no place for several seconds */
  async enter(lane: Lane, holder: string): Promise<Place> {
    if (this.#waiting.length === 0 && this.#admission.hasPlace(lane, holder))
      return this.#admission.enter(lane, holder);
    const { promise, resolve, reject } = Promise.withResolvers<Place>();
    this.#waiting.push({ lane, holder, sinceMs: this.#clock.elapsed(), resolve, reject });
    if (this.#waiting.length === 1) setImmediate(() => this.#admit());
    return promise;
  }

  #admit(): void {
    const full = new Set<string>();
    const now = this.#clock.elapsed();
    const before = this.#waiting;
    this.#waiting = before.filter((one) => !this.#admitOne(one, full, now));
    if (this.#waiting.length === 0) return;
    if (this.#waiting.length < before.length) setImmediate(() => this.#admit());
    else setTimeout(() => this.#admit(), PAUSE_MS);
  }

  /** @param full lanes and holders for which there was no place. @returns whether it waits no longer */
  #admitOne({ lane, holder, sinceMs, resolve, reject }: Returning, full: Set<string>, now: number): boolean {
    const share = `${lane} ${holder}`;
    if (!full.has(share) && this.#admission.hasPlace(lane, holder)) {
      resolve(this.#admission.enter(lane, holder));
      return true;
    }
    full.add(share);
    if (now - sinceMs < PATIENCE_MS) return false;
    reject(new ServiceError('Overloaded', { reason: lane === 'urgent' ? 'overload.urgent' : 'overload.usual' }));
    return true;
  }
}
