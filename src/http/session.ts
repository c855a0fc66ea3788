import type { AssignmentId, IdentityId, KeySlot, ResourceId, TrustId, UserCaller } from '../callers.ts';
import type { Reason } from '../errors.ts';

/** What decides whether an access token still holds. Plain values, so that a ticket can carry them to another node. */
export interface TokenFacts {
  readonly resourceId: ResourceId;
  readonly identityId: IdentityId;
  /** The access key under which it was issued; undefined when none was involved. */
  readonly keySlot: KeySlot | undefined;
  /** The trust through which it was issued; undefined when none was involved. */
  readonly trustId: TrustId | undefined;
  readonly assignmentId: AssignmentId | undefined;
  /** The key that signed it. */
  readonly kid: string;
  /** Position of the revocation log at which it was issued. */
  readonly position: number;
  readonly issuedAtSeconds: number;
}

/** A user, with what is to be known of the token that proved them. */
export interface ProvenUser {
  readonly caller: UserCaller;
  readonly token: TokenFacts;
}

/** Why a session was ended from outside: its token was revoked, or has expired. */
export interface SessionEnd {
  readonly reason: Reason;
  /** A few words more, for the log. Never a secret. */
  readonly detail?: string | undefined;
}

/** Something that stays open longer than a request: a socket, or a parked answer. It ends with the token of its user. */
export interface Session {
  /** It has ended by itself. May be called more than once, also after `end` was. */
  close(): void;
}

/** Watches over sessions and ends those whose access has ended. */
export interface Sessions {
  /**
   * Begins a session of a user who was proven just before.
   * @param end called at most once: at any time until `close` is called, also before this returns, when the token has ended
   * since it was verified. It does its work at once: when it has returned, nothing more is sent
   */
  open(user: ProvenUser, end: (why: SessionEnd) => void): Session;
}

/** Where nothing ends access: every session lasts until one of its two sides closes it. */
export const UNWATCHED: Sessions = { open: () => ({ close: () => undefined }) };
