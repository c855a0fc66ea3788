import type {
  AssignmentId,
  IdentityId,
  KeySlot,
  ResourceId,
  TokenFacts,
  TrustId,
  UserCaller,
} from '../../../src/callers.ts';
import { ServiceError } from '../../../src/errors.ts';
import {
  type LoggedEvent,
  REASON_OF,
  type RevocableToken,
  type RevocationEvent,
  type RevocationKind,
  revocable,
} from '../../../src/revocation/event.ts';
import { RevocationState } from '../../../src/revocation/revocation-state.ts';
import type { RevocationListener } from '../../../src/revocation/revocations.ts';
import type { AccessTokens } from '../../../src/tokens/access-tokens.ts';

export const RESOURCE = '00000000-0000-4000-8000-000000000001' as ResourceId;
export const NEIGHBOUR = '00000000-0000-4000-8000-000000000002' as ResourceId;
export const ALICE = `8:acs:${RESOURCE}_alice` as IdentityId;
export const BOB = `8:acs:${RESOURCE}_bob` as IdentityId;
export const TRUST = 'trust' as TrustId;
export const ASSIGNMENT = 'entra/somebody' as AssignmentId;

/** Seconds since 1970 at which tokens are issued, unless they say otherwise. */
export const ISSUED_AT = 1_900_000_000;

export interface TokenWish {
  resourceId?: ResourceId;
  identityId?: IdentityId;
  keySlot?: KeySlot | undefined;
  trustId?: TrustId | undefined;
  assignmentId?: AssignmentId | undefined;
  kid?: string;
  position?: number;
  issuedAtSeconds?: number;
  expSeconds?: number;
}

/** A token that every kind of event can be about. */
export const EVERYTHING: TokenWish = { keySlot: 'primary', trustId: TRUST, assignmentId: ASSIGNMENT };

/** Of each kind an event that ends {@link ALICE}'s token of {@link EVERYTHING}, and one that spares it. */
export const EVENTS: Readonly<Record<RevocationKind, { ends: RevocationEvent; spares?: RevocationEvent }>> = {
  identity: {
    ends: { kind: 'identity', resourceId: RESOURCE, identityId: ALICE },
    spares: { kind: 'identity', resourceId: RESOURCE, identityId: BOB },
  },
  identityDeleted: {
    ends: { kind: 'identityDeleted', resourceId: RESOURCE, identityId: ALICE },
    spares: { kind: 'identityDeleted', resourceId: NEIGHBOUR, identityId: ALICE },
  },
  validFrom: {
    ends: { kind: 'validFrom', resourceId: RESOURCE, identityId: ALICE, validFromMs: ISSUED_AT * 1000 + 1 },
    spares: { kind: 'validFrom', resourceId: RESOURCE, identityId: ALICE, validFromMs: ISSUED_AT * 1000 },
  },
  key: {
    ends: { kind: 'key', resourceId: RESOURCE, slot: 'primary' },
    spares: { kind: 'key', resourceId: RESOURCE, slot: 'secondary' },
  },
  resource: {
    ends: { kind: 'resource', resourceId: RESOURCE },
    spares: { kind: 'resource', resourceId: NEIGHBOUR },
  },
  trust: {
    ends: { kind: 'trust', trustId: TRUST },
    spares: { kind: 'trust', trustId: 'another' as TrustId },
  },
  assignment: {
    ends: { kind: 'assignment', resourceId: RESOURCE, assignmentId: ASSIGNMENT },
    spares: { kind: 'assignment', resourceId: NEIGHBOUR, assignmentId: ASSIGNMENT },
  },
  signingKey: {
    ends: { kind: 'signingKey', kid: 'K' },
    spares: { kind: 'signingKey', kid: 'L' },
  },
  all: { ends: { kind: 'all' } },
};

/** A user with a token that says this. Nothing is signed. */
export function userWith({ expSeconds = ISSUED_AT * 2, ...wish }: TokenWish = {}): {
  caller: UserCaller;
  token: TokenFacts;
} {
  const token = {
    resourceId: RESOURCE,
    identityId: ALICE,
    keySlot: 'primary',
    trustId: undefined,
    assignmentId: undefined,
    kid: 'K',
    position: 1,
    issuedAtSeconds: ISSUED_AT,
    ...wish,
  } as const;
  const { resourceId, identityId, position } = token;
  const caller = {
    kind: 'user',
    resourceId,
    identityId,
    scopes: [],
    position,
    expiresOnMs: expSeconds * 1000,
  } as const;
  return { caller, token };
}

/** Tells whether tokens still hold, by whatever a test says. */
export class FakeTokens implements Pick<AccessTokens, 'requireStillHeld' | 'forgotten'> {
  readonly #check: (token: RevocableToken) => Promise<void>;
  /** Signing keys and resources that are not there any more. */
  readonly gone = new Set<string>();
  /** Called when a token was found to hold, and waited for. */
  onVerified: () => Promise<void> | void = () => undefined;

  constructor(check: (token: RevocableToken) => Promise<void>) {
    this.#check = check;
  }

  async requireStillHeld(_: UserCaller, token: TokenFacts): Promise<void> {
    await this.#check(revocable(token));
    const forgotten = this.forgotten(token);
    if (forgotten) throw forgotten;
    await this.onVerified();
  }

  forgotten({ kid, resourceId }: TokenFacts): ServiceError | undefined {
    if (this.gone.has(kid)) return new ServiceError('TokenRefused', { reason: 'token.keyUnknown' });
    if (this.gone.has(resourceId)) return new ServiceError('TokenRefused', { reason: 'token.resource' });
    return undefined;
  }
}

/** Revocations of one node without a store, whose events come at the very step that a test chooses. */
export class FakeRevocations {
  readonly #state = new RevocationState(0, ISSUED_AT * 1000, 90_000_000, 2 ** 20);
  #listener: RevocationListener | undefined;
  readonly problem = undefined;

  announceTo(listener: RevocationListener): void {
    this.#listener = listener;
  }

  onConfigChanged(): void {}

  get position(): number {
    return this.#state.applied;
  }

  /** As {@link Revocations} does it: the verdict comes some promises after the question. */
  async check(token: RevocableToken): Promise<void> {
    await null;
    const verdict = this.#state.verdict(token);
    const isBound = !verdict && this.#state.needsRows(token);
    await null;
    if (verdict || isBound) throw new ServiceError('TokenRefused', { reason: REASON_OF[verdict?.kind ?? 'validFrom'] });
  }

  apply(event: RevocationEvent): void {
    const logged: LoggedEvent = { ...event, seq: this.#state.applied + 1 };
    this.#state.apply(logged, ISSUED_AT * 1000);
    this.#listener?.applied(logged);
  }
}
