import { hash } from 'node:crypto';
import type { IdentityId, ServiceCaller, UserCaller } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import type { Identities } from '../identities/identities.ts';
import { type Identity, namesNoResource } from '../identities/identity.ts';
import type { Clock } from '../lib/clock.ts';
import { randomId } from '../lib/random.ts';
import type { Events } from '../monitoring/events.ts';
import type { Resources } from '../resources/resources.ts';
import { fingerprint, type RevocableToken } from '../revocation/event.ts';
import type { Revocations } from '../revocation/revocations.ts';
import type { Database } from '../storage/database.ts';
import type { Rows } from '../storage/sql.ts';
import { type CheckedClaims, readClaims, requireUnexpired, writeClaims } from './claims.ts';
import { signJws, type VerifyingKey, verifyJws } from './jws.ts';
import type { SigningKeys } from './signing-keys.ts';
import type { IssuedToken, Lifetimes, TokenWish } from './token.ts';
import type { IssueSnapshot, TokenStore } from './token-store.ts';

interface Uses {
  db: Database;
  store: TokenStore;
  identities: Identities;
  resources: Resources;
  keys: SigningKeys;
  revocations: Revocations;
  clock: Clock;
  events: Events;
}

interface Options {
  lifetimes: Lifetimes;
  /** Claim `iss` of new tokens. */
  issuer: () => string;
  /** Whether a token of that issuer may be one of ours. */
  isIssuer: (issuer: string) => boolean;
}

/** A token that holds now, and what it proves. */
export interface VerifiedToken {
  readonly claims: CheckedClaims;
  readonly caller: UserCaller;
}

/** What never changes about a token whose signature was verified. */
interface Known extends VerifiedToken {
  readonly key: VerifyingKey;
  readonly revocable: RevocableToken;
}

const MOST_KNOWN = 20_000;

/** Issues access tokens and verifies them. */
export class AccessTokens {
  readonly #uses: Uses;
  readonly #options: Options;
  /** By SHA-256 of the token, oldest first. Saves the RSA operation and nothing else: every use is judged anew. */
  readonly #known = new Map<string, Known>();

  constructor(uses: Uses, options: Options) {
    this.#uses = uses;
    this.#options = options;
  }

  /**
   * Signs a token for an identity of the caller's resource.
   * @throws ServiceError `IdentityNotFound`; `Denied` when the caller's access key was regenerated meanwhile
   */
  async issue(caller: ServiceCaller, identityId: IdentityId, wish: TokenWish): Promise<IssuedToken> {
    const { db, identities, clock } = this.#uses;
    const snapshot = await this.#snapshot(db.rows, caller, identityId);
    const issuedAtMs = clock.now();
    if (snapshot.custom_id !== null) {
      await db.writer.write((tx) => identities.noteTokenIn(tx, caller.resourceId, identityId, issuedAtMs));
    }
    return this.#sign(caller, identityId, wish, snapshot, issuedAtMs);
  }

  /** Makes an identity, or finds the one with the custom id, and signs a token for it: both or neither. */
  async createWithToken(
    caller: ServiceCaller,
    customId: string | undefined,
    wish: TokenWish,
  ): Promise<{ identity: Identity; token: IssuedToken }> {
    const { db, identities, clock, events } = this.#uses;
    const issuedAtMs = clock.now();
    const { identity, snapshot } = await db.writer.write(async (tx) => {
      const identity = await identities.createIn(tx, caller.resourceId, customId);
      const snapshot = await this.#snapshot(tx, caller, identity.id);
      if (customId !== undefined) await identities.noteTokenIn(tx, caller.resourceId, identity.id, issuedAtMs);
      return { identity: { ...identity, lastTokenIssuedAtMs: issuedAtMs }, snapshot };
    });
    events.identityCreated(caller.resourceId, identity.id);
    return { identity, token: await this.#sign(caller, identity.id, wish, snapshot, issuedAtMs) };
  }

  /**
   * Verifies a token: form, signature, claims, time, resource, and that no event has ended it. Every plane calls this.
   * @throws ServiceError `TokenRefused` with the reason; `NotFresh` when this node cannot tell
   */
  async verify(jwt: string): Promise<VerifiedToken> {
    const { keys, clock, revocations, resources } = this.#uses;
    const digest = hash('sha256', jwt, 'base64');
    let known = this.#known.get(digest);
    if (!known || keys.find(known.key.kid) !== known.key) {
      known = await this.#verifyAnew(jwt);
      if (this.#known.size >= MOST_KNOWN) this.#known.delete(this.#known.keys().next().value ?? '');
      this.#known.set(digest, known);
    }
    requireUnexpired(known.claims.expSeconds, clock.now());
    await revocations.check(known.revocable);
    if (!resources.has(known.claims.resourceId)) throw new ServiceError('TokenRefused', { reason: 'token.resource' });
    return known;
  }

  async #verifyAnew(jwt: string): Promise<Known> {
    const { keys, clock, revocations } = this.#uses;
    const { lifetimes, isIssuer } = this.#options;
    const find = (kid: string) => keys.find(kid);
    const { payload, key } = await verifyOrElse(jwt, find, () => revocations.catchUp());
    const claims = readClaims(payload, { nowMs: clock.now(), lifetimeMinutesLongest: lifetimes.longest, isIssuer });
    const { identityId, resourceId, scopes, position, keySlot, expSeconds, iatSeconds } = claims;
    return {
      key,
      claims,
      caller: { kind: 'user', resourceId, identityId, scopes, position, expiresOnMs: expSeconds * 1000 },
      revocable: {
        resourceId,
        identityId,
        fingerprint: fingerprint(identityId),
        keySlot,
        kid: key.kid,
        position,
        issuedAtSeconds: iatSeconds,
      },
    };
  }

  /** What the token is made from, in one snapshot of the store: a cache could be behind, and its tokens born dead. */
  async #snapshot(
    rows: Rows,
    { resourceId, accessKey }: ServiceCaller,
    identityId: IdentityId,
  ): Promise<IssueSnapshot> {
    const { store, revocations } = this.#uses;
    const known = revocations.position;
    const snapshot = await store.snapshot(rows, resourceId, accessKey.slot, identityId);
    // A connection can still lead to a database that was replaced. What it gives out would be born dead.
    if (snapshot.seq < known)
      throw new ServiceError('NotFresh', { reason: 'lease.expired', detail: 'the store is behind' });
    if (snapshot.key_version !== accessKey.version) throw new ServiceError('Denied', { reason: 'accessKey.replaced' });
    if (snapshot.identity_id === null) {
      throw new ServiceError(namesNoResource(identityId) ? 'IdentityNotOwned' : 'IdentityNotFound');
    }
    return snapshot;
  }

  async #sign(
    { resourceId, accessKey }: ServiceCaller,
    identityId: IdentityId,
    { scopes, minutes }: TokenWish,
    { seq, region, location }: IssueSnapshot,
    issuedAtMs: number,
  ): Promise<IssuedToken> {
    const claims = writeClaims({
      identityId,
      resourceId,
      scopes,
      region: region ?? '',
      location: location ?? '',
      issuedAtMs,
      lifetimeMinutes: minutes,
      position: seq,
      keySlot: accessKey.slot,
      issuer: this.#options.issuer(),
      tokenId: randomId('base64url'),
    });
    const jwt = await signJws(this.#uses.keys.active, claims);
    this.#uses.events.tokenIssued(resourceId, identityId, scopes);
    return { jwt, expiresOnMs: issuedAtMs + minutes * 60_000 };
  }
}

/** Verifies; when the key is unknown, asks the store whether another node has made it. @throws ServiceError `NotFresh` */
async function verifyOrElse(jwt: string, find: (kid: string) => VerifyingKey | undefined, learn: () => Promise<void>) {
  try {
    return verifyJws(jwt, find);
  } catch (cause) {
    if (!(cause instanceof ServiceError) || cause.reason !== 'token.keyUnknown') throw cause;
    await learn();
    return verifyJws(jwt, find);
  }
}
