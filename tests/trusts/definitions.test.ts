import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ResourceId } from '../../src/callers.ts';
import { ServiceError } from '../../src/errors.ts';
import {
  ALGORITHMS,
  AUDIENCES,
  audiencesFor,
  grant,
  narrows,
  PURPOSES,
  type TrustDefinition,
  type TrustWish,
  trustDefinition,
  trustName,
} from '../../src/trusts/trust.ts';

const PLAIN =
  ': http is allowed in dev mode, and for providers at private addresses with privateAddresses (--private-addresses)';
const ISSUER = 'https://id.example.org';
const TENANT = 'aaaaaaaa-0000-4000-8000-00000000000a';
const OTHER_TENANT = 'aaaaaaaa-0000-4000-8000-00000000000b';
const BY_TENANT = `${ISSUER}/{tenantId}`;
const PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';

type Wish = Partial<TrustWish> & { claims?: object };

const defined = (wish: Wish = {}, plainHttp = false): TrustDefinition =>
  trustDefinition({ issuers: [ISSUER], ...wish }, { plainHttp });

/** Insists that something is refused with exactly this complaint about this member. */
function refuses(make: () => unknown, target: string, why: string): void {
  assert.throws(make, (cause) => {
    assert.ok(cause instanceof ServiceError);
    assert.deepEqual(
      [cause.error, cause.target, cause.message],
      ['TrustInvalid', target, `The trust is not valid: ${target}: ${why}.`],
    );
    return true;
  });
}

const refusesWish = (wish: Wish, target: string, why: string, plainHttp = false): void =>
  refuses(() => defined(wish, plainHttp), target, why);

const BAD_ENTRY = 'an entry must be text without spaces, of at most 1024 characters';

describe('a definition', () => {
  test('has a default for everything but the issuers', () => {
    const defaults = {
      issuers: [ISSUER],
      metadata: `${ISSUER}/.well-known/openid-configuration`,
      keySet: undefined,
      tenants: [],
      audiences: {},
      applications: [],
      algorithms: ['RS256'],
      claims: {
        objectId: 'oid',
        tenantId: 'tid',
        applicationId: null,
        scopes: 'scp',
        roles: 'roles',
        groups: 'groups',
      },
      privateAddresses: false,
      certificateAuthority: undefined,
    };
    assert.deepEqual(defined(), defaults);
    const nothing = Object.fromEntries(
      [
        'metadata',
        'keySet',
        'tenants',
        'audiences',
        'applications',
        'algorithms',
        'claims',
        'privateAddresses',
        'certificateAuthority',
      ].map((name) => [name, null]),
    );
    assert.deepEqual(defined(nothing), defaults);
  });

  test('keeps what it is given', () => {
    const wish = {
      issuers: [`${ISSUER}/{tenantId}/`, 'urn:other'],
      metadata: 'https://elsewhere.example/{tenantId}/metadata',
      keySet: 'https://keys.example/keys?v=1',
      tenants: [TENANT, OTHER_TENANT],
      audiences: { service: ['api://one'], entraUser: ['two'] },
      applications: ['*'],
      algorithms: [...ALGORITHMS],
      claims: {
        objectId: '/user/id',
        tenantId: 'realm',
        applicationId: 'client',
        scopes: 's',
        roles: 'r',
        groups: 'g',
      },
      privateAddresses: true,
      certificateAuthority: PEM,
    };
    assert.deepEqual(defined(wish), wish);
  });

  test('looks for the metadata below the first issuer', () => {
    const at = (issuer: string) => defined({ issuers: [issuer, 'https://other.example'] }).metadata;
    assert.equal(at(`${ISSUER}/`), `${ISSUER}/.well-known/openid-configuration`);
    assert.equal(at(`${ISSUER}/a/b`), `${ISSUER}/a/b/.well-known/openid-configuration`);
    assert.equal(at('{endpoint}/x'), '{endpoint}/x/.well-known/openid-configuration');
  });

  test('says each thing once, GUIDs in lower case', () => {
    const { tenants, applications } = defined({ tenants: [TENANT.toUpperCase()], applications: ['a', 'b', 'a'] });
    assert.deepEqual([tenants, applications], [[TENANT], ['a', 'b']]);
  });

  test('has at most 200 entries in a list, each of at most 1024 characters without blanks', () => {
    const long = (count: number) => Array.from({ length: count }, (_, index) => `a${index}`);
    assert.equal(defined({ applications: long(200) }).applications.length, 200);
    refusesWish({ applications: long(201) }, 'applications', 'must have at most 200 entries');
    defined({ applications: ['x'.repeat(1024), '!', '~'] });
    for (const entry of ['x'.repeat(1025), 'a b', '', ' a', 'a ', 'é', 'a\n', '\x7f']) {
      refusesWish({ applications: ['good', entry] }, 'applications', BAD_ENTRY);
      refusesWish({ issuers: [entry] }, 'issuers', BAD_ENTRY);
      refusesWish({ audiences: { teamsUser: [entry] } }, 'audiences.teamsUser', BAD_ENTRY);
      refusesWish({ tenants: [entry] }, 'tenants', BAD_ENTRY);
    }
  });

  test('needs issuers, and tenants that are GUIDs', () => {
    refusesWish({ issuers: [] }, 'issuers', 'name at least one');
    refusesWish({ tenants: [TENANT, 'x'] }, 'tenants', 'x is not a GUID');
    const placed = [ISSUER, 'urn:{tenantId}'];
    refusesWish({ issuers: placed }, 'tenants', 'an issuer contains {tenantId}: name the tenants');
    assert.deepEqual(defined({ issuers: placed, tenants: [TENANT] }).issuers, placed);
  });

  test('with tokens that do not say which tenant they are from names one at most', () => {
    const claims = { tenantId: null };
    for (const tenants of [[], [TENANT]]) assert.equal(defined({ claims, tenants }).claims.tenantId, null);
    const why = 'the tokens have no tenant claim, so at most one tenant can be named';
    refusesWish({ claims, tenants: [TENANT, OTHER_TENANT] }, 'tenants', why);
    defined({ tenants: [TENANT, OTHER_TENANT] });
  });

  test('has addresses that are https, without names, passwords and fragments', () => {
    const why = (text: string) => `${text} is not an https address${text.startsWith('http:') ? PLAIN : ''}`;
    for (const text of [
      'http://a.example/',
      'ftp://a.example/',
      'xhttps://a.example',
      'a.example',
      'https://',
      'https://me@a.example/',
      'https://:secret@a.example/',
      'https://a.example/#x',
    ]) {
      refusesWish({ metadata: text }, 'metadata', why(text));
      refusesWish({ keySet: text }, 'keySet', why(text));
      refusesWish({ metadata: text, privateAddresses: true }, 'metadata', why(text));
    }
    const long = (length: number) => `https://a.example/${'x'.repeat(length - 18)}`;
    assert.equal(defined({ metadata: long(1024) }).metadata.length, 1024);
    assert.throws(() => defined({ metadata: long(1025) }), { target: 'metadata' });
    for (const text of ['{endpoint}/x', 'https://{tenantId}.example/', 'https://a.example:8443/x?y=1']) {
      assert.equal(defined({ metadata: text }).metadata, text);
      assert.equal(defined({ keySet: text }).keySet, text);
    }
    assert.equal(defined({ keySet: '' }).keySet, undefined);
  });

  test('may have plain http where that is allowed, and the provider is at a private address', () => {
    const text = 'http://10.0.0.1/x';
    const wish = { metadata: text, keySet: text, privateAddresses: true };
    assert.deepEqual([defined(wish, true).metadata, defined(wish, true).keySet], [text, text]);
    assert.equal(
      defined({ metadata: 'https://a.example/', privateAddresses: true }, true).metadata,
      'https://a.example/',
    );
    refusesWish({ ...wish, privateAddresses: false }, 'metadata', `${text} is not an https address${PLAIN}`, true);
    for (const other of ['ftp://10.0.0.1/', 'xhttp://10.0.0.1/'])
      refusesWish({ ...wish, metadata: other }, 'metadata', `${other} is not an https address`, true);
  });

  test('allows known algorithms only, and at least one', () => {
    refusesWish({ algorithms: [] }, 'algorithms', 'name at least one');
    for (const name of ['none', 'HS256', 'rs256', ''])
      refusesWish({ algorithms: ['RS256', name] }, 'algorithms', `must be one of ${ALGORITHMS.join(', ')}`);
  });

  test('names claims that a trust has, and remembers no other', () => {
    const known = 'must be one of objectId, tenantId, applicationId, scopes, roles, groups';
    for (const claims of [
      { objectid: 'sub' },
      { objectId: 'sub', oid: 'sub' },
      JSON.parse('{"__proto__":"sub"}'),
      { toString: 'x' },
    ])
      refusesWish({ claims }, 'claims', known);
    const bad = 'the name of a claim must be text without spaces';
    for (const name of ['', 'a b', ' a', 'a ', 'x'.repeat(257), 'é'])
      refusesWish({ claims: { roles: name } }, 'claims.roles', bad);
    assert.equal(defined({ claims: { roles: 'x'.repeat(256) } }).claims.roles.length, 256);
    const said = { objectId: null, tenantId: null, applicationId: null, scopes: undefined, roles: null, groups: null };
    assert.deepEqual(defined({ claims: said }).claims, { ...defined().claims, tenantId: null });
    assert.equal(defined({ claims: { applicationId: 'azp' } }).claims.applicationId, 'azp');
    assert.equal(defined({ claims: { tenantId: undefined } }).claims.tenantId, 'tid');
  });

  test('has certificates of an authority as PEM', () => {
    const block = (inside: string) => `-----BEGIN CERTIFICATE-----${inside}-----END CERTIFICATE-----`;
    for (const pem of [PEM, ` \n${PEM}\n`, block('x'), PEM + PEM, block('x'.repeat(65_536))])
      assert.equal(defined({ certificateAuthority: pem }).certificateAuthority, pem);
    for (const pem of [
      '',
      'x',
      block(''),
      `x${PEM}`,
      `${PEM}x`,
      block('x'.repeat(65_537)),
      PEM.replace('BEGIN', 'begin'),
    ])
      refusesWish({ certificateAuthority: pem }, 'certificateAuthority', 'must be the PEM text of a certificate');
  });
});

describe('the name of a trust', () => {
  const why = 'a name has 1 to 63 letters, digits, hyphens or underscores';

  test('is kept in lower case', () => {
    assert.equal(trustName('My-Trust_1'), 'my-trust_1');
    assert.equal(trustName('x'.repeat(63)).length, 63);
  });

  test('has 1 to 63 letters, digits, hyphens or underscores', () => {
    for (const text of ['', 'x'.repeat(64), 'a b', ' a', 'a ', 'a.b', 'a/b', 'é']) {
      refuses(() => trustName(text), 'name', why);
      refuses(() => trustName(text, 'grant'), 'grant', why);
    }
  });
});

test('only applications can be any: elsewhere `*` is refused', () => {
  const why = "'*' does not stand for any value here: name each value";
  refusesWish({ issuers: ['*'] }, 'issuers', why);
  refusesWish({ issuers: [ISSUER, '*'] }, 'issuers', why);
  for (const purpose of PURPOSES) refusesWish({ audiences: { [purpose]: ['a', '*'] } }, `audiences.${purpose}`, why);
  refusesWish({ tenants: ['*'] }, 'tenants', '* is not a GUID');
  refusesWish({ algorithms: ['*'] }, 'algorithms', `must be one of ${ALGORITHMS.join(', ')}`);
  for (const member of ['metadata', 'keySet']) refusesWish({ [member]: '*' }, member, '* is not an https address');
  assert.deepEqual(defined({ applications: ['*'] }).applications, ['*']);
});

describe('a grant', () => {
  const resource = 'one' as ResourceId;
  const made = (wish: { kind?: string; value?: string; right?: string } = {}, definition = defined()) =>
    grant(
      'Readers',
      {
        principal: { kind: wish.kind ?? 'role', value: wish.value ?? 'Reader' },
        right: wish.right ?? 'data',
        resource,
      },
      definition,
    );

  test('names a principal and what it may do', () => {
    for (const kind of ['objectId', 'applicationId', 'role'])
      for (const right of ['data', 'management', 'read'])
        assert.deepEqual(made({ kind, right }), {
          name: 'readers',
          principal: { kind, value: 'Reader' },
          right,
          resource,
        });
  });

  test('is refused for a principal or a right that there is not', () => {
    refuses(() => made({ kind: 'user' }), 'principal.kind', 'must be one of objectId, applicationId, role');
    refuses(() => made({ right: 'write' }), 'right', 'must be one of data, management, read');
    for (const value of ['', 'a b', 'x'.repeat(1025)]) refuses(() => made({ value }), 'principal.value', BAD_ENTRY);
    for (const kind of ['objectId', 'applicationId', 'role'])
      refuses(
        () => made({ kind, value: '*' }),
        'principal.value',
        "'*' does not stand for any value here: name each value",
      );
  });

  test('to an application needs tokens that tell it from its users', () => {
    const other = defined({ claims: { scopes: 'scope' } });
    refuses(
      () => made({ kind: 'applicationId' }, other),
      'principal.kind',
      'only tokens with Entra’s claims tell an application from its users: grant by objectId or role',
    );
    for (const kind of ['objectId', 'role']) made({ kind }, other);
  });
});

describe('a changed definition', () => {
  const changes = (former: Wish, next: Wish): boolean => narrows(defined(former), defined(next));

  test('that only adds takes nothing back', () => {
    for (const [former, next] of [
      [{}, {}],
      [{}, { issuers: [ISSUER, 'urn:other'], metadata: defined().metadata }],
      [{ tenants: [TENANT] }, { tenants: [TENANT, OTHER_TENANT] }],
      [{ tenants: [TENANT] }, { tenants: [OTHER_TENANT, TENANT] }],
      [{ applications: ['a'] }, { applications: ['b', 'a'] }],
      [{ applications: ['a'] }, { applications: ['*'] }],
      [{}, { algorithms: ['ES256', 'RS256'] }],
      [{ audiences: { service: ['a'] } }, { audiences: { service: ['b', 'a'] } }],
      [{}, { audiences: { service: [...AUDIENCES.service, 'more'] } }],
      [{}, { privateAddresses: true }],
      [
        { issuers: [BY_TENANT, 'urn:{tenantId}'], tenants: [TENANT] },
        { issuers: [BY_TENANT, 'urn:{tenantId}', 'urn:third'], tenants: [TENANT, OTHER_TENANT] },
      ],
      [
        { issuers: [`${BY_TENANT}?dead-beef-`], tenants: [TENANT] },
        { issuers: [`${BY_TENANT}?dead-beef-`], tenants: [TENANT, OTHER_TENANT] },
      ],
    ] as [Wish, Wish][])
      assert.equal(changes(former, next), false, JSON.stringify([former, next]));
  });

  test('that takes anything away, or asks elsewhere, narrows', () => {
    for (const [former, next] of [
      [{ issuers: [ISSUER, 'urn:other'] }, {}],
      [{ tenants: [TENANT, OTHER_TENANT] }, { tenants: [TENANT] }],
      [{ tenants: [TENANT] }, { tenants: [OTHER_TENANT] }],
      [{}, { tenants: [TENANT] }],
      [{ tenants: [TENANT] }, {}],
      [{ applications: ['a', 'b'] }, { applications: ['a'] }],
      [{ applications: ['*'] }, { applications: ['a'] }],
      [{ algorithms: ['RS256', 'ES256'] }, {}],
      ...PURPOSES.map((purpose) => [{}, { audiences: { [purpose]: ['a'] } }]),
      ...PURPOSES.map((purpose) => [{ audiences: { [purpose]: ['a', 'b'] } }, { audiences: { [purpose]: ['a'] } }]),
      [{}, { metadata: 'https://elsewhere.example/' }],
      [{}, { keySet: 'https://elsewhere.example/' }],
      [{ keySet: 'https://elsewhere.example/' }, {}],
      [{}, { claims: { roles: 'r' } }],
      [{}, { certificateAuthority: PEM }],
      [{ certificateAuthority: PEM }, {}],
      [{ privateAddresses: true }, {}],
    ] as [Wish, Wish][])
      assert.equal(changes(former, next), true, JSON.stringify([former, next]));
  });

  test('in which an issuer may stand for another tenant narrows', () => {
    const tenants = [TENANT, OTHER_TENANT];
    const exact = `${ISSUER}/${OTHER_TENANT}`;
    const { metadata } = defined();
    for (const [former, next] of [
      // Before, its tokens could be of any tenant; after this, of one.
      [{ issuers: [exact] }, { issuers: [BY_TENANT, exact] }],
      [{ issuers: [exact, BY_TENANT] }, { issuers: [BY_TENANT, exact] }],
      [
        { issuers: [BY_TENANT, exact], tenants: [TENANT] },
        { issuers: [BY_TENANT, exact], tenants },
      ],
      [
        { issuers: [BY_TENANT, '{endpoint}/x'], tenants: [TENANT] },
        { issuers: [BY_TENANT, '{endpoint}/x'], tenants },
      ],
    ] as [Wish, Wish][])
      assert.equal(
        changes({ tenants, metadata, ...former }, { tenants, metadata, ...next }),
        true,
        JSON.stringify([former, next]),
      );
  });

  test('that an earlier release took with `*` in it counts as that text and nothing more', () => {
    const stored = defined();
    const star = ['*'];
    for (const wild of [
      { issuers: star },
      { tenants: star },
      { algorithms: star },
      ...PURPOSES.map((purpose) => ({ audiences: { [purpose]: star } })),
    ]) {
      const next = { ...stored, tenants: [TENANT], ...wild } as TrustDefinition;
      const former = { ...stored, tenants: [TENANT] };
      assert.equal(narrows(former, next), true, JSON.stringify(wild));
      assert.equal(narrows(next, next), false);
    }
  });
});

test('the audiences of a purpose are the trust’s own, or those of the protocol', () => {
  const definition = defined({
    audiences: { service: ['own'], management: [], teamsUser: null, entraUser: undefined },
  });
  assert.deepEqual(Object.keys(definition.audiences), ['service', 'management']);
  assert.deepEqual(audiencesFor(definition, 'service'), ['own']);
  assert.deepEqual(audiencesFor(definition, 'management'), []);
  const communication = [
    'https://auth.msft.communication.azure.com',
    'https://auth.msft.communication.azure.us',
    '1fd5118e-2576-4263-8130-9503064c837a',
  ];
  // identity-protocol, sections 2.4–2.6; management-cli-connector, section 6.
  assert.deepEqual(
    PURPOSES.map((purpose) => [purpose, audiencesFor(defined(), purpose)]),
    [
      ['service', ['https://communication.azure.com/', '1fd5118e-2576-4263-8130-9503064c837a']],
      ['management', ['https://management.azure.com/', 'https://management.core.windows.net/', '{endpoint}/']],
      ['teamsUser', communication],
      ['teamsExtension', communication],
      ['entraUser', ['https://communication.azure.com/clients', '2a04943b-b6a7-4f65-8786-2bb6131b59f6']],
    ],
  );
  assert.deepEqual([...ALGORITHMS].sort(), [
    'ES256',
    'ES384',
    'EdDSA',
    'PS256',
    'PS384',
    'PS512',
    'RS256',
    'RS384',
    'RS512',
  ]);
});
