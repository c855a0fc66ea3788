import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import * as jose from 'jose';
import type { TrustId } from '../../src/callers.ts';
import { ServiceError } from '../../src/errors.ts';
import { readForeignToken } from '../../src/trusts/foreign-token.ts';
import { ForeignTokens } from '../../src/trusts/foreign-tokens.ts';
import { KeySets } from '../../src/trusts/key-sets.ts';
import { type Purpose, type Trust, type TrustWish, trustDefinition } from '../../src/trusts/trust.ts';
import { APPLICATION, KEYS, keySetOf, kidOf, Provider, SECOND_TENANT, TENANT } from '../harness/provider.ts';
import { TestClock } from '../harness/server.ts';
import {
  type Draft,
  GOOD_TOKENS,
  goodDraft,
  signed,
  tokenOf,
  USER,
  WRONG_TOKENS,
} from '../harness/vectors/foreign-tokens.ts';
import { FAMILIES, type Family, forge, type Target } from '../harness/vectors/forgeries.ts';

// A few thousand in every run of `npm run test:all`; TEST_FORGERIES=100000 for a release (security-and-reliability, T2).
const COUNT = Number(process.env.TEST_FORGERIES ?? 10_000);
const SEED = Number(process.env.TEST_SEED ?? randomInt(2 ** 31));

const ENDPOINT = 'https://linarite.example:7417';

let provider: Provider;
before(async () => {
  provider = await Provider.start();
});
after(() => provider.stop());

const trustIn = (wish: TrustWish, more: Partial<Trust> = {}): Trust => ({
  id: 'f3a1c9d2-0b6e-4c57-8f42-9d1e7a6b5c40' as TrustId,
  name: 'provider',
  enabled: true,
  version: 1,
  definition: trustDefinition(wish, { plainHttp: true }),
  grants: [],
  createdAtMs: 0,
  changedAtMs: 0,
  ...more,
});

type Verifier = (jwt: string, purpose: Purpose) => Promise<unknown>;

function given(trusts: readonly Trust[] = [trustIn(provider.wish())]) {
  const clock = new TestClock();
  const endpoint = ENDPOINT;
  const events = { notice: () => undefined };
  const keySets = new KeySets({ clock, endpoint, events }, { plainHttp: true, timeoutMs: 2000 });
  const tokens = new ForeignTokens({ trusts: () => trusts, keySets, clock, endpoint });
  const context = { provider, nowMs: clock.now(), endpoint: ENDPOINT };
  const verifier: Verifier = (jwt, purpose) => tokens.verify(jwt, purpose, 'Denied');
  const draft = (purpose: Purpose, change: (draft: Draft) => unknown = () => undefined): string => {
    const made = goodDraft(provider, purpose, clock.now());
    change(made);
    return signed(made);
  };
  return { tokens, keySets, clock, context, verifier, draft };
}

/** What a verifier made of the wrong tokens otherwise than the table says. */
async function complaints(verifier: Verifier, context: Parameters<typeof tokenOf>[1]): Promise<string[]> {
  const found: string[] = [];
  for (const wrong of WRONG_TOKENS) {
    const jwt = tokenOf(wrong, context);
    const outcome = await verifier(jwt, wrong.purpose).then(
      () => 'accepted',
      (thrown) => {
        if (!(thrown instanceof ServiceError)) return `threw ${thrown}`;
        const said = `${thrown.message} ${thrown.detail}`;
        const leak = jwt.split('.').some((part) => part.length > 16 && said.includes(part.slice(0, 16)));
        return leak ? 'a part of the token is in what is said' : `${thrown.error} ${thrown.reason}`;
      },
    );
    if (outcome !== `Denied ${wrong.reason}`) found.push(`${wrong.name} (${wrong.reason}): ${outcome}`);
  }
  return found;
}

describe('a token of somebody else’s', () => {
  for (const good of GOOD_TOKENS) {
    test(`is accepted: ${good.name}`, async () => {
      const { verifier, context } = given();
      await verifier(tokenOf(good, context), good.purpose);
    });
  }

  test(`is refused when it is wrong in one way, ${WRONG_TOKENS.length} of them`, async () => {
    const { verifier, context } = given();
    assert.ok(WRONG_TOKENS.length >= 60);
    assert.equal(new Set(WRONG_TOKENS.map(({ name }) => name)).size, WRONG_TOKENS.length);
    assert.deepEqual(await complaints(verifier, context), []);
  });

  test('proves what it says, ids in lower case', async () => {
    const { tokens, draft, clock } = given();
    const jwt = draft('teamsUser', ({ claims }) =>
      Object.assign(claims, { oid: USER.toUpperCase(), roles: ['r'], groups: ['g'], pft: 'p' }),
    );
    const { trust, ...proven } = await tokens.verify(jwt, 'teamsUser', 'InvalidAccessToken');
    const now = Math.floor(clock.now() / 1000);
    assert.equal(trust.name, 'provider');
    assert.deepEqual(proven, {
      tenantId: TENANT,
      objectId: USER,
      applicationId: APPLICATION,
      scopes: ['Teams.ManageCalls', 'Teams.ManageChats'],
      roles: ['r'],
      groups: ['g'],
      isApplication: false,
      issuedAtSeconds: now - 60,
      expSeconds: now + 3600,
      tokenId: 'fqiBqXLPj0eQa82S-IYFAA',
      platform: 'p',
    });
    assert.equal((await tokens.verify(draft('service'), 'service', 'Denied')).isApplication, true);
  });

  test('that jose made is accepted', async () => {
    const { verifier, clock } = given();
    const { claims } = goodDraft(provider, 'service', clock.now());
    for (const [kid, alg, key] of [
      [kidOf('main'), 'RS256', KEYS.main],
      [kidOf('ec'), 'ES256', KEYS.ec],
    ] as const) {
      await verifier(await new jose.SignJWT(claims).setProtectedHeader({ alg, kid }).sign(key.privateKey), 'service');
    }
  });

  test('is refused by the error of the route', async () => {
    const { tokens } = given();
    const refusal = { error: 'InvalidAccessToken', reason: 'foreign.malformed' };
    await assert.rejects(tokens.verify('x', 'teamsUser', 'InvalidAccessToken'), refusal);
  });

  test('lives until its end to the millisecond, also when its key is remembered', async () => {
    const { verifier, clock, draft } = given();
    const jwt = draft('service');
    await verifier(jwt, 'service');
    const { exp } = goodDraft(provider, 'service', clock.now()).claims as { exp: number };
    clock.advance(exp * 1000 - clock.now() - 1);
    await verifier(jwt, 'service');
    clock.advance(1);
    await assert.rejects(verifier(jwt, 'service'), { reason: 'foreign.expired' });
  });
});

describe('trusts', () => {
  test('that are not enabled, or not there, accept nothing', async () => {
    const { draft, verifier } = given([]);
    await assert.rejects(verifier(draft('service'), 'service'), { reason: 'foreign.issuer' });
  });

  test('that share an issuer are asked in turn, and the last refusal is told', async () => {
    const others = trustIn({ ...provider.wish(), audiences: { service: ['api://other'] } }, { id: 'other' as TrustId });
    const first = given([others, trustIn(provider.wish())]);
    await first.verifier(first.draft('service'), 'service');
    const only = given([others]);
    await assert.rejects(only.verifier(only.draft('service'), 'service'), { reason: 'foreign.audience' });
    const wrongTenant = only.draft('service', ({ claims }) =>
      Object.assign(claims, { tid: SECOND_TENANT, aud: 'api://other' }),
    );
    const both = given([others, trustIn(provider.wish())]);
    await assert.rejects(both.verifier(wrongTenant, 'service'), { reason: 'foreign.audience' });
  });

  test('one of which cannot tell make the answer 503 unless another accepts', async () => {
    const metadata = `${provider.origin}/nowhere`;
    const lost = trustIn({ ...provider.wish(), metadata }, { id: 'lost' as TrustId });
    const strict = trustIn({ ...provider.wish(), audiences: { service: ['api://other'] } });
    const refused = given([lost, strict]);
    const refusal = { error: 'ProviderUnavailable', reason: 'provider.unavailable', detail: 'it answers 404' };
    await assert.rejects(refused.verifier(refused.draft('service'), 'service'), refusal);
    const accepted = given([lost, trustIn(provider.wish())]);
    await accepted.verifier(accepted.draft('service'), 'service');
  });

  test('without tenants accept services, and no users', async () => {
    const { issuer, ...wish } = { ...provider.wish(), issuer: provider.issuer() };
    const { verifier, draft } = given([trustIn({ ...wish, issuers: [issuer], tenants: [], metadata: tenantless() })]);
    await verifier(draft('service'), 'service');
    await verifier(
      draft('service', ({ claims }) => delete claims.tid),
      'service',
    );
    await assert.rejects(verifier(draft('teamsUser'), 'teamsUser'), { reason: 'foreign.tenant' });
  });

  test('that name no application let no user through; that name any, every one', async () => {
    const none = given([trustIn({ ...provider.wish(), applications: [] })]);
    await assert.rejects(none.verifier(none.draft('teamsUser'), 'teamsUser'), { reason: 'foreign.application' });
    await none.verifier(none.draft('service'), 'service');
    const any = given([trustIn({ ...provider.wish(), applications: ['*'] })]);
    await any.verifier(any.draft('teamsUser'), 'teamsUser');
    await assert.rejects(
      any.verifier(
        any.draft('teamsUser', ({ claims }) => delete claims.azp),
        'teamsUser',
      ),
      { reason: 'foreign.claims' },
    );
  });

  test('with a provider whose tokens look like Keycloak’s read them by their own names', async () => {
    const wish: TrustWish = {
      ...provider.wish(),
      issuers: [provider.issuer()],
      metadata: tenantless(),
      tenants: [TENANT],
      applications: ['web'],
      claims: {
        objectId: 'sub',
        tenantId: null,
        applicationId: 'azp',
        scopes: 'scope',
        roles: '/realm_access/roles',
        groups: '/resource_access/a~1b/x~0y/1',
      },
    };
    const { tokens, draft } = given([trustIn(wish)]);
    const keycloak = ({ claims }: Draft) => {
      for (const name of ['oid', 'tid', 'scp', 'uti', 'ver']) delete claims[name];
      Object.assign(claims, { sub: USER, azp: 'web', scope: 'profile Teams.ManageCalls', typ: 'Bearer' });
      Object.assign(claims, { aud: ['account', 'https://auth.msft.communication.azure.com'] });
      Object.assign(claims, { realm_access: { roles: ['user'] }, resource_access: { 'a/b': { 'x~y': [[], ['g']] } } });
    };
    const proven = await tokens.verify(draft('teamsUser', keycloak), 'teamsUser', 'Denied');
    assert.deepEqual(
      [proven.tenantId, proven.objectId, proven.applicationId, proven.scopes, proven.roles, proven.groups],
      [TENANT, USER, 'web', ['profile', 'Teams.ManageCalls'], ['user'], ['g']],
    );
    const wrong = draft('teamsUser', (made) => {
      keycloak(made);
      made.claims.realm_access = { roles: 'user' };
    });
    await assert.rejects(tokens.verify(wrong, 'teamsUser', 'Denied'), { reason: 'foreign.claims' });
  });

  test('are refused when the trust is disabled or narrowed while its issuer takes its time over the keys', async () => {
    const trust = trustIn(provider.wish());
    for (const meanwhile of [[], [{ ...trust, version: 2 }], [{ ...trust, id: 'another' as TrustId }]]) {
      const { clock, keySets, draft } = given();
      let trusts: readonly Trust[] = [trust];
      const find: KeySets['find'] = async (...values) => {
        const key = await keySets.find(...values);
        trusts = meanwhile;
        return key;
      };
      const endpoint = ENDPOINT;
      const tokens = new ForeignTokens({ trusts: () => trusts, keySets: { find }, clock, endpoint });
      const refused = { error: 'Denied', reason: 'trust.changed' };
      await assert.rejects(tokens.verify(draft('service'), 'service', 'Denied'), refused);
    }
  });

  test('of an issuer inside this server take its keys without a fetch', async () => {
    const clock = new TestClock();
    const endpoint = ENDPOINT;
    const metadata = '{endpoint}/adfs/.well-known/openid-configuration';
    const trust = trustIn({ issuers: ['{endpoint}/adfs'], metadata });
    const asked: string[] = [];
    const ownKeys = (address: string) => {
      asked.push(address);
      return { keys: keySetOf('main').keys as object[] };
    };
    const uses = { clock, endpoint, events: { notice: () => undefined } };
    const verifierWith = (keySets: KeySets) => new ForeignTokens({ trusts: () => [trust], keySets, clock, endpoint });
    const draft = goodDraft(provider, 'service', clock.now());
    draft.claims.iss = `${ENDPOINT}/adfs`;
    const before = provider.fetches.length;
    const ours = verifierWith(new KeySets({ ...uses, ownKeys }, { plainHttp: true }));
    await ours.verify(signed(draft), 'service', 'Denied');
    assert.deepEqual(asked, [metadata]);
    const other = signed({ ...draft, header: { ...draft.header, kid: 'x' } });
    await assert.rejects(ours.verify(other, 'service', 'Denied'), { reason: 'foreign.keyUnknown' });
    const none = verifierWith(new KeySets(uses, { plainHttp: true }));
    await assert.rejects(none.verify(signed(draft), 'service', 'Denied'), { error: 'ProviderUnavailable' });
    assert.equal(provider.fetches.length, before);
  });
});

/** A document of one issuer, in place of the one for all tenants. */
function tenantless(): string {
  provider.editMetadata = (document) => ({ ...document, issuer: provider.issuer() });
  return provider.metadata;
}

describe(`${COUNT} forged tokens`, () => {
  // An at+jwt that the issuer's own key signed, and a token between 8 and 16 KiB, are none to this verifier.
  const families = FAMILIES.filter((family) => family !== 'oversize' && family !== 'otherType');

  async function attack(verifier: Verifier, target: Target, count: number, of: readonly Family[] = families) {
    const found: string[] = [];
    for (let number = 0; number < count; number++) {
      const family = of[number % of.length] as Family;
      const text = forge(target, SEED, number, family);
      const outcome = await verifier(text, 'service').then(
        () => 'accepted',
        (thrown) => (thrown instanceof ServiceError && thrown.error === 'Denied' ? undefined : `threw ${thrown}`),
      );
      if (outcome) found.push(`seed ${SEED}, number ${number}, ${family}: ${outcome}`);
    }
    return found;
  }

  const targetOf = (token: string): Target => ({ token, kid: kidOf('main'), ...KEYS.main });

  test('are refused, and have the keys asked for once more', async (t) => {
    provider.editMetadata = (document) => document;
    const { verifier, draft } = given();
    const token = draft('service');
    await verifier(token, 'service');
    const before = provider.fetches.length;
    t.diagnostic(`seed ${SEED}, ${COUNT} tokens of ${families.length} families`);
    assert.deepEqual((await attack(verifier, targetOf(token), COUNT)).slice(0, 20), []);
    assert.ok(provider.fetches.length - before <= 2, `${provider.fetches.length - before} fetches`);
  });

  test('catch a verifier that overlooks crit', async () => {
    const { verifier, draft } = given();
    const lax: Verifier = (jwt, purpose) => {
      const [head = '', ...rest] = jwt.split('.');
      const header = JSON.parse(Buffer.from(head, 'base64url').toString());
      return 'crit' in header
        ? jose.compactVerify(`${head}.${rest.join('.')}`, KEYS.main.publicKey, {
            crit: { exp: true, b64: true, x: true },
          })
        : verifier(jwt, purpose);
    };
    const found = await attack(lax, targetOf(draft('service')), 400, ['critical']);
    assert.ok(
      found.some((complaint) => complaint.includes('accepted')),
      `seed ${SEED}`,
    );
  });
});

// The table itself: each verifier below leaves out one thing, and must be caught by the rows that are about it.

describe('the table of wrong tokens catches a verifier that', () => {
  type Options = jose.JWTVerifyOptions;
  type Mistake = { expects: string; options?: (good: Options) => Options; reads?: boolean };
  const mistakes: Record<string, Mistake> = {
    'does not look at the audience': {
      expects: 'another audience (foreign.audience): accepted',
      options: ({ audience, ...rest }) => rest,
    },
    'takes any issuer': {
      expects: 'another issuer (foreign.issuer): accepted',
      options: ({ issuer, ...rest }) => rest,
    },
    'is content with the library': {
      expects: 'another tenant (foreign.tenant): accepted',
      reads: false,
    },
  };

  for (const [name, { expects, options = (good: Options) => good, reads = true }] of Object.entries(mistakes)) {
    test(name, async () => {
      provider.editMetadata = (document) => document;
      const { clock, context } = given();
      const trust = trustIn(provider.wish());
      const keys = jose.createLocalJWKSet(keySetOf('main') as unknown as jose.JSONWebKeySet);
      const lax: Verifier = async (jwt) => {
        const good = {
          issuer: provider.issuer(),
          audience: 'https://communication.azure.com/',
          currentDate: new Date(clock.now()),
        };
        const { payload } = await jose.jwtVerify(jwt, keys, options(good));
        const refuse = (reason: ServiceError['reason']) => new ServiceError('Denied', { reason: reason as never });
        if (reads) readForeignToken(payload, { trust, issuerTenant: undefined, nowMs: clock.now() }, refuse);
      };
      const found = await complaints(lax, context);
      assert.ok(found.includes(expects), found.join('\n'));
    });
  }
});
