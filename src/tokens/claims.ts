import {
  type AssignmentId,
  type IdentityId,
  KEY_SLOTS,
  type KeySlot,
  type PresentedUser,
  type ResourceId,
  type TrustId,
} from '../callers.ts';
import { isScope } from '../capabilities/capabilities.ts';
import type { Scope } from '../capabilities/tables.ts';
import { type Reason, ServiceError } from '../errors.ts';
import { type JsonObject, own } from '../lib/compact-jws.ts';
import { GUID } from '../lib/guid.ts';

/**
 * What a user's token says, in the order in which it is written: the original's claims in the original's order
 * (identity-protocol, section 5.2), then ours. Clients read some of them without verifying anything.
 */
export interface TokenClaims {
  /** The identity id without `8:`. Chat and calling clients learn from it who they are. */
  readonly skypeid: string;
  /** The same for all scopes; what a token permits is in acsScope. Another number for Teams users. */
  readonly scp: typeof SCP | typeof TEAMS_SCP;
  /** `iat` once more, as text; for Teams users that of the token they presented. */
  readonly csi: string;
  /** Seconds since 1970. */
  readonly exp: number;
  /** Region of the resource, such as `amer`. */
  readonly rgn: string;
  /** The scopes as asked, in the order asked, with commas and without blanks. */
  readonly acsScope: string;
  readonly resourceId: ResourceId;
  /** Data location of the resource, such as `unitedstates`. Not in tokens of Teams users. */
  readonly resourceLocation?: string;
  /** Of Teams users: their directory, and what is known of the token they presented, as text. */
  readonly tid?: string;
  readonly aad_iat?: string;
  readonly aad_uti?: string;
  readonly aad_appid?: string;
  /** Seconds since 1970. */
  readonly iat: number;
  /** Position in the revocation log at which it was issued (security-and-reliability, section 3.3). */
  readonly rv: number;
  /** Slot of the access key that asked for it; absent when none was involved. */
  readonly ks?: KeySlot;
  /** The trust through which it was issued; absent when none was involved. */
  readonly tr?: TrustId;
  /** The assignment by which it was issued; absent when none was involved. */
  readonly as?: AssignmentId;
  /** Names this one token in logs and audit. */
  readonly jti: string;
  readonly iss: string;
  /** The resource id, for libraries that want an audience. */
  readonly aud: ResourceId;
  /** The identity id. */
  readonly sub: IdentityId;
}

/** What the claims of a token are written from. */
export interface TokenFacts {
  identityId: IdentityId;
  resourceId: ResourceId;
  scopes: readonly Scope[];
  region: string;
  location: string;
  issuedAtMs: number;
  /** Whole seconds. */
  lifetimeSeconds: number;
  position: number;
  keySlot: KeySlot | undefined;
  trustId: TrustId | undefined;
  assignmentId: AssignmentId | undefined;
  /** The Teams user whose token was presented, for an id that names no resource. */
  teamsUser: PresentedUser | undefined;
  issuer: string;
  /** 1 to 64 characters. */
  tokenId: string;
}

/** What a token proves, once its signature is verified and its claims are read. */
export interface CheckedClaims {
  readonly identityId: IdentityId;
  readonly resourceId: ResourceId;
  readonly scopes: readonly Scope[];
  /** Position in the revocation log. */
  readonly position: number;
  readonly keySlot: KeySlot | undefined;
  readonly trustId: TrustId | undefined;
  readonly assignmentId: AssignmentId | undefined;
  /** Seconds since 1970. Ask {@link requireUnexpired} again on every use. */
  readonly expSeconds: number;
  readonly iatSeconds: number;
  readonly tokenId: string;
  readonly issuer: string;
}

interface Expectations {
  nowMs: number;
  /** The longest life this server gives. */
  lifetimeMinutesLongest: number;
  isIssuer: (iss: string) => boolean;
}

const SCP = 1792;
const TEAMS_SCP = 1024;

/** How far the clock of the node that issued may be ahead of ours. There is no such grace for `exp`. */
const CLOCK_LEEWAY_SECONDS = 5;

const LONGEST_TOKEN_ID = 64;

const RESOURCE_ID = new RegExp(`^${GUID}$`);
/** Communication users of all clouds, also those that came through Entra (`…_wf_<tenant>_<object>`). */
const ACS_ID = new RegExp(`^8:(?:acs|dod-acs|gcch-acs):(${GUID})(?:_[0-9A-Za-z-]{1,64}){1,3}$`);
const TEAMS_ID = new RegExp(`^8:orgid:${GUID}$`);
const TRUST_ID = RESOURCE_ID;
const ASSIGNMENT_ID = new RegExp(`^(?:entra|teamsExtension/${GUID})/${GUID}$`);

const refused = (reason: Reason, detail: string) => new ServiceError('TokenRefused', { reason, detail });
const wrong = (claim: string) =>
  refused('token.claims', `the claim ${claim} is missing, malformed or contradicts another`);

/** Writes the claims of a token, in the wire's order. `exp − iat` is the lifetime exactly, both in whole seconds. */
export function writeClaims(facts: TokenFacts): TokenClaims {
  const iat = Math.floor(facts.issuedAtMs / 1000);
  const { teamsUser } = facts;
  return {
    skypeid: withoutPrefix(facts.identityId),
    scp: teamsUser ? TEAMS_SCP : SCP,
    csi: String(teamsUser ? teamsUser.issuedAtSeconds : iat),
    exp: iat + facts.lifetimeSeconds,
    rgn: facts.region,
    acsScope: facts.scopes.join(','),
    resourceId: facts.resourceId,
    ...(teamsUser ? teamsClaims(teamsUser) : { resourceLocation: facts.location }),
    iat,
    rv: facts.position,
    ...(facts.keySlot && { ks: facts.keySlot }),
    ...(facts.trustId && { tr: facts.trustId }),
    ...(facts.assignmentId && { as: facts.assignmentId }),
    jti: facts.tokenId,
    iss: facts.issuer,
    aud: facts.resourceId,
    sub: facts.identityId,
  };
}

const teamsClaims = ({ tenantId, issuedAtSeconds, tokenId, applicationId }: PresentedUser) => ({
  tid: tenantId,
  aad_iat: String(issuedAtSeconds),
  ...(tokenId !== undefined && { aad_uti: tokenId }),
  aad_appid: applicationId,
});

/**
 * Reads the claims of a token whose signature is verified: exact types, own properties, and no contradiction between
 * claims that say the same. Claims that are not known are ignored, so that a newer node may add some.
 * @throws ServiceError `TokenRefused` with reason `token.claims`, `token.issuer`, `token.expired` or
 * `token.notYetValid`
 */
export function readClaims(payload: JsonObject, expected: Expectations): CheckedClaims {
  const iss = own(payload, 'iss');
  if (typeof iss !== 'string') throw wrong('iss');
  if (!expected.isIssuer(iss)) throw refused('token.issuer', 'iss does not name this server');

  const { exp, iat } = times(payload, expected);
  const { identityId, resourceId } = owner(payload, iat);

  const rv = own(payload, 'rv');
  if (!isWholeNumber(rv)) throw wrong('rv');
  const jti = own(payload, 'jti');
  if (typeof jti !== 'string' || jti === '' || jti.length > LONGEST_TOKEN_ID) throw wrong('jti');

  return {
    identityId,
    resourceId,
    scopes: scopes(payload),
    position: rv,
    keySlot: keySlot(payload),
    trustId: named(payload, 'tr', TRUST_ID),
    assignmentId: named(payload, 'as', ASSIGNMENT_ID),
    expSeconds: exp,
    iatSeconds: iat,
    tokenId: jti,
    issuer: iss,
  };
}

/** Insists that a token has not run out. @throws ServiceError `TokenRefused` with reason `token.expired` */
export function requireUnexpired(expSeconds: number, nowMs: number): void {
  if (expSeconds * 1000 <= nowMs) throw refused('token.expired', 'exp is not in the future');
}

function times(payload: JsonObject, { nowMs, lifetimeMinutesLongest }: Expectations): { exp: number; iat: number } {
  const exp = own(payload, 'exp');
  const iat = own(payload, 'iat');
  const nbf = Object.hasOwn(payload, 'nbf') ? payload.nbf : iat;
  if (!isWholeNumber(exp)) throw wrong('exp');
  if (!isWholeNumber(iat)) throw wrong('iat');
  if (!isWholeNumber(nbf)) throw wrong('nbf');
  const lifeSeconds = exp - iat;
  if (lifeSeconds < 1 || lifeSeconds > lifetimeMinutesLongest * 60 + CLOCK_LEEWAY_SECONDS) throw wrong('exp');
  requireUnexpired(exp, nowMs);
  if (Math.max(iat, nbf) * 1000 > nowMs + CLOCK_LEEWAY_SECONDS * 1000) {
    throw refused('token.notYetValid', 'iat or nbf is in the future');
  }
  return { exp, iat };
}

/** Whose token it is: an identity and its resource, each said more than once and the same every time. */
function owner(payload: JsonObject, iat: number): { identityId: IdentityId; resourceId: ResourceId } {
  const resourceId = own(payload, 'resourceId');
  const sub = own(payload, 'sub');
  if (typeof resourceId !== 'string' || !RESOURCE_ID.test(resourceId)) throw wrong('resourceId');
  if (own(payload, 'aud') !== resourceId) throw wrong('aud');
  if (typeof sub !== 'string') throw wrong('sub');
  const acs = ACS_ID.exec(sub);
  if (acs ? acs[1] !== resourceId : !TEAMS_ID.test(sub)) throw wrong('sub');
  if (own(payload, 'skypeid') !== withoutPrefix(sub)) throw wrong('skypeid');
  if (own(payload, 'scp') !== (acs ? SCP : TEAMS_SCP)) throw wrong('scp');
  if (own(payload, 'csi') !== (acs ? String(iat) : own(payload, 'aad_iat'))) throw wrong('csi');
  requireName(payload, 'rgn');
  requireName(payload, acs ? 'resourceLocation' : 'tid');
  return { identityId: sub as IdentityId, resourceId: resourceId as ResourceId };
}

function scopes(payload: JsonObject): Scope[] {
  const acsScope = own(payload, 'acsScope');
  if (typeof acsScope !== 'string') throw wrong('acsScope');
  const names = acsScope.split(',');
  if (!names.every(isScope) || new Set(names).size !== names.length) throw wrong('acsScope');
  return names;
}

function keySlot(payload: JsonObject): KeySlot | undefined {
  const ks = own(payload, 'ks');
  const slot = KEY_SLOTS.find((name) => name === ks);
  // JSON has no undefined, so a claim that is there and is no slot is wrong, null included.
  if (ks !== undefined && slot === undefined) throw wrong('ks');
  return slot;
}

/** A claim that may be missing, and otherwise has this form. */
function named<Name extends string>(payload: JsonObject, claim: 'tr' | 'as', form: RegExp): Name | undefined {
  const name = own(payload, claim);
  if (name === undefined) return undefined;
  if (typeof name !== 'string' || !form.test(name)) throw wrong(claim);
  return name as Name;
}

function requireName(payload: JsonObject, claim: 'rgn' | 'resourceLocation' | 'tid'): void {
  const name = own(payload, claim);
  if (typeof name !== 'string' || name === '') throw wrong(claim);
}

/** Not negative, and small enough that a JavaScript number holds it exactly. */
const isWholeNumber = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const withoutPrefix = (identityId: string) => identityId.slice('8:'.length);
