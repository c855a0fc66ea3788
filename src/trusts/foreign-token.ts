import type { Reason, ServiceError } from '../errors.ts';
import { type JsonObject, own } from '../lib/compact-jws.ts';
import { isGuid } from '../lib/guid.ts';
import type { Purpose, Trust } from './trust.ts';

/** What a token of somebody else's proves, by a trust. Ids that are GUIDs are in lower case, others as they are. */
export interface ForeignToken {
  readonly trust: Trust;
  /** The directory; undefined where the trust names none and the token does not say. */
  readonly tenantId: string | undefined;
  /** A user or a service principal. */
  readonly objectId: string;
  /** The client application that asked for the token. */
  readonly applicationId: string | undefined;
  /** Permissions that a user gave to the application. */
  readonly scopes: readonly string[];
  readonly roles: readonly string[];
  readonly groups: readonly string[];
  /** An application acts for itself: there is no scopes claim, and nothing else says that it is a user's token. */
  readonly isApplication: boolean;
  readonly issuedAtSeconds: number;
  readonly expSeconds: number;
  /** Entra's `uti`, which its logs name the token by. */
  readonly tokenId: string | undefined;
  /** Entra's `pft`, which the original passes on in the tokens that it issues. */
  readonly platform: string | undefined;
}

/** Makes what is thrown, from a reason and a few words that hold nothing of the token. */
export type Refuse = (reason: Reason, detail: string) => ServiceError;

/** How far the issuer's clock may be ahead of ours (management-cli-connector, section 6.1). There is no grace for `exp`. */
export const CLOCK_LEEWAY_SECONDS = 5 * 60;

/** Claims that only ID tokens have (OpenID Connect Core, sections 2 and 3.3.2.11). */
const ID_TOKEN_CLAIMS = ['nonce', 'at_hash', 'c_hash'];
/** Values of the claim `typ` by which Keycloak tells its tokens apart, other than `Bearer`. */
const OTHER_TYPES = /^(?:id|refresh|offline|logout|dpop)$/i;
/** The end of the year 9999: later instants are none to JavaScript. */
const LATEST_SECONDS = 253_402_300_799;

/**
 * Reads the claims of a token whose signature, issuer and audience are verified: exact types, own properties, and no
 * contradiction between claims that say the same.
 * @param issuerTenant the tenant that the issuer stands for
 * @throws what `refuse` makes: `foreign.claims`, `foreign.kind`, `foreign.expired`, `foreign.notYetValid`, `foreign.tenant`
 */
export function readForeignToken(
  payload: JsonObject,
  { trust, issuerTenant, nowMs }: { trust: Trust; issuerTenant: string | undefined; nowMs: number },
  refuse: Refuse,
): ForeignToken {
  const { claims } = trust.definition;
  const wrong = (claim: string): ServiceError =>
    refuse('foreign.claims', `the claim ${claim} is missing, malformed or contradicts another`);
  const text = (claim: string): string | undefined => {
    const value = claimAt(payload, claim);
    if (value === undefined) return undefined;
    if (typeof value !== 'string' || value === '') throw wrong(claim);
    return isGuid(value) ? value.toLowerCase() : value;
  };
  const texts = (claim: string): string[] => {
    const value = claimAt(payload, claim);
    if (value === undefined) return [];
    if (!isTexts(value)) throw wrong(claim);
    return value;
  };

  requireRegisteredTypes(payload, wrong);
  requireAccessToken(payload, refuse);
  const { exp, iat } = times(payload, nowMs, wrong, refuse);

  const scopes = claimAt(payload, claims.scopes);
  if (scopes !== undefined && typeof scopes !== 'string' && !isTexts(scopes)) throw wrong(claims.scopes);
  // Entra's own word for what a token is, where it was asked to say.
  const kind = text('idtyp');
  if (kind === 'app' && scopes !== undefined) throw wrong('idtyp');

  const tenantId = tenantOf(trust, claims.tenantId === null ? undefined : text(claims.tenantId), issuerTenant, {
    wrong: () => wrong(claims.tenantId ?? 'iss'),
    refuse,
  });
  const objectId = text(claims.objectId);
  if (objectId === undefined) throw wrong(claims.objectId);

  return {
    trust,
    tenantId,
    objectId,
    applicationId: applicationOf(claims.applicationId, text, wrong),
    scopes: typeof scopes === 'string' ? scopes.split(' ').filter((scope) => scope !== '') : (scopes ?? []),
    roles: texts(claims.roles),
    groups: texts(claims.groups),
    isApplication: scopes === undefined && kind !== 'user',
    issuedAtSeconds: iat,
    expSeconds: exp,
    tokenId: text('uti'),
    platform: text('pft'),
  };
}

/**
 * Insists that a token may be presented for a purpose, where that is a user's.
 * @throws what `refuse` makes: `foreign.kind`, `foreign.tenant`, `foreign.claims`, `foreign.application`
 */
export function requirePurpose(token: ForeignToken, purpose: Purpose, refuse: Refuse): void {
  if (purpose === 'service' || purpose === 'management') return;
  const { tenants, applications } = token.trust.definition;
  const { tenantId, objectId, applicationId } = token;
  if (token.isApplication)
    throw refuse('foreign.kind', 'it is a token of an application, and a token of a user is needed');
  if (tenants.length === 0 || tenantId === undefined) throw refuse('foreign.tenant', 'the trust names no tenants');
  if (!isGuid(objectId)) throw refuse('foreign.claims', 'the object id is not a GUID');
  if (applicationId === undefined) throw refuse('foreign.claims', 'no claim names the application');
  const named = applications.some(
    (name) => name === '*' || (isGuid(name) ? name.toLowerCase() : name) === applicationId,
  );
  if (!named) throw refuse('foreign.application', 'the trust does not name the application');
}

/** Reads a claim by its name, or by a JSON Pointer (RFC 6901); undefined where there is none. */
export function claimAt(payload: JsonObject, name: string): unknown {
  if (!name.startsWith('/')) return own(payload, name);
  let value: unknown = payload;
  for (const step of name.slice(1).split('/')) {
    if (typeof value !== 'object' || value === null) return undefined;
    // The one property of a list that is not an element of it.
    if (Array.isArray(value) && step === 'length') return undefined;
    value = own(value as JsonObject, step.replaceAll('~1', '/').replaceAll('~0', '~'));
  }
  return value;
}

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((entry) => typeof entry === 'string');

/** The types of RFC 7519, section 4.1, for those claims whose values others compare or nobody reads. */
function requireRegisteredTypes(payload: JsonObject, wrong: (claim: string) => ServiceError): void {
  for (const claim of ['iss', 'sub', 'jti']) {
    const value = own(payload, claim);
    if (value !== undefined && typeof value !== 'string') throw wrong(claim);
  }
  const aud = own(payload, 'aud');
  if (typeof aud !== 'string' && !isTexts(aud)) throw wrong('aud');
}

function requireAccessToken(payload: JsonObject, refuse: Refuse): void {
  const type = own(payload, 'typ');
  const isOther = typeof type === 'string' && OTHER_TYPES.test(type);
  if (isOther || ID_TOKEN_CLAIMS.some((claim) => Object.hasOwn(payload, claim))) {
    throw refuse('foreign.kind', 'it is not an access token');
  }
  // Its caller would have to prove possession of a key (RFC 7800), which nothing here asks for.
  if (Object.hasOwn(payload, 'cnf')) throw refuse('foreign.kind', 'it is bound to a key, so it is not a bearer token');
}

function times(
  payload: JsonObject,
  nowMs: number,
  wrong: (claim: string) => ServiceError,
  refuse: Refuse,
): { exp: number; iat: number } {
  const [exp, iat] = [own(payload, 'exp'), own(payload, 'iat')];
  const nbf = Object.hasOwn(payload, 'nbf') ? payload.nbf : iat;
  if (!isInstant(exp)) throw wrong('exp');
  if (!isInstant(iat) || iat >= exp) throw wrong('iat');
  if (!isInstant(nbf)) throw wrong('nbf');
  if (exp * 1000 <= nowMs) throw refuse('foreign.expired', 'exp is not in the future');
  if (Math.max(iat, nbf) * 1000 > nowMs + CLOCK_LEEWAY_SECONDS * 1000) {
    throw refuse('foreign.notYetValid', 'iat or nbf is in the future');
  }
  return { exp, iat };
}

/** Whole seconds since 1970. */
const isInstant = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= LATEST_SECONDS;

function tenantOf(
  { definition: { tenants, claims } }: Trust,
  said: string | undefined,
  issuerTenant: string | undefined,
  { wrong, refuse }: { wrong: () => ServiceError; refuse: Refuse },
): string | undefined {
  if (claims.tenantId === null) return issuerTenant ?? tenants[0];
  if (said === undefined && tenants.length > 0) throw wrong();
  if (said !== undefined && tenants.length > 0 && !tenants.includes(said)) {
    throw refuse('foreign.tenant', 'the trust does not name the tenant');
  }
  // Otherwise one tenant could speak for another.
  if (issuerTenant !== undefined && said !== issuerTenant) throw wrong();
  return said;
}

function applicationOf(
  claim: string | null,
  text: (claim: string) => string | undefined,
  wrong: (claim: string) => ServiceError,
): string | undefined {
  if (claim !== null) return text(claim);
  // Entra's tokens of version 2 and 1.
  const [azp, appid] = [text('azp'), text('appid')];
  if (azp !== undefined && appid !== undefined && azp !== appid) throw wrong('azp');
  return azp ?? appid;
}
