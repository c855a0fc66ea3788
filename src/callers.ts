import type { Scope } from './capabilities/tables.ts';

/** The one directory that operators, and in dev mode the applications and users of the issuer, come from. */
export const HOME_TENANT = '5e1f0057-0000-4000-8000-00000000007e';

/** The immutable GUID of a resource, lower case; the same in ids, in tokens and in ARM's `immutableResourceId`. */
export type ResourceId = string & { readonly is: 'ResourceId' };

/** A raw identity id as it travels on the wire, such as `8:acs:<resourceId>_<suffix>`. */
export type IdentityId = string & { readonly is: 'IdentityId' };

export const KEY_SLOTS = ['primary', 'secondary'] as const;
/** Which of a resource's two access keys. */
export type KeySlot = (typeof KEY_SLOTS)[number];

/** Somebody who proved nothing. */
export interface Nobody {
  readonly kind: 'nobody';
}

/** A program that holds one of a resource's access keys: it acts for that whole resource and for no other. */
export interface ServiceCaller {
  readonly kind: 'service';
  readonly resourceId: ResourceId;
  /** The very key that signed the request. A token issued by this request dies with this version of it. */
  readonly accessKey: { readonly slot: KeySlot; readonly version: number };
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

/** The person who runs this server. */
export interface OperatorCaller {
  readonly kind: 'operator';
}

/** Who is asking, after proof. */
export type Caller = Nobody | ServiceCaller | UserCaller | OperatorCaller;
