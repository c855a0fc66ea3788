import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, test } from 'node:test';
import type { AssignmentId, IdentityId, PresentedUser, ResourceId, ServiceCaller, TrustId } from '../../src/callers.ts';
import { ServiceError } from '../../src/errors.ts';
import type { Identity } from '../../src/identities/identity.ts';
import { SteadyTime } from '../../src/lib/steady-time.ts';
import { type RevocableToken, revocable } from '../../src/revocation/event.ts';
import type { Rows } from '../../src/storage/sql.ts';
import { AccessTokens } from '../../src/tokens/access-tokens.ts';
import type { VerifyingKey } from '../../src/tokens/jws.ts';
import type { IssueSnapshot } from '../../src/tokens/token-store.ts';

type Uses = ConstructorParameters<typeof AccessTokens>[0];

const NOON = Date.UTC(2030, 0, 1, 12);
const NOON_SECONDS = NOON / 1000;
const RESOURCE = '00000000-0000-4000-8000-000000000001' as ResourceId;
const IDENTITY = `8:acs:${RESOURCE}_00000019-5466-0f71-aefa-4e3a0d002539` as IdentityId;
const TEAMS_USER = '8:orgid:aaaaaaaa-0000-4000-8000-000000000001' as IdentityId;
const TRUST = 'f3a1c9d2-0b6e-4c57-8f42-9d1e7a6b5c40' as TrustId;
const ASSIGNMENT = 'entra/bbbbbbbb-0000-4000-8000-000000000001' as AssignmentId;
const ISSUER = 'https://linarite.example';
const HOUR = 60;

const SERVICE: ServiceCaller = {
  kind: 'service',
  resourceId: RESOURCE,
  credential: { kind: 'accessKey', slot: 'secondary', version: 3 },
};
const FOREIGN: ServiceCaller = { ...SERVICE, credential: { kind: 'trust', trustId: TRUST, version: 3 } };
const WISH = { scopes: ['voip', 'chat.join'], minutes: HOUR } as const;

const PAIRS = ['A', 'B'].map((letter) => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const kid = letter.repeat(40);
  return { signing: { kid, x5t: 'x', alg: 'ES256', privateKey }, verifying: { kid, alg: 'ES256', publicKey } } as const;
});
const [PAIR = assert.fail(), OTHER_PAIR = assert.fail()] = PAIRS;

/** One instant of the store: what the rows say now, or within the transaction. */
const SNAPSHOT: IssueSnapshot = {
  seq: 41,
  location: 'unitedstates',
  region: 'amer',
  credential_version: 3,
  identity_id: IDENTITY,
  custom_id: null,
};

interface Given {
  snapshot?: Partial<IssueSnapshot>;
  /** The position that this node knows of. */
  position?: number;
  fresh?: boolean;
  nowMs?: number;
}

const ROWS = { name: 'rows' } as unknown as Rows;
const TX = { name: 'transaction' } as unknown as Rows;
const named = (value: unknown): unknown => (value === ROWS ? 'rows' : value === TX ? 'tx' : value);

/** The operations over parts that note what they are asked. */
function given({ snapshot, position = 41, fresh = true, nowMs = NOON }: Given = {}) {
  const steps: unknown[][] = [];
  const step = (...words: unknown[]): void => void steps.push(words.map(named));
  let [now, elapsed] = [nowMs, 0];
  const clock = { now: () => now, elapsed: () => elapsed };
  const keys = { active: PAIR.signing, known: new Map<string, VerifyingKey>([[PAIR.verifying.kid, PAIR.verifying]]) };
  const checked: RevocableToken[] = [];
  const living = new Set<ResourceId>([RESOURCE]);
  const identity: Identity = {
    id: IDENTITY,
    resourceId: RESOURCE,
    customId: undefined,
    createdAtMs: NOON - 1,
    lastTokenIssuedAtMs: undefined,
  };
  const revocations = {
    position,
    check: async (token: RevocableToken) => void checked.push(token),
    catchUp: async () => step('catchUp'),
  };
  const tokens = new AccessTokens(
    {
      db: { rows: ROWS, writer: { write: async <T>(job: (tx: Rows) => Promise<T>) => job(TX) } },
      store: {
        snapshot: async (...asked: unknown[]) => {
          step('snapshot', ...asked);
          return { ...SNAPSHOT, ...snapshot };
        },
      },
      identities: {
        createIn: async (...asked: unknown[]) => {
          step('createIn', ...asked);
          return identity;
        },
        ensureIn: async (...asked: unknown[]) => {
          step('ensureIn', ...asked);
          return fresh;
        },
        noteTokenIn: async (...asked: unknown[]) => step('noteTokenIn', ...asked),
      },
      resources: { has: (id: ResourceId) => living.has(id) },
      keys: {
        get active() {
          return keys.active;
        },
        find: (kid: string) => keys.known.get(kid),
      },
      revocations,
      clock,
      time: new SteadyTime(clock),
      events: {
        identityCreated: (...told: unknown[]) => step('identityCreated', ...told),
        tokenIssued: (...told: unknown[]) => step('tokenIssued', ...told),
        signingKeyUnknown: (...told: unknown[]) => step('signingKeyUnknown', ...told),
      },
    } as unknown as Uses,
    {
      lifetimes: { shortest: HOUR, longest: 24 * HOUR, usual: 24 * HOUR },
      issuer: ISSUER,
      isIssuer: (issuer) => issuer === ISSUER,
    },
  );
  /** Lets time pass. */
  const moveTo = (ms: number): void => {
    elapsed += ms - now;
    now = ms;
  };
  const setClock = (ms: number): void => {
    now = ms;
  };
  return { tokens, steps, keys, checked, living, revocations, moveTo, setClock };
}

const claimsOf = (jwt: string) => JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString());

/** Insists on the error and the reason of a refusal. */
const refuses = (asked: Promise<unknown>, error: string, reason: string = error): Promise<void> =>
  assert.rejects(asked, (cause) => {
    assert.ok(cause instanceof ServiceError, String(cause));
    assert.deepEqual([cause.error, cause.reason], [error, reason]);
    return true;
  });

const USER: PresentedUser = {
  credential: { kind: 'trust', trustId: TRUST, version: 3 },
  tenantId: 'cccccccc-0000-4000-8000-000000000001',
  objectId: 'aaaaaaaa-0000-4000-8000-000000000001',
  applicationId: 'app',
  permissions: ['Teams.ManageCalls'],
  groups: [],
  issuedAtSeconds: NOON_SECONDS - 60,
  expSeconds: NOON_SECONDS + 1800,
  tokenId: 'uti',
};
const EXCHANGE = { identityId: IDENTITY, scopes: ['voip'], user: USER, isTeamsUser: false } as const;

describe('a token that a service asks for', () => {
  test('is made from one snapshot, and says so', async () => {
    const { tokens, steps } = given({ nowMs: NOON + 250 });
    const { jwt, expiresOnMs } = await tokens.issue(SERVICE, IDENTITY, WISH);
    const { jti, ...claims } = claimsOf(jwt);
    assert.match(jti, /^[\w-]{22}$/);
    assert.deepEqual(claims, {
      skypeid: IDENTITY.slice(2),
      scp: 1792,
      csi: String(NOON_SECONDS),
      exp: NOON_SECONDS + 3600,
      rgn: 'amer',
      acsScope: 'voip,chat.join',
      resourceId: RESOURCE,
      resourceLocation: 'unitedstates',
      iat: NOON_SECONDS,
      rv: 41,
      ks: 'secondary',
      iss: ISSUER,
      aud: RESOURCE,
      sub: IDENTITY,
    });
    assert.equal(expiresOnMs, NOON + 250 + 3_600_000);
    assert.deepEqual(steps, [
      ['snapshot', 'rows', RESOURCE, SERVICE.credential, IDENTITY],
      ['tokenIssued', RESOURCE, IDENTITY, WISH.scopes],
    ]);
  });

  test('names the trust in place of the key where a trust let the service in', async () => {
    const { ks, tr, as } = claimsOf((await given().tokens.issue(FOREIGN, IDENTITY, WISH)).jwt);
    assert.deepEqual([ks, tr, as], [undefined, TRUST, undefined]);
  });

  test('of an identity with an id of the client’s own is noted there', async () => {
    const { tokens, steps } = given({ snapshot: { custom_id: 'mine' } });
    await tokens.issue(SERVICE, IDENTITY, WISH);
    assert.deepEqual(steps[1], ['noteTokenIn', 'tx', RESOURCE, IDENTITY, NOON]);
  });

  test('is not made for a Teams user, or an identity that is not there', async () => {
    const { tokens, steps } = given();
    await refuses(tokens.issue(SERVICE, TEAMS_USER, WISH), 'IdentityNotOwned');
    assert.deepEqual(steps, []);
    await refuses(given({ snapshot: { identity_id: null } }).tokens.issue(SERVICE, IDENTITY, WISH), 'IdentityNotFound');
  });

  test('is not made with a key or trust that is not the one any more', async () => {
    for (const version of [null, 2, 4]) {
      const { tokens, steps } = given({ snapshot: { credential_version: version, identity_id: null } });
      await refuses(tokens.issue(SERVICE, IDENTITY, WISH), 'Denied', 'accessKey.replaced');
      await refuses(tokens.issue(FOREIGN, IDENTITY, WISH), 'Denied', 'trust.changed');
      assert.ok(!steps.some(([what]) => what === 'tokenIssued'));
    }
  });

  test('is not made from a store that is behind what this node knows', async () => {
    const { tokens } = given({ position: 42 });
    await assert.rejects(tokens.issue(SERVICE, IDENTITY, WISH), {
      error: 'NotFresh',
      reason: 'lease.expired',
      detail: 'the store is behind',
    });
    await given({ position: 40 }).tokens.issue(SERVICE, IDENTITY, WISH);
  });

  test('compares with what was known before it looked', async () => {
    const { tokens, revocations } = given();
    const asked = tokens.issue(SERVICE, IDENTITY, WISH);
    revocations.position = 50;
    await asked;
  });

  test('has no place names where the resource has none', async () => {
    const { rgn, resourceLocation } = claimsOf(
      (await given({ snapshot: { region: null, location: null } }).tokens.issue(SERVICE, IDENTITY, WISH)).jwt,
    );
    assert.deepEqual([rgn, resourceLocation], ['', '']);
  });

  test('is counted while it is being signed, also when that fails', async () => {
    const { tokens, keys, steps } = given();
    const asked = tokens.issue(SERVICE, IDENTITY, WISH);
    assert.equal(tokens.signing, 0);
    await new Promise(setImmediate);
    await asked;
    assert.equal(tokens.signing, 0);
    keys.active = {
      ...PAIR.signing,
      get privateKey(): never {
        assert.equal(tokens.signing, 1);
        throw new Error('no key');
      },
    };
    await assert.rejects(tokens.issue(SERVICE, IDENTITY, WISH), { message: 'no key' });
    assert.equal(steps.filter(([what]) => what === 'tokenIssued').length, 1);
  });
});

describe('an identity that is created with a token', () => {
  test('is made in the transaction that the token is made from', async () => {
    const { tokens, steps } = given();
    const { identity, token } = await tokens.createWithToken(SERVICE, undefined, WISH);
    assert.deepEqual([identity.id, identity.lastTokenIssuedAtMs, identity.createdAtMs], [IDENTITY, NOON, NOON - 1]);
    const claims = claimsOf(token.jwt);
    assert.deepEqual(
      [claims.sub, claims.rv, claims.ks, token.expiresOnMs],
      [IDENTITY, 41, 'secondary', NOON + 3_600_000],
    );
    assert.deepEqual(steps, [
      ['createIn', 'tx', RESOURCE, undefined],
      ['snapshot', 'tx', RESOURCE, SERVICE.credential, IDENTITY],
      ['identityCreated', RESOURCE, IDENTITY],
      ['tokenIssued', RESOURCE, IDENTITY, WISH.scopes],
    ]);
  });

  test('under an id of the client’s own has the token noted', async () => {
    const { tokens, steps } = given();
    await tokens.createWithToken(SERVICE, 'mine', WISH);
    assert.deepEqual(steps[0], ['createIn', 'tx', RESOURCE, 'mine']);
    assert.deepEqual(steps[2], ['noteTokenIn', 'tx', RESOURCE, IDENTITY, NOON]);
  });

  test('is not made with a key that is not the one any more', async () => {
    const { tokens, steps } = given({ snapshot: { credential_version: 4 } });
    await refuses(tokens.createWithToken(SERVICE, undefined, WISH), 'Denied', 'accessKey.replaced');
    assert.ok(!steps.some(([what]) => what === 'identityCreated'));
  });
});

describe('a token for somebody whom a trusted issuer vouches for', () => {
  const admit = async () => ASSIGNMENT;

  test('names trust and assignment, and ends with the token that was presented', async () => {
    const { tokens, steps } = given({ nowMs: NOON + 250 });
    const admitted: unknown[] = [];
    const { jwt, expiresOnMs } = await tokens.exchange(RESOURCE, EXCHANGE, async (tx) => {
      admitted.push(named(tx));
      return ASSIGNMENT;
    });
    const { sub, iat, exp, tr, as, ks, tid, rv, acsScope, scp } = claimsOf(jwt);
    assert.deepEqual(
      { sub, iat, exp, tr, as, ks, tid, rv, acsScope, scp },
      {
        sub: IDENTITY,
        iat: NOON_SECONDS,
        exp: USER.expSeconds,
        tr: TRUST,
        as: ASSIGNMENT,
        ks: undefined,
        tid: undefined,
        rv: 41,
        acsScope: 'voip',
        scp: 1792,
      },
    );
    assert.equal(expiresOnMs, USER.expSeconds * 1000);
    assert.deepEqual(admitted, ['tx', 'tx']);
    assert.deepEqual(steps, [
      ['snapshot', 'tx', RESOURCE, USER.credential, IDENTITY],
      ['ensureIn', 'tx', RESOURCE, IDENTITY],
      ['snapshot', 'tx', RESOURCE, USER.credential, IDENTITY], // a new one begins where the log is by now
      ['identityCreated', RESOURCE, IDENTITY],
      ['tokenIssued', RESOURCE, IDENTITY, ['voip']],
    ]);
  });

  test('of Teams says what is known of the presented one', async () => {
    const wish = { ...EXCHANGE, identityId: TEAMS_USER, isTeamsUser: true };
    const { tid, aad_uti, scp } = claimsOf((await given().tokens.exchange(RESOURCE, wish, admit)).jwt);
    assert.deepEqual([tid, aad_uti, scp], [USER.tenantId, 'uti', 1024]);
  });

  test('may come without an assignment, and of an identity that was there before', async () => {
    const { tokens, steps } = given({ fresh: false });
    const { jwt } = await tokens.exchange(RESOURCE, EXCHANGE, async () => undefined);
    assert.equal(claimsOf(jwt).as, undefined);
    assert.deepEqual(
      steps.map(([what]) => what),
      ['snapshot', 'ensureIn', 'tokenIssued'],
    );
  });

  test('begins where the log is when another node made the identity meanwhile', async () => {
    const { tokens, steps } = given({ fresh: false, snapshot: { identity_id: null } });
    await tokens.exchange(RESOURCE, EXCHANGE, admit);
    assert.deepEqual(
      steps.map(([what]) => what),
      ['snapshot', 'ensureIn', 'snapshot', 'tokenIssued'],
    );
  });

  test('lives no longer than any other', async () => {
    const user = { ...USER, expSeconds: NOON_SECONDS + 10 * 86_400 };
    const { jwt, expiresOnMs } = await given().tokens.exchange(RESOURCE, { ...EXCHANGE, user }, admit);
    const { iat, exp } = claimsOf(jwt);
    assert.deepEqual([exp - iat, expiresOnMs], [86_400, NOON + 86_400_000]);
  });

  test('is not made when the presented one has a second left of nothing', async () => {
    const ending = (expSeconds: number, nowMs = NOON) =>
      given({ nowMs }).tokens.exchange(RESOURCE, { ...EXCHANGE, user: { ...USER, expSeconds } }, admit);
    for (const expSeconds of [NOON_SECONDS, NOON_SECONDS - 1])
      await refuses(ending(expSeconds), 'InvalidAccessToken', 'foreign.expired');
    assert.equal((await ending(NOON_SECONDS + 1)).expiresOnMs, NOON + 1000);
  });

  test('is not made when the trust was changed, or the function that decides says no', async () => {
    const { tokens, steps } = given({ snapshot: { credential_version: 4 } });
    await refuses(tokens.exchange(RESOURCE, EXCHANGE, admit), 'InvalidAccessToken', 'trust.changed');
    assert.ok(!steps.some(([what]) => what === 'identityCreated'));
    const other = given();
    const deny = async () => {
      throw new ServiceError('Denied', { reason: 'assignment.missing' });
    };
    await refuses(other.tokens.exchange(RESOURCE, EXCHANGE, deny), 'Denied', 'assignment.missing');
    assert.ok(!other.steps.some(([what]) => what === 'ensureIn'));
  });
});

test('what a service proved itself with is insisted on within a transaction', async () => {
  const { tokens, steps } = given();
  await tokens.requireCredentialIn(TX, SERVICE);
  assert.deepEqual(steps, [['snapshot', 'tx', RESOURCE, SERVICE.credential, '']]);
  const changed = given({ snapshot: { credential_version: 4 } }).tokens;
  await refuses(changed.requireCredentialIn(TX, SERVICE), 'Denied', 'accessKey.replaced');
  await refuses(changed.requireCredentialIn(TX, FOREIGN), 'Denied', 'trust.changed');
});

describe('a token that is presented', () => {
  test('proves who the user is, until when, and what has to be known to end it', async () => {
    const { tokens, checked } = given();
    const { jwt } = await tokens.issue(SERVICE, IDENTITY, WISH);
    const { caller, claims } = await tokens.verify(jwt);
    assert.deepEqual(caller, {
      kind: 'user',
      resourceId: RESOURCE,
      identityId: IDENTITY,
      scopes: WISH.scopes,
      position: 41,
      expiresOnMs: NOON + 3_600_000,
    });
    assert.equal(claims.tokenId, claimsOf(jwt).jti);
    const token = revocable({
      resourceId: RESOURCE,
      identityId: IDENTITY,
      keySlot: 'secondary',
      trustId: undefined,
      assignmentId: undefined,
      kid: PAIR.verifying.kid,
      position: 41,
      issuedAtSeconds: NOON_SECONDS,
    });
    assert.deepEqual(checked, [token]);
    const exchanged = await tokens.exchange(RESOURCE, EXCHANGE, async () => ASSIGNMENT);
    await tokens.verify(exchanged.jwt);
    const foreign = revocable({ ...token, keySlot: undefined, trustId: TRUST, assignmentId: ASSIGNMENT });
    assert.deepEqual(checked[1], foreign);
  });

  test('is judged anew at each use, though its signature is verified once', async () => {
    const { tokens, checked, living, revocations, moveTo } = given();
    const { jwt } = await tokens.issue(SERVICE, IDENTITY, WISH);
    const first = await tokens.verify(jwt);
    assert.equal(await tokens.verify(jwt), first);
    assert.equal(checked.length, 2);
    revocations.check = async () => {
      throw new ServiceError('TokenRefused', { reason: 'revoked.identity' });
    };
    await refuses(tokens.verify(jwt), 'TokenRefused', 'revoked.identity');
    revocations.check = async () => undefined;
    living.clear();
    await refuses(tokens.verify(jwt), 'TokenRefused', 'token.resource');
    living.add(RESOURCE);
    moveTo(NOON + 3_600_000 - 1);
    assert.equal(await tokens.verify(jwt), first);
    moveTo(NOON + 3_600_000);
    await refuses(tokens.verify(jwt), 'TokenRefused', 'token.expired');
  });

  test('is not the same as another', async () => {
    const { tokens } = given();
    const [one, other] = [await tokens.issue(SERVICE, IDENTITY, WISH), await tokens.issue(FOREIGN, IDENTITY, WISH)];
    assert.equal((await tokens.verify(one.jwt)).claims.keySlot, 'secondary');
    assert.equal((await tokens.verify(other.jwt)).claims.keySlot, undefined);
  });

  test('holds as long as its very key is known', async () => {
    const { tokens, keys } = given();
    const { jwt } = await tokens.issue(SERVICE, IDENTITY, WISH);
    const first = await tokens.verify(jwt);
    const { verifying } = PAIR;
    keys.known.set(verifying.kid, { ...verifying });
    assert.notEqual(await tokens.verify(jwt), first, 'it is verified anew');
    keys.known.set(verifying.kid, { ...OTHER_PAIR.verifying, kid: verifying.kid });
    await refuses(tokens.verify(jwt), 'TokenRefused', 'token.signature');
    keys.known.clear();
    await refuses(tokens.verify(jwt), 'TokenRefused', 'token.keyUnknown');
  });

  test('with a key that is not known has the store asked, once', async () => {
    const { tokens, keys, steps, revocations } = given();
    keys.active = OTHER_PAIR.signing;
    const { jwt } = await tokens.issue(SERVICE, IDENTITY, WISH);
    steps.length = 0;
    await refuses(tokens.verify(jwt), 'TokenRefused', 'token.keyUnknown');
    assert.deepEqual(steps, [['catchUp'], ['signingKeyUnknown', OTHER_PAIR.verifying.kid]]);
    revocations.catchUp = async () => void keys.known.set(OTHER_PAIR.verifying.kid, OTHER_PAIR.verifying);
    assert.equal((await tokens.verify(jwt)).caller.identityId, IDENTITY);
    revocations.catchUp = () => Promise.reject(new ServiceError('NotFresh'));
    keys.known.clear();
    await refuses(tokens.verify(jwt), 'NotFresh');
  });

  test('that is no token of ours is refused without asking the store', async () => {
    const { tokens, steps, checked } = given();
    const { jwt } = await tokens.issue(SERVICE, IDENTITY, WISH);
    steps.length = 0;
    await refuses(tokens.verify('x'), 'TokenRefused', 'token.malformed');
    await refuses(tokens.verify(`${jwt.slice(0, -4)}AAAA`), 'TokenRefused', 'token.signature');
    assert.deepEqual([steps, checked], [[], []]);
  });

  test('has the claims, the life and the issuer of this server', async () => {
    const long = given();
    const { jwt } = await long.tokens.issue(SERVICE, IDENTITY, { ...WISH, minutes: 24 * HOUR + 1 });
    await refuses(long.tokens.verify(jwt), 'TokenRefused', 'token.claims');
    const early = given();
    const fresh = await early.tokens.issue(SERVICE, IDENTITY, WISH);
    early.moveTo(NOON - 60_000);
    await refuses(early.tokens.verify(fresh.jwt), 'TokenRefused', 'token.notYetValid');
  });

  test('does not come back when the clock is set back', async () => {
    const { tokens, moveTo, setClock } = given();
    const { jwt } = await tokens.issue(SERVICE, IDENTITY, WISH);
    await tokens.verify(jwt);
    moveTo(NOON + 3_600_000);
    setClock(NOON);
    await refuses(tokens.verify(jwt), 'TokenRefused', 'token.expired');
  });
});
