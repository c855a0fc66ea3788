import { hash } from 'node:crypto';
import type { AssignmentId, IdentityId, KeySlot, ResourceId, TokenFacts, TrustId } from '../callers.ts';
import type { Reason } from '../errors.ts';

/** Something that ends tokens. Each takes one number of the revocation log. */
export type RevocationEvent =
  | { readonly kind: 'identity'; readonly resourceId: ResourceId; readonly identityId: IdentityId }
  | { readonly kind: 'identityDeleted'; readonly resourceId: ResourceId; readonly identityId: IdentityId }
  /** The preview's `tokensValidFrom`: tokens issued before an instant. Coarse by nature, it is the one that looks at `iat`. */
  | {
      readonly kind: 'validFrom';
      readonly resourceId: ResourceId;
      readonly identityId: IdentityId;
      readonly validFromMs: number;
    }
  /** An access key was regenerated: tokens issued under the former value of that slot. */
  | { readonly kind: 'key'; readonly resourceId: ResourceId; readonly slot: KeySlot }
  | { readonly kind: 'resource'; readonly resourceId: ResourceId }
  /** A trust was disabled, narrowed or deleted: tokens that came through it. */
  | { readonly kind: 'trust'; readonly trustId: TrustId }
  /** A user, group or tenant may not come in any more, or through fewer applications. */
  | { readonly kind: 'assignment'; readonly resourceId: ResourceId; readonly assignmentId: AssignmentId }
  | { readonly kind: 'signingKey'; readonly kid: string }
  | { readonly kind: 'all' };

/** A bound on the instant of issue: tokens of the identity from before are void. */
export type Bound = Omit<Extract<RevocationEvent, { kind: 'validFrom' }>, 'kind'>;

export type RevocationKind = RevocationEvent['kind'];

/** An event with its place in the log. */
export type LoggedEvent = RevocationEvent & { readonly seq: number };

/** What has to be known of a token to tell whether an event ended it. All of it comes from verified claims. */
export interface RevocableToken extends TokenFacts {
  /** {@link fingerprint} of the identity. */
  readonly fingerprint: Uint32Array;
  /** {@link assignmentFingerprint}; undefined when none was involved. */
  readonly assignmentFingerprint: Uint32Array | undefined;
}

/** An event that ended a token. */
export interface Verdict {
  readonly kind: RevocationKind;
  /** Undefined when the rows do not tell which event it was. */
  readonly seq: number | undefined;
  /** Of a bound on the instant of issue. */
  readonly validFromMs?: number;
}

export const REASON_OF = {
  identity: 'revoked.identity',
  identityDeleted: 'revoked.identityDeleted',
  validFrom: 'revoked.validFrom',
  key: 'revoked.key',
  resource: 'revoked.resource',
  trust: 'revoked.trust',
  assignment: 'revoked.assignment',
  signingKey: 'revoked.signingKey',
  all: 'revoked.all',
} as const satisfies Record<RevocationKind, Reason>;

/** What an event is about within its resource, or by itself. */
export function subjectOf(event: RevocationEvent): string | undefined {
  if ('identityId' in event) return event.identityId;
  if ('slot' in event) return event.slot;
  if ('trustId' in event) return event.trustId;
  if ('assignmentId' in event) return event.assignmentId;
  return 'kid' in event ? event.kid : undefined;
}

/** 128 bits that stand for an identity of a resource in memory: a Teams user has the same id in all of them. */
export const fingerprint = (resourceId: ResourceId, id: IdentityId): Uint32Array => digest(`${resourceId} ${id}`);

/** The same for an assignment. No identity has the same: its text begins with the GUID of a resource. */
export const assignmentFingerprint = (resourceId: ResourceId, id: AssignmentId): Uint32Array =>
  digest(`assignment ${resourceId} ${id}`);

/** Adds the fingerprints, so that they are computed once per token. */
export const revocable = (token: TokenFacts): RevocableToken => ({
  ...token,
  fingerprint: fingerprint(token.resourceId, token.identityId),
  assignmentFingerprint: token.assignmentId && assignmentFingerprint(token.resourceId, token.assignmentId),
});

function digest(text: string): Uint32Array {
  // By way of a string, since `hash` makes a buffer of its own, with its own memory, for each that it returns.
  const bytes = Buffer.from(hash('sha256', text, 'latin1'), 'latin1');
  return Uint32Array.of(bytes.readUInt32LE(0), bytes.readUInt32LE(4), bytes.readUInt32LE(8), bytes.readUInt32LE(12));
}
