import type { Caller, ProvenUser, SessionKind } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Lane, Place } from './admission.ts';
import type { Holds } from './holds.ts';
import type { ReturnQueue } from './return-queue.ts';
import type { Session, Sessions } from './session.ts';
import type { WireEnd, WireRequest } from './wire.ts';

interface Uses {
  /** Bounds the parked requests. */
  parked: Holds;
  returns: ReturnQueue;
  sessions: Sessions;
  clock: Clock;
}

/** The request, and the caller whose places it takes. */
interface Asking {
  readonly request: WireRequest;
  readonly caller: Caller;
  /** Of a route for users. */
  readonly user: ProvenUser | undefined;
  readonly holder: string;
}

/** Why a request has ended before its answer, or a socket before its client closed it. */
export type ScopeEnd = WireEnd | ServiceError;

/**
 * What one request holds while it is served: its place in admission and, from the moment that its handler waits for
 * something, a session that ends with the token of its user.
 */
export class RequestScope {
  readonly #uses: Uses;
  readonly #asking: Asking;
  #place: Place | undefined;
  #lane: Lane = 'usual';
  #session: Session | undefined;
  #watches = false;
  #ended: ScopeEnd | undefined;
  /** Whether the handler was told of the end, and what it answers is its own decision. */
  #told = false;
  #controller: AbortController | undefined;
  #listeners: ((why: ScopeEnd) => void)[] | undefined;
  #parkedMs = 0;

  constructor(uses: Uses, asking: Asking) {
    this.#uses = uses;
    this.#asking = asking;
  }

  /** How long it has held no place because it was parked. */
  get parkedMs(): number {
    return this.#parkedMs;
  }

  /** After this it holds these places. */
  enter(place: Place, lane: Lane): void {
    this.#place?.leave();
    this.#place = place;
    this.#lane = lane;
  }

  /** It holds no place any more. */
  leave(): void {
    this.#place?.leave();
    this.#place = undefined;
  }

  /** Aborted when nobody waits for the answer any longer. The reason is the error that is answered then. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      this.onEnd((why) => controller.abort(errorOf(why)));
    }
    return this.#controller.signal;
  }

  /** Tells once why the request has ended, also when it has ended before. */
  onEnd(listener: (why: ScopeEnd) => void): void {
    this.watch();
    if (this.#ended !== undefined) listener(this.#ended);
    else if (this.#listeners) this.#listeners.push(listener);
    else this.#listeners = [listener];
  }

  /**
   * Waits without a place.
   * @throws ServiceError `RequestAbandoned`, `Stopping` or `TokenRefused` when the request ends first; `TooManyRequests` when
   * the caller has parked too many, `Overloaded` when there is no place for it afterwards; or what the wait throws
   */
  async park<T>(wait: Promise<T>): Promise<T> {
    wait.catch(() => undefined); // it may be over after this request is
    const { parked, returns, clock } = this.#uses;
    const { caller, request, holder } = this.#asking;
    const hold = parked.take(caller, request.peer);
    const since = clock.elapsed();
    this.leave();
    try {
      return await this.#orEnd(wait);
    } finally {
      this.#parkedMs += clock.elapsed() - since;
      hold.release();
      if (this.#ended === undefined) this.enter(await returns.enter(this.#lane, holder), this.#lane);
    }
  }

  /** Whether something may be sent to the user now. Always, of a caller whose access nobody watches over. */
  get isOpen(): boolean {
    return this.#session?.open ?? true;
  }

  /** Waits while nothing may be sent for now. @returns false when nothing may be sent ever again */
  async whenOpen(): Promise<boolean> {
    return (await this.#session?.whenOpen()) ?? true;
  }

  /** Goes on with a newer token of the same user. @throws ServiceError `TokenRefused`, `NotFresh` */
  async renew(user: ProvenUser): Promise<void> {
    await this.#session?.renew(user);
  }

  /**
   * Insists, before an answer is sent, that access has not ended. A handler that was told of the end may say so in its own
   * way, and nothing else. It costs nothing where nobody waited.
   * @throws ServiceError `TokenRefused`; `NotFresh` when this node cannot tell
   */
  requireAccess(status: number): Promise<void> | undefined {
    if (typeof this.#ended === 'object' && this.#told && status >= 400) return undefined;
    return this.#session?.requireOpen();
  }

  /** The answer is there, or the socket is closed. */
  close(): void {
    this.leave();
    this.#session?.close();
  }

  #orEnd<T>(wait: Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.onEnd((why) => {
      this.#told = true;
      reject(errorOf(why));
    });
    wait.then(resolve, reject);
    return promise;
  }

  /** Begins the session: after this the request ends with its client, the server or its user's access. */
  watch(kind: SessionKind = 'parked'): void {
    if (this.#watches) return;
    this.#watches = true;
    const { request, user } = this.#asking;
    request.onEnd((why) => this.#end(why));
    if (user === undefined || this.#ended !== undefined) return;
    this.#session = this.#uses.sessions.open(user, (refusal) => this.#end(refusal), kind);
    if (this.#ended !== undefined) this.#session.close();
  }

  #end(why: ScopeEnd): void {
    if (this.#ended !== undefined) return;
    this.#ended = why;
    this.#session?.close();
    for (const tell of this.#listeners?.splice(0) ?? []) tell(why);
  }
}

/** What a request is answered that has ended before its answer. */
export function errorOf(why: ScopeEnd): ServiceError {
  if (why === 'gone') return new ServiceError('RequestAbandoned');
  if (why === 'stopping') return new ServiceError('Stopping');
  return why;
}
