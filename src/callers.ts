import type { Scope } from './capabilities/tables.ts';

/** The one directory that operators, and in dev mode the applications and users of the issuer, come from. */
export const HOME_TENANT = '5e1f0057-0000-4000-8000-00000000007e';

/** The immutable GUID of a resource, lower case; the same in ids, in tokens and in ARM's `immutableResourceId`. */
export type ResourceId = string & { readonly is: 'ResourceId' };

/** A raw identity id as it travels on the wire, such as `8:acs:<resourceId>_<suffix>`. */
export type IdentityId = string & { readonly is: 'IdentityId' };

/** The GUID of a trust: whose tokens, other than our own, are trusted. */
export type TrustId = string & { readonly is: 'TrustId' };

/** Names an assignment within a resource: `entra/<objectId>`, `teamsExtension/<tenantId>/<objectId>`. */
export type AssignmentId = string & { readonly is: 'AssignmentId' };

export const KEY_SLOTS = ['primary', 'secondary'] as const;
/** Which of a resource's two access keys. */
export type KeySlot = (typeof KEY_SLOTS)[number];

/** Somebody who proved nothing. */
export interface Nobody {
  readonly kind: 'nobody';
}

/** An access key in one of its versions: a token that it asked for dies with that version. */
export interface AccessKeyCredential {
  readonly kind: 'accessKey';
  readonly slot: KeySlot;
  readonly version: number;
}

/** A trust in one of its versions: a token that came through it dies when the trust is disabled or narrowed. */
export interface TrustCredential {
  readonly kind: 'trust';
  readonly trustId: TrustId;
  readonly version: number;
}

/** A program that proved that it may act for a whole resource, and for no other. */
export interface ServiceCaller {
  readonly kind: 'service';
  readonly resourceId: ResourceId;
  /** The very proof that came with the request. */
  readonly credential: AccessKeyCredential | TrustCredential;
}

/** A person, proven by an access token that is valid now. */
export interface UserCaller {
  readonly kind: 'user';
  readonly resourceId: ResourceId;
  readonly identityId: IdentityId;
  readonly scopes: readonly Scope[];
  /** Position in the revocation log at which the token was issued; writes compare with it once more. */
  readonly position: number;
  readonly expiresOnMs: number;
}

/** A user of somebody else's directory, as the token says that its issuer gave for a client application. */
export interface PresentedUser {
  readonly credential: TrustCredential;
  /** GUID of the directory, lower case. */
  readonly tenantId: string;
  /** GUID of the user, lower case. */
  readonly objectId: string;
  /** The client application through which the token was got. */
  readonly applicationId: string;
  /** What the user permitted that application, as the issuer spells it. */
  readonly permissions: readonly string[];
  /** Object ids of groups, as far as the token names them. */
  readonly groups: readonly string[];
  readonly issuedAtSeconds: number;
  readonly expSeconds: number;
  /** The issuer's own name for the token, where it has one. */
  readonly tokenId: string | undefined;
}

/** Such a user, asking a resource for an access token of ours. */
export interface EntraUserCaller {
  readonly kind: 'entraUser';
  readonly resourceId: ResourceId;
  readonly user: PresentedUser;
}

/** The person who runs this server, or whom a trust lets manage some of its resources. */
export interface OperatorCaller {
  readonly kind: 'operator';
  readonly over: 'everything' | ReadonlySet<ResourceId>;
}

/** Who is asking, after proof. */
export type Caller = Nobody | ServiceCaller | UserCaller | EntraUserCaller | OperatorCaller;

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

/** A socket, or a request whose answer waits for something to happen. */
export type SessionKind = 'socket' | 'parked';
