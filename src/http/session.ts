import type { ProvenUser, SessionKind } from '../callers.ts';
import type { ServiceError } from '../errors.ts';

/** Something that stays open longer than a request. It ends with the token of its user. */
export interface Session {
  /**
   * Whether something may be sent now. False until the token was verified once more, and for good once the session has ended,
   * maybe before `end` is called. False for a while when this node cannot tell whether it has.
   */
  readonly open: boolean;
  /** Insists that something may be sent now. @throws ServiceError `TokenRefused`; `NotFresh` when this node cannot tell */
  requireOpen(): Promise<void>;
  /** Waits while this node cannot tell. @returns whether it is open; false when it has ended */
  whenOpen(): Promise<boolean>;
  /**
   * Goes on with a newer token of the same user, which was verified before.
   * @throws ServiceError `TokenRefused` for one that is not good, or somebody else's; then it goes on with the former one
   */
  renew(user: ProvenUser): Promise<void>;
  /** It has ended by itself. May be called more than once, also after `end` was. */
  close(): void;
}

/** Watches over sessions and ends those whose access has ended. */
export interface Sessions {
  /**
   * Begins a session of a user who was proven before.
   * @param end called at most once, at any time until `close` is called, with the error that a request would get: the token
   * was revoked, or has expired, or this node could not tell for too long. It tells the client, and waits for nobody
   */
  open(user: ProvenUser, end: (refusal: ServiceError) => void, kind: SessionKind): Session;
}

const done = (): Promise<void> => Promise.resolve();

/** Where nothing ends access: every session lasts until one of its two sides closes it. */
export const UNWATCHED: Sessions = {
  open: () => ({ open: true, requireOpen: done, whenOpen: async () => true, renew: done, close: () => undefined }),
};
