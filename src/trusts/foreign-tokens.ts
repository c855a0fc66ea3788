import type * as Jose from 'jose';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { type JsonObject, own, readCompactJws, readJsonObject, type UnverifiedJws } from '../lib/compact-jws.ts';
import {
  CLOCK_LEEWAY_SECONDS,
  claimAt,
  type ForeignToken,
  type Refuse,
  readForeignToken,
  requirePurpose,
} from './foreign-token.ts';
import { fillIn, issuerIn } from './issuers.ts';
import type { KeySets } from './key-sets.ts';
import { audiencesFor, type Purpose, type Trust } from './trust.ts';

interface Uses {
  /** The enabled ones, in the order in which they are asked. */
  trusts: () => readonly Trust[];
  keySets: Pick<KeySets, 'find'>;
  clock: Clock;
  /** Origin of this server, without a slash at the end. */
  endpoint: string;
}

/** A token of the right form, and the trust that it would have to be accepted by. */
interface Candidate {
  readonly trust: Trust;
  readonly issuer: string;
  /** The tenant that the issuer stands for. */
  readonly issuerTenant: string | undefined;
}

/** Entra lists up to two hundred groups in a token. */
const LONGEST_TOKEN = 16 * 1024;
/** RFC 7519, section 5.1, and RFC 9068, section 2.1. */
const TYPES = ['JWT', 'at+jwt'];

/** Verifies tokens that somebody else issued. */
export class ForeignTokens {
  readonly #uses: Uses;

  constructor(uses: Uses) {
    this.#uses = uses;
  }

  /**
   * Verifies a token by the trusts that name its issuer; the first that accepts it decides.
   * @param refusal the error of the route: on the data plane `Denied`, for exchanges `InvalidAccessToken`
   * @throws ServiceError of that name, with a reason `foreign.…` of the last trust that was asked;
   * `ProviderUnavailable` when one could not tell and no other accepts
   */
  async verify(jwt: string, purpose: Purpose, refusal: 'Denied' | 'InvalidAccessToken'): Promise<ForeignToken> {
    const refuse: Refuse = (reason, detail) => new ServiceError(refusal, { reason, detail });
    const malformed = (detail: string) => refuse('foreign.malformed', detail);
    const jws = readCompactJws(jwt, { longest: LONGEST_TOKEN, types: TYPES, refusal: malformed });
    // Not verified yet: it only says which trusts to ask, each of which decides by what is configured.
    const claims = readJsonObject(jws.payload, 'payload', malformed);
    let refused = refuse('foreign.issuer', 'no enabled trust names the issuer');
    for (const candidate of this.#candidates(own(claims, 'iss'))) {
      try {
        return await this.#verifyBy(candidate, jwt, jws, claims, purpose, refuse);
      } catch (cause) {
        if (!(cause instanceof ServiceError)) throw cause;
        if (refused.error !== 'ProviderUnavailable') refused = cause;
      }
    }
    throw refused;
  }

  #candidates(issuer: unknown): Candidate[] {
    if (typeof issuer !== 'string') return [];
    const endpoint = this.#uses.endpoint;
    return this.#uses.trusts().flatMap((trust) => {
      const found = issuerIn(trust.definition, issuer, endpoint);
      return found ? [{ trust, issuer, issuerTenant: found.tenantId }] : [];
    });
  }

  async #verifyBy(
    { trust, issuer, issuerTenant }: Candidate,
    jwt: string,
    { header }: UnverifiedJws,
    claims: JsonObject,
    purpose: Purpose,
    refuse: Refuse,
  ): Promise<ForeignToken> {
    const { trusts, keySets, clock, endpoint } = this.#uses;
    const algorithm = trust.definition.algorithms.find((name) => name === header.alg);
    if (!algorithm) throw refuse('foreign.algorithm', 'the trust does not allow the algorithm');
    const key = await keySets.find(trust, issuerTenant ?? claimedTenant(trust, claims, refuse), header.kid);
    if (!key) throw refuse('foreign.keyUnknown', 'no key of the issuer has this kid');
    if (!key.algorithms.includes(algorithm)) throw refuse('foreign.algorithm', 'the key is for another algorithm');

    const audience = audiencesFor(trust.definition, purpose).flatMap((name) => {
      const bare = fillIn(name, { endpoint }).replace(/\/$/, '');
      return [bare, `${bare}/`];
    });
    const nowMs = clock.now();
    const payload = await verifyByLibrary(jwt, key.publicKey, refuse, {
      algorithms: [algorithm],
      issuer,
      // Of several audiences one must be ours (RFC 7519, section 4.1.3): Keycloak always names more than one.
      audience,
      requiredClaims: ['exp', 'iat'],
      currentDate: new Date(nowMs),
      // For nbf; exp is looked at again, without leeway.
      clockTolerance: CLOCK_LEEWAY_SECONDS,
    });
    const token = readForeignToken(payload, { trust, issuerTenant, nowMs }, refuse);
    requirePurpose(token, purpose, refuse);
    // Its issuer may have taken seconds to give the key.
    const isSame = trusts().some(({ id, version }) => id === trust.id && version === trust.version);
    if (!isSame) throw refuse('trust.changed', 'while the keys of the issuer were read');
    return token;
  }
}

/** The tenant by whose key the token has to be signed, for providers with an address per tenant. */
function claimedTenant({ definition }: Trust, claims: JsonObject, refuse: Refuse): string | undefined {
  const { metadata, keySet = metadata, tenants } = definition;
  if (!keySet.includes('{tenantId}')) return undefined;
  const said = definition.claims.tenantId === null ? tenants[0] : claimAt(claims, definition.claims.tenantId);
  const tenantId = tenants.find((tenant) => typeof said === 'string' && tenant === said.toLowerCase());
  if (tenantId === undefined) throw refuse('foreign.tenant', 'the trust does not name the tenant');
  return tenantId;
}

let library: Promise<typeof Jose> | undefined;

/** @returns the payload. @throws what `refuse` makes */
async function verifyByLibrary(
  jwt: string,
  key: Jose.CryptoKey | Jose.KeyObject,
  refuse: Refuse,
  options: Jose.JWTVerifyOptions,
): Promise<JsonObject> {
  // Loaded with the first token: 46 ms and 14 MB that a server without trusts has no use for.
  library ??= import('jose');
  const { jwtVerify, errors } = await library;
  try {
    return (await jwtVerify(jwt, key, options)).payload;
  } catch (cause) {
    if (cause instanceof errors.JWTExpired) throw refuse('foreign.expired', 'exp is not in the future');
    if (cause instanceof errors.JWTClaimValidationFailed) throw claimRefusal(cause, refuse);
    if (cause instanceof errors.JWSSignatureVerificationFailed) {
      throw refuse('foreign.signature', 'the signature does not match the key that the token names');
    }
    if (cause instanceof errors.JOSEError) throw refuse('foreign.malformed', cause.code);
    throw cause;
  }
}

/** Reasons for the claims whose values the library compares. */
const COMPARED = { iss: 'foreign.issuer', aud: 'foreign.audience', nbf: 'foreign.notYetValid' } as const;

function claimRefusal({ claim, reason, payload }: Jose.errors.JWTClaimValidationFailed, refuse: Refuse): ServiceError {
  const compared = Object.entries(COMPARED).find(([name]) => name === claim && reason === 'check_failed');
  const { aud } = payload;
  const isAudience = typeof aud === 'string' || (Array.isArray(aud) && aud.every((name) => typeof name === 'string'));
  if (compared && (claim !== 'aud' || isAudience))
    return refuse(compared[1], `the claim ${claim} is not as configured`);
  return refuse('foreign.claims', `the claim ${claim} is missing or malformed`);
}
