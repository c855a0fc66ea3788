import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Base, DAY_MS, MINUTE_MS } from './base.ts';
import type { ResourceId } from './callers.ts';
import { AssignmentStore } from './exchanges/assignment-store.ts';
import { Assignments } from './exchanges/assignments.ts';
import { Exchanges } from './exchanges/exchanges.ts';
import { Identities } from './identities/identities.ts';
import { IdentityStore } from './identities/identity-store.ts';
import { Imports } from './identities/imports.ts';
import type { OperatorKey } from './operators/operator-key.ts';
import { Forgetting } from './resources/forgetting.ts';
import { ResourceStore } from './resources/resource-store.ts';
import { Resources } from './resources/resources.ts';
import { checkLog } from './revocation/log-check.ts';
import { RevocationStore } from './revocation/revocation-store.ts';
import { Revocations } from './revocation/revocations.ts';
import { KeyRotation } from './secrets/key-rotation.ts';
import { Sessions } from './sessions/sessions.ts';
import { AccessTokens } from './tokens/access-tokens.ts';
import { SigningKeyStore } from './tokens/signing-key-store.ts';
import { SigningKeys } from './tokens/signing-keys.ts';
import type { Lifetimes } from './tokens/token.ts';
import { TokenStore } from './tokens/token-store.ts';
import { ForeignTokens } from './trusts/foreign-tokens.ts';
import { KeySets } from './trusts/key-sets.ts';
import { Principals } from './trusts/principals.ts';
import { TrustStore } from './trusts/trust-store.ts';
import { Trusts } from './trusts/trusts.ts';

/** Who may do what: identities, their tokens, and those who vouch for them. For builders only, as {@link Base} is. */
export interface Access {
  readonly revocations: Revocations;
  readonly resources: Resources;
  readonly keys: SigningKeys;
  readonly keyRotation: KeyRotation;
  /** Those who keep something of resources and identities. Planes register what they keep. */
  readonly forgetting: Forgetting;
  readonly identities: Identities;
  readonly imports: Imports;
  readonly tokens: AccessTokens;
  /** What is open for users, and ends with their tokens. */
  readonly sessions: Sessions;
  readonly lifetimes: Lifetimes;
  readonly trusts: Trusts;
  readonly keySets: KeySets;
  readonly principals: Principals;
  readonly assignments: Assignments;
  readonly exchanges: Exchanges;
  readonly isOperator: (secret: string) => boolean;
}

/** What the mode says about whose tokens are trusted. */
export interface TrustPolicy {
  /** Whether providers at private addresses may be reached without TLS. */
  readonly plainHttp: boolean;
  /** The resource that a token of a trusted issuer means where the host names none. */
  readonly usualResource: ResourceId | undefined;
  /** Whether a token of that issuer may be one of ours. */
  readonly isIssuer: (issuer: string) => boolean;
  /** The keys of an issuer in this server, which are not asked for over the network. */
  readonly ownKeys: () => { readonly keys: readonly object[] } | undefined;
}

/** Joins the nodes of the store, reads what they all keep in memory, and begins to follow it. */
export async function openAccess(
  base: Base,
  trustPolicy: TrustPolicy,
  { operator, opened }: { operator: OperatorKey; opened: AsyncDisposableStack },
): Promise<Access> {
  const { settings, db, keyRing, readKeks, clock, time, events, origin } = base;
  const { plainHttp, usualResource, isIssuer, ownKeys } = trustPolicy;
  const lifetimes = {
    shortest: settings.tokenMinutesShortest,
    longest: settings.tokenMinutesLongest,
    usual: settings.tokenMinutesUsual,
  };
  const tokenMs = lifetimes.longest * MINUTE_MS;
  const revocations = new Revocations(
    { store: new RevocationStore(db), writer: db.writer, clock, events, sleep, check: (end) => checkLog(db, end) },
    {
      nodeId: randomUUID(),
      exclusive: db.exclusive,
      leaseMs: settings.leaseMs,
      windowMs: tokenMs + 60 * MINUTE_MS,
    },
  );
  const resources = new Resources({ db, store: new ResourceStore(), revocations, keyRing, clock });
  const keys = new SigningKeys(
    { db, store: new SigningKeyStore(), revocations, keyRing, clock, events },
    {
      algorithm: settings.signingAlgorithm,
      rsaBits: settings.signingRsaBits,
      activeMs: settings.signingKeyDays * DAY_MS,
      tokenMs,
    },
  );
  const trusts = new Trusts({ db, store: new TrustStore(), revocations, resources, clock }, { plainHttp });
  // In this order: the key ring opens what the others read.
  for (const part of [keyRing, resources, keys, trusts]) revocations.onConfigChanged(() => part.reload());
  await revocations.start();
  opened.defer(() => revocations.stop());
  await keys.start();

  const identityStore = new IdentityStore();
  const forgetting = new Forgetting();
  const identities = new Identities({ db, store: identityStore, revocations, forgetting, clock, events });
  const tokens = new AccessTokens(
    { db, store: new TokenStore(), identities, resources, keys, revocations, clock, time, events },
    { lifetimes, issuer: origin, isIssuer },
  );
  const sessions = new Sessions({ tokens, revocations, time, clock, events }); // after those whose keys it asks for
  opened.defer(() => sessions.stop());
  const keySets = new KeySets({ clock, events, endpoint: origin, ownKeys }, { plainHttp });
  const foreignTokens = new ForeignTokens({ trusts: () => trusts.enabled(), keySets, clock, endpoint: origin });
  const principals = new Principals({ tokens: foreignTokens, resources }, { usualResource });
  const assignments = new Assignments({ db, store: new AssignmentStore(), revocations, clock });
  forgetting.register(identities.forgetter, assignments.forgetter);
  const change: Revocations['change'] = (work) => revocations.change(work);
  return {
    revocations,
    resources,
    keys,
    keyRotation: new KeyRotation({ db, ring: keyRing, readKeks, change, clock, events }),
    forgetting,
    identities,
    imports: new Imports({ db, store: identityStore, revocations, resources, clock, events }),
    tokens,
    sessions,
    lifetimes,
    trusts,
    keySets,
    principals,
    assignments,
    exchanges: new Exchanges({ tokens, assignments, teamsUserOf: (jwt) => principals.userOf(jwt, 'teamsUser') }),
    isOperator: (secret) => operator.matches(secret),
  };
}
