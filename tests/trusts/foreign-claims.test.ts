import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TrustId } from '../../src/callers.ts';
import { ServiceError } from '../../src/errors.ts';
import {
  CLOCK_LEEWAY_SECONDS,
  claimAt,
  type ForeignToken,
  type Refuse,
  readForeignToken,
  requirePurpose,
} from '../../src/trusts/foreign-token.ts';
import { type Purpose, type Trust, type TrustWish, trustDefinition } from '../../src/trusts/trust.ts';

const TENANT = 'aaaaaaaa-0000-4000-8000-00000000000a';
const OTHER_TENANT = 'aaaaaaaa-0000-4000-8000-00000000000b';
const OBJECT = 'bbbbbbbb-0000-4000-8000-000000000001';
const APPLICATION = 'cccccccc-0000-4000-8000-000000000001';
const NOW = 1_900_000_000;

const trustBy = (wish: Partial<TrustWish> = {}): Trust => ({
  id: 'T' as TrustId,
  name: 'directory',
  enabled: true,
  version: 1,
  definition: trustDefinition(
    { issuers: ['https://id.example.org'], tenants: [TENANT], ...wish },
    { plainHttp: false },
  ),
  grants: [],
  createdAtMs: 0,
  changedAtMs: 0,
});

/** What Entra gives a user. */
const PAYLOAD = {
  iss: 'https://id.example.org',
  aud: 'https://communication.azure.com/',
  iat: NOW - 60,
  nbf: NOW - 60,
  exp: NOW + 3600,
  oid: OBJECT,
  tid: TENANT,
  azp: APPLICATION,
  scp: 'Teams.ManageCalls Teams.ManageChats',
  roles: ['reader'],
  groups: ['group'],
  uti: 'uti',
  pft: 'web',
};

interface Given {
  wish?: Partial<TrustWish>;
  issuerTenant?: string;
  nowMs?: number;
}

const refuse: Refuse = (reason, detail) => new ServiceError('Denied', { reason, detail });

/** Reads the payload with some claims changed; those set to undefined are not there. */
function read(
  claims: Record<string, unknown> = {},
  { wish, issuerTenant, nowMs = NOW * 1000 }: Given = {},
): ForeignToken {
  const payload = JSON.parse(JSON.stringify({ ...PAYLOAD, ...claims }));
  return readForeignToken(payload, { trust: trustBy(wish), issuerTenant, nowMs }, refuse);
}

/** What is said of the payload: the reason and the detail. */
function said(claims: Record<string, unknown>, given?: Given): string {
  try {
    read(claims, given);
  } catch (cause) {
    if (!(cause instanceof ServiceError)) throw cause;
    return `${cause.reason}: ${cause.detail}`;
  }
  return 'accepted';
}

const wrong = (claim: string): string =>
  `foreign.claims: the claim ${claim} is missing, malformed or contradicts another`;

describe('the claims of a token of somebody else’s', () => {
  test('are read by the names that the trust gives', () => {
    const { trust, ...token } = read();
    assert.equal(trust.name, 'directory');
    assert.deepEqual(token, {
      tenantId: TENANT,
      objectId: OBJECT,
      applicationId: APPLICATION,
      scopes: ['Teams.ManageCalls', 'Teams.ManageChats'],
      roles: ['reader'],
      groups: ['group'],
      isApplication: false,
      issuedAtSeconds: NOW - 60,
      expSeconds: NOW + 3600,
      tokenId: 'uti',
      platform: 'web',
    });
    const claims = {
      objectId: 'sub',
      tenantId: '/realm/id',
      applicationId: 'client',
      scopes: 'scope',
      roles: '/access/roles',
      groups: 'teams',
    };
    const other = read(
      {
        sub: 'somebody',
        realm: { id: TENANT },
        client: 'app',
        scope: ['a', 'b'],
        access: { roles: ['r'] },
        teams: ['g'],
        oid: 1,
        tid: 1,
        azp: 1,
        scp: 1,
        roles: 1,
        groups: 1,
      },
      { wish: { claims } },
    );
    assert.deepEqual(
      [other.objectId, other.tenantId, other.applicationId, other.scopes, other.roles, other.groups],
      ['somebody', TENANT, 'app', ['a', 'b'], ['r'], ['g']],
    );
  });

  test('may be missing where nobody needs them', () => {
    const token = read({
      scp: undefined,
      roles: undefined,
      groups: undefined,
      uti: undefined,
      pft: undefined,
      azp: undefined,
      nbf: undefined,
    });
    assert.deepEqual([token.scopes, token.roles, token.groups], [[], [], []]);
    assert.deepEqual([token.tokenId, token.platform, token.applicationId], [undefined, undefined, undefined]);
    for (const claim of ['sub', 'jti', 'iss', 'idtyp', 'typ']) assert.equal(said({ [claim]: undefined }), 'accepted');
    for (const claim of ['oid', 'tid', 'aud', 'exp', 'iat']) assert.equal(said({ [claim]: undefined }), wrong(claim));
  });

  test('that are GUIDs are in lower case, others as they are', () => {
    const ids = { oid: OBJECT.toUpperCase(), tid: TENANT.toUpperCase(), azp: APPLICATION.toUpperCase(), uti: 'UTI' };
    const token = read(ids);
    assert.deepEqual(
      [token.objectId, token.tenantId, token.applicationId, token.tokenId],
      [OBJECT, TENANT, APPLICATION, 'UTI'],
    );
    assert.equal(read({ oid: 'ABC' }).objectId, 'ABC');
  });

  test('have exactly their types', () => {
    const texts = ['iss', 'sub', 'jti', 'oid', 'tid', 'azp', 'appid', 'uti', 'pft', 'idtyp'];
    for (const claim of texts)
      for (const value of [1, true, null, ['x'], { x: 1 }]) assert.equal(said({ [claim]: value }), wrong(claim), claim);
    for (const claim of ['oid', 'tid', 'azp', 'appid', 'uti', 'pft', 'idtyp'])
      assert.equal(said({ [claim]: '' }), wrong(claim));
    for (const claim of ['roles', 'groups'])
      for (const value of ['x', 1, null, [1], ['x', null], { 0: 'x' }])
        assert.equal(said({ [claim]: value }), wrong(claim));
    for (const value of [1, null, [1], ['x', 1], {}]) assert.equal(said({ scp: value }), wrong('scp'));
    for (const value of [1, null, [1], ['x', 1], {}]) assert.equal(said({ aud: value }), wrong('aud'));
    assert.equal(said({ aud: ['one', 'other'] }), 'accepted');
    for (const claim of ['exp', 'iat', 'nbf'])
      for (const value of [`${NOW}`, NOW + 0.5, -1, 253_402_300_800, null, [], true])
        assert.equal(said({ [claim]: value }), wrong(claim), `${claim} ${value}`);
    assert.equal(said({ exp: 253_402_300_799 }), 'accepted');
    assert.equal(said({ iat: 0, nbf: 0 }), 'accepted');
  });

  test('are its own, never those of the object’s kind', () => {
    assert.equal(said({}, { wish: { claims: { objectId: 'toString' } } }), wrong('toString'));
    assert.equal(
      said({}, { wish: { claims: { objectId: '/__proto__/constructor/name' } } }),
      wrong('/__proto__/constructor/name'),
    );
  });

  test('give scopes as a list, or as text with blanks', () => {
    assert.deepEqual(read({ scp: ' a  b ' }).scopes, ['a', 'b']);
    assert.deepEqual(read({ scp: ['a', 'b c'] }).scopes, ['a', 'b c']);
    assert.deepEqual(read({ scp: '' }).scopes, []);
  });
});

describe('a token of somebody else’s is for now', () => {
  const at = (nowMs: number, claims: Record<string, unknown> = {}) => said(claims, { nowMs });

  test('until exp, without grace', () => {
    assert.equal(at(PAYLOAD.exp * 1000 - 1), 'accepted');
    assert.equal(at(PAYLOAD.exp * 1000), 'foreign.expired: exp is not in the future');
  });

  test('from iat and nbf on, with five minutes for a clock ahead of ours', () => {
    assert.equal(CLOCK_LEEWAY_SECONDS, 300);
    const early = 'foreign.notYetValid: iat or nbf is in the future';
    for (const claims of [{ nbf: NOW }, { iat: NOW }, { iat: NOW, nbf: undefined }, { iat: NOW, nbf: NOW }]) {
      assert.equal(at((NOW - 300) * 1000, claims), 'accepted');
      assert.equal(at((NOW - 300) * 1000 - 1, claims), early);
    }
  });

  test('and was issued before it ends', () => {
    assert.equal(said({ iat: NOW + 10, exp: NOW + 10 }), wrong('iat'));
    assert.equal(said({ iat: NOW + 11, exp: NOW + 10 }), wrong('iat'));
    assert.equal(said({ iat: NOW + 9, exp: NOW + 10 }), 'accepted');
  });
});

describe('a token of somebody else’s is of its kind', () => {
  test('an access token, not an ID token or another of Keycloak’s', () => {
    for (const claim of ['nonce', 'at_hash', 'c_hash'])
      assert.equal(said({ [claim]: null }), 'foreign.kind: it is not an access token', claim);
    for (const typ of ['ID', 'Refresh', 'offline', 'Logout', 'DPoP'])
      assert.equal(said({ typ }), 'foreign.kind: it is not an access token', typ);
    for (const typ of ['Bearer', 'JWT', 'idx', 'xid', 1, ['ID']]) assert.equal(said({ typ }), 'accepted', String(typ));
  });

  test('not bound to a key', () => {
    assert.equal(said({ cnf: null }), 'foreign.kind: it is bound to a key, so it is not a bearer token');
  });

  test('an application’s own where there are no scopes, unless it says that it is a user’s', () => {
    assert.equal(read({ scp: undefined }).isApplication, true);
    assert.equal(read({ scp: undefined, idtyp: 'app' }).isApplication, true);
    assert.equal(read({ scp: undefined, idtyp: 'user' }).isApplication, false);
    assert.equal(read({ scp: '' }).isApplication, false);
    assert.equal(read({ idtyp: 'user' }).isApplication, false);
    assert.equal(said({ idtyp: 'app' }), wrong('idtyp'));
  });
});

describe('the directory of a token', () => {
  const notNamed = 'foreign.tenant: the trust does not name the tenant';

  test('is one that the trust names', () => {
    assert.equal(read({}, { wish: { tenants: [OTHER_TENANT, TENANT] } }).tenantId, TENANT);
    assert.equal(said({ tid: OTHER_TENANT }), notNamed);
    assert.equal(said({ tid: undefined }), wrong('tid'));
  });

  test('is whichever the token says where the trust names none', () => {
    const wish = { tenants: [] };
    assert.equal(read({ tid: OTHER_TENANT }, { wish }).tenantId, OTHER_TENANT);
    assert.equal(read({ tid: undefined }, { wish }).tenantId, undefined);
  });

  test('is the one that the issuer stands for', () => {
    assert.equal(read({}, { issuerTenant: TENANT }).tenantId, TENANT);
    const wish = { tenants: [TENANT, OTHER_TENANT] };
    assert.equal(said({}, { wish, issuerTenant: OTHER_TENANT }), wrong('tid'));
    assert.equal(said({ tid: undefined }, { wish: { tenants: [] }, issuerTenant: TENANT }), wrong('tid'));
  });

  test('is not asked of tokens that do not say', () => {
    const silent = { claims: { tenantId: null } };
    assert.equal(read({ tid: OTHER_TENANT }, { wish: silent }).tenantId, TENANT);
    assert.equal(read({ tid: 1 }, { wish: { ...silent, tenants: [] } }).tenantId, undefined);
    assert.equal(read({}, { wish: { ...silent, tenants: [] }, issuerTenant: OTHER_TENANT }).tenantId, OTHER_TENANT);
  });
});

describe('the application of a token', () => {
  test('is azp or appid, which agree where both are there', () => {
    assert.equal(read({ azp: undefined, appid: 'old' }).applicationId, 'old');
    assert.equal(read({ azp: 'same', appid: 'same' }).applicationId, 'same');
    assert.equal(read({ appid: APPLICATION.toUpperCase() }).applicationId, APPLICATION);
    assert.equal(said({ azp: 'one', appid: 'other' }), wrong('azp'));
  });

  test('is the claim that the trust names, and no other', () => {
    const wish = { claims: { applicationId: 'client' } };
    assert.equal(read({ client: 'app', azp: 1, appid: 2 }, { wish }).applicationId, 'app');
    assert.equal(read({}, { wish }).applicationId, undefined);
    assert.equal(said({ client: 1 }, { wish }), wrong('client'));
  });
});

describe('the purpose of a token', () => {
  const applications = [APPLICATION.toUpperCase(), 'Named'];
  const saidFor = (purpose: Purpose, claims: Record<string, unknown> = {}, wish: Partial<TrustWish> = {}): string => {
    const token = read(claims, { wish: { applications, ...wish } });
    try {
      requirePurpose(token, purpose, refuse);
    } catch (cause) {
      if (!(cause instanceof ServiceError)) throw cause;
      return `${cause.reason}: ${cause.detail}`;
    }
    return 'accepted';
  };
  const OF_USERS = ['teamsUser', 'teamsExtension', 'entraUser'] as const;

  test('asks nothing more of services and operators', () => {
    for (const purpose of ['service', 'management'] as const)
      assert.equal(saidFor(purpose, { scp: undefined, azp: undefined, oid: 'x' }, { applications: [] }), 'accepted');
  });

  for (const purpose of OF_USERS) {
    test(`${purpose} is a user’s, of a named directory, by a named application`, () => {
      assert.equal(saidFor(purpose), 'accepted');
      assert.equal(
        saidFor(purpose, { scp: undefined }),
        'foreign.kind: it is a token of an application, and a token of a user is needed',
      );
      const unnamed = 'foreign.tenant: the trust names no tenants';
      assert.equal(saidFor(purpose, {}, { tenants: [] }), unnamed);
      assert.equal(saidFor(purpose, { tid: undefined }, { tenants: [] }), unnamed);
      assert.equal(saidFor(purpose, { oid: 'x' }), 'foreign.claims: the object id is not a GUID');
      assert.equal(saidFor(purpose, { azp: undefined }), 'foreign.claims: no claim names the application');
    });
  }

  test('takes applications by exact name, GUIDs in any case, or any of them', () => {
    const notNamed = 'foreign.application: the trust does not name the application';
    assert.equal(saidFor('entraUser', { azp: 'Named' }), 'accepted');
    for (const azp of ['named', 'Name', '*', OBJECT]) assert.equal(saidFor('entraUser', { azp }), notNamed, azp);
    assert.equal(saidFor('entraUser', {}, { applications: [] }), notNamed);
    assert.equal(saidFor('entraUser', { azp: 'whatever' }, { applications: ['x', '*'] }), 'accepted');
  });

  test('is not met by a directory that nobody said', () => {
    const token = { ...read(), tenantId: undefined };
    assert.throws(() => requirePurpose(token, 'entraUser', refuse), { detail: 'the trust names no tenants' });
  });
});

describe('a claim', () => {
  const payload = {
    a: { b: { c: 1 }, '': 2, 'x/y': 3, 'x~y': 4, '~1': 5 },
    list: ['zero', { one: 1 }],
    '/a': 6,
    nothing: null,
    'a/b': 7,
  };

  test('is found by its name, or by a JSON Pointer', () => {
    for (const [name, value] of [
      ['nothing', null],
      ['a/b', 7],
      ['/a/b/c', 1],
      ['/a/', 2],
      ['/a/x~1y', 3],
      ['/a/x~0y', 4],
      ['/a/~01', 5],
      ['/list/0', 'zero'],
      ['/list/1/one', 1],
    ] as const)
      assert.equal(claimAt(payload, name), value, name);
    assert.deepEqual(claimAt(payload, '/a/b'), { c: 1 });
  });

  test('is undefined where there is none', () => {
    for (const name of [
      'x',
      '',
      '/',
      '/x',
      '/x/y',
      '/a/b/c/d',
      '/nothing/x',
      '/list/2',
      '/list/00',
      '/list/01',
      '/list/1x',
      '/list/x1',
      '/list/length',
      '/list/-',
      '/list/0/0',
      '/list/0/length',
      'toString',
      '/a/toString',
      '/list/__proto__',
    ])
      assert.equal(claimAt(payload, name), undefined, name);
    assert.equal(claimAt({ list: Array.from({ length: 20 }, (_, index) => index) }, '/list/10'), 10);
  });
});
