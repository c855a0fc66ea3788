import { hash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import type {
  AssignmentId,
  IdentityId,
  PresentedUser,
  ResourceId,
  ServiceCaller,
  TokenFacts,
  UserCaller,
} from '../callers.ts';
import type { Scope } from '../capabilities/tables.ts';
import { ServiceError } from '../errors.ts';
import type { Identities } from '../identities/identities.ts';
import { type Identity, namesNoResource } from '../identities/identity.ts';
import type { Clock } from '../lib/clock.ts';
import { FairQueue } from '../lib/fair-queue.ts';
import { randomId } from '../lib/random.ts';
import { RecentMap } from '../lib/recent-map.ts';
import type { SteadyTime } from '../lib/steady-time.ts';
import type { Events } from '../monitoring/events.ts';
import type { Resources } from '../resources/resources.ts';
import { type RevocableToken, revocable } from '../revocation/event.ts';
import type { Revocations } from '../revocation/revocations.ts';
import type { Database } from '../storage/database.ts';
import type { Rows } from '../storage/sql.ts';
import {
  type CheckedClaims,
  readClaims,
  requireUnexpired,
  type TokenFacts as SignedClaims,
  writeClaims,
} from './claims.ts';
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
  /** For whether a token has expired: a clock that was set back brings none back. */
  time: SteadyTime;
  events: Events;
}

interface Options {
  lifetimes: Lifetimes;
  /** Claim `iss` of new tokens. */
  issuer: string;
  /** Whether a token of that issuer may be one of ours. */
  isIssuer: (issuer: string) => boolean;
}

/** A token that holds now, and what it proves. */
export interface VerifiedToken {
  readonly claims: CheckedClaims;
  readonly caller: UserCaller;
  /** What decides whether it still holds later. */
  readonly revocable: RevocableToken;
}

/** What never changes about a token whose signature was verified. */
interface Known extends VerifiedToken {
  readonly key: VerifyingKey;
}

/** What is asked for somebody whom a trusted issuer vouches for. */
export interface ExchangeWish {
  readonly identityId: IdentityId;
  readonly scopes: readonly Scope[];
  readonly user: PresentedUser;
  /** True for an id that Teams gave, which names no resource. */
  readonly isTeamsUser: boolean;
}

/** Verified tokens that are remembered for certain; there may be twice as many. */
const LEAST_KNOWN = 10_000;
/** Some 4 ms of work for each thread, so that none waits while the event loop has its hands full or has to share its core. */
const SIGNATURES_AT_ONCE = 16 * Math.max(2, availableParallelism());

/** Issues access tokens and verifies them. */
export class AccessTokens {
  readonly #uses: Uses;
  readonly #options: Options;
  /** By SHA-256 of the token. Saves the RSA operation and nothing else: every use is judged anew. */
  readonly #known = new RecentMap<Known>(LEAST_KNOWN);
  /** Threads take what comes first, so what waits for them does so here, where resources have turns. */
  readonly #signatures = new FairQueue(SIGNATURES_AT_ONCE);
  #signing = 0;

  constructor(uses: Uses, options: Options) {
    this.#uses = uses;
    this.#options = options;
  }

  /** Signatures that are being made, or wait for a thread. */
  get signing(): number {
    return this.#signing;
  }

  /**
   * Signs a token for an identity of the caller's resource.
   * @throws ServiceError `IdentityNotFound`; `Denied` when the caller's access key was regenerated meanwhile
   */
  async issue(caller: ServiceCaller, identityId: IdentityId, wish: TokenWish): Promise<IssuedToken> {
    const { db, identities, clock } = this.#uses;
    // Teams users prove themselves at their own directory; no key of a resource stands in for that.
    if (namesNoResource(identityId)) throw new ServiceError('IdentityNotOwned');
    const snapshot = await this.#snapshot(db.rows, caller, identityId);
    const issuedAtMs = clock.now();
    if (snapshot.custom_id !== null) {
      const { resourceId } = caller;
      await db.writer.write((tx) => identities.noteTokenIn(tx, resourceId, identityId, issuedAtMs), resourceId);
    }
    return this.#sign(forService(caller, identityId, wish, issuedAtMs), snapshot);
  }

  /** Makes an identity, or finds the one with the custom id, and signs a token for it: both or neither. */
  async createWithToken(
    caller: ServiceCaller,
    customId: string | undefined,
    wish: TokenWish,
  ): Promise<{ identity: Identity; token: IssuedToken }> {
    const { db, identities, clock, events } = this.#uses;
    const issuedAtMs = clock.now();
    const { identity, snapshot } = await db.writer.write(
      async (tx) => {
        const identity = await identities.createIn(tx, caller.resourceId, customId);
        const snapshot = await this.#snapshot(tx, caller, identity.id);
        if (customId !== undefined) await identities.noteTokenIn(tx, caller.resourceId, identity.id, issuedAtMs);
        return { identity: { ...identity, lastTokenIssuedAtMs: issuedAtMs }, snapshot };
      },
      customId === undefined ? undefined : caller.resourceId,
    );
    events.identityCreated(caller.resourceId, identity.id);
    return { identity, token: await this.#sign(forService(caller, identity.id, wish, issuedAtMs), snapshot) };
  }

  /**
   * Signs a token for somebody whom a trusted issuer vouches for. It never outlives the token that was presented. At the
   * first time the identity gets a row, so that it can be revoked and deleted like any other.
   * @param admit decides within the transaction, by whatever the caller knows, whether the user may come in
   * @throws ServiceError `InvalidAccessToken` when the trust was changed meanwhile, or the token has just expired
   */
  async exchange(
    resourceId: ResourceId,
    { identityId, scopes, user, isTeamsUser }: ExchangeWish,
    admit: (tx: Rows) => Promise<AssignmentId | undefined>,
  ): Promise<IssuedToken> {
    const { db, identities, clock, events } = this.#uses;
    const { snapshot, fresh, assignmentId } = await db.writer.write(async (tx) => {
      // First, since PostgreSQL shows each statement what was committed before it: an event that takes back what the others
      // go by has a higher position than the token then.
      let snapshot = await this.#snapshotFor(tx, resourceId, user.credential, identityId);
      let assignmentId = await admit(tx);
      const fresh = await identities.ensureIn(tx, resourceId, identityId);
      if (fresh || snapshot.identity_id === null) {
        // One that was not there begins where the log is by now, so its token must not be from before.
        snapshot = await this.#snapshotFor(tx, resourceId, user.credential, identityId);
        assignmentId = await admit(tx);
      }
      if (!holds(snapshot, user.credential)) throw new ServiceError('InvalidAccessToken', { reason: 'trust.changed' });
      return { snapshot, fresh, assignmentId };
    }, resourceId);
    if (fresh) events.identityCreated(resourceId, identityId);
    const issuedAtSeconds = Math.floor(clock.now() / 1000); // whole, so that the end is that of the presented token exactly
    const lifetimeSeconds = Math.min(user.expSeconds - issuedAtSeconds, this.#options.lifetimes.longest * 60);
    if (lifetimeSeconds < 1) throw new ServiceError('InvalidAccessToken', { reason: 'foreign.expired' });
    return this.#sign(
      {
        identityId,
        resourceId,
        scopes,
        issuedAtMs: issuedAtSeconds * 1000,
        lifetimeSeconds,
        keySlot: undefined,
        trustId: user.credential.trustId,
        assignmentId,
        teamsUser: isTeamsUser ? user : undefined,
      },
      snapshot,
    );
  }

  /** Insists, within a transaction, that what a service proved itself with still holds. @throws ServiceError `Denied` */
  async requireCredentialIn(tx: Rows, { resourceId, credential }: ServiceCaller): Promise<void> {
    const snapshot = await this.#snapshotFor(tx, resourceId, credential, '' as IdentityId);
    if (!holds(snapshot, credential)) throw replaced(credential);
  }

  /**
   * Verifies a token: form, signature, claims, time, resource, and that no event has ended it. Every plane calls this.
   * @throws ServiceError `TokenRefused` with the reason; `NotFresh` when this node cannot tell
   */
  async verify(jwt: string): Promise<VerifiedToken> {
    const { keys, time, revocations, resources } = this.#uses;
    const digest = hash('sha256', jwt, 'base64');
    let known = this.#known.get(digest);
    if (!known || keys.find(known.key.kid) !== known.key) {
      known = await this.#verifyAnew(jwt);
      this.#known.set(digest, known);
    }
    requireUnexpired(known.claims.expSeconds, time.latest());
    await revocations.check(known.revocable);
    if (!resources.has(known.claims.resourceId)) throw new ServiceError('TokenRefused', { reason: 'token.resource' });
    return known;
  }

  /**
   * Asks once more about a token that was verified before, by this node or by another one.
   * @throws ServiceError `TokenRefused`, `NotFresh`
   */
  async requireStillHeld(caller: UserCaller, facts: TokenFacts): Promise<void> {
    const { time, revocations } = this.#uses;
    requireUnexpired(caller.expiresOnMs / 1000, time.latest());
    await revocations.check(revocable(facts));
    const forgotten = this.forgotten(facts);
    if (forgotten) throw forgotten;
  }

  /** Why a token that was good is refused now although no event ended it: its signing key or its resource is gone. */
  forgotten({ kid, resourceId }: TokenFacts): ServiceError | undefined {
    const { keys, resources } = this.#uses;
    try {
      if (!keys.find(kid))
        return new ServiceError('TokenRefused', { reason: 'token.keyUnknown', detail: `key ${kid}` });
    } catch (cause) {
      if (cause instanceof ServiceError) return cause;
      throw cause;
    }
    return resources.has(resourceId) ? undefined : new ServiceError('TokenRefused', { reason: 'token.resource' });
  }

  async #verifyAnew(jwt: string): Promise<Known> {
    const { keys, clock, revocations, events } = this.#uses;
    const { lifetimes, isIssuer } = this.#options;
    const { payload, key } = await verifyOrElse(jwt, {
      find: (kid) => keys.find(kid),
      learn: () => revocations.catchUp(),
      unknown: (kid) => events.signingKeyUnknown(kid),
    });
    const claims = readClaims(payload, { nowMs: clock.now(), lifetimeMinutesLongest: lifetimes.longest, isIssuer });
    const { identityId, resourceId, scopes, position, keySlot, trustId, assignmentId, expSeconds, iatSeconds } = claims;
    return {
      key,
      claims,
      caller: { kind: 'user', resourceId, identityId, scopes, position, expiresOnMs: expSeconds * 1000 },
      revocable: revocable({
        resourceId,
        identityId,
        keySlot,
        trustId,
        assignmentId,
        kid: key.kid,
        position,
        issuedAtSeconds: iatSeconds,
      }),
    };
  }

  /** What the token is made from, in one snapshot of the store: a cache could be behind, and its tokens born dead. */
  async #snapshot(rows: Rows, caller: ServiceCaller, identityId: IdentityId): Promise<IssueSnapshot> {
    const { resourceId, credential } = caller;
    const snapshot = await this.#snapshotFor(rows, resourceId, credential, identityId);
    if (!holds(snapshot, credential)) throw replaced(credential);
    if (snapshot.identity_id === null) throw new ServiceError('IdentityNotFound');
    return snapshot;
  }

  async #snapshotFor(
    rows: Rows,
    resourceId: ResourceId,
    credential: ServiceCaller['credential'],
    identityId: IdentityId,
  ): Promise<IssueSnapshot> {
    const { store, revocations } = this.#uses;
    const known = revocations.position;
    const snapshot = await store.snapshot(rows, resourceId, credential, identityId);
    // A connection can still lead to a database that was replaced. What it gives out would be born dead.
    if (snapshot.seq < known)
      throw new ServiceError('NotFresh', { reason: 'lease.expired', detail: 'the store is behind' });
    return snapshot;
  }

  async #sign(facts: SignedFacts, { seq, region, location }: IssueSnapshot): Promise<IssuedToken> {
    const { resourceId, identityId, scopes, issuedAtMs, lifetimeSeconds } = facts;
    const claims = writeClaims({
      ...facts,
      region: region ?? '',
      location: location ?? '',
      position: seq,
      issuer: this.#options.issuer,
      tokenId: randomId('base64url'),
    });
    this.#signing += 1;
    const signed = this.#signatures.run(resourceId, () => signJws(this.#uses.keys.active, claims));
    const jwt = await signed.finally(() => {
      this.#signing -= 1;
    });
    this.#uses.events.tokenIssued(resourceId, identityId, scopes);
    return { jwt, expiresOnMs: issuedAtMs + lifetimeSeconds * 1000 };
  }
}

type SignedFacts = Omit<SignedClaims, 'region' | 'location' | 'position' | 'issuer' | 'tokenId'>;

const forService = (
  { resourceId, credential }: ServiceCaller,
  identityId: IdentityId,
  { scopes, minutes }: TokenWish,
  issuedAtMs: number,
): SignedFacts => ({
  identityId,
  resourceId,
  scopes,
  issuedAtMs,
  lifetimeSeconds: minutes * 60,
  keySlot: credential.kind === 'accessKey' ? credential.slot : undefined,
  trustId: credential.kind === 'trust' ? credential.trustId : undefined,
  assignmentId: undefined,
  teamsUser: undefined,
});

/** Whether a credential is still the very one that was proven. */
const holds = ({ credential_version }: IssueSnapshot, { version }: ServiceCaller['credential']): boolean =>
  credential_version === version;

const replaced = ({ kind }: ServiceCaller['credential']): ServiceError =>
  new ServiceError('Denied', { reason: kind === 'accessKey' ? 'accessKey.replaced' : 'trust.changed' });

interface Finder {
  find: (kid: string) => VerifyingKey | undefined;
  /** Asks the store whether another node has made a key. @throws ServiceError `NotFresh` */
  learn: () => Promise<void>;
  /** Told of a key that is not known even then. */
  unknown: (kid: string) => void;
}

/** Verifies, asking the store once when the key is unknown. */
async function verifyOrElse(jwt: string, { find, learn, unknown }: Finder): Promise<ReturnType<typeof verifyJws>> {
  try {
    return verifyJws(jwt, find);
  } catch (cause) {
    if (!(cause instanceof ServiceError) || cause.reason !== 'token.keyUnknown') throw cause;
    await learn();
    return verifyJws(jwt, (kid) => {
      const key = find(kid);
      if (!key) unknown(kid);
      return key;
    });
  }
}
