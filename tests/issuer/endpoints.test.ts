import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose';
import {
  APPLICATIONS,
  AUDIENCES,
  DIRECTORY_TENANT,
  MANAGED_IDENTITY_RESOURCE,
  PUBLISHED_SECRET,
  USERS,
} from '../../src/planes/sign-in/directory.ts';
import { assertError } from '../harness/envelope.ts';
import type { Answer } from '../harness/http.ts';
import { startProduction } from '../harness/production.ts';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

const { service, managedIdentity, app } = APPLICATIONS;
const SERVICE = 'https://communication.azure.com/';
const SERVICE_SCOPE = `${SERVICE}/.default`;
const CHAT_SCOPE = 'https://communication.azure.com/clients/Chat';
const OPERATOR_KEY = 'the-operator-of-this-test-0123456789';
const TOKEN = `/${DIRECTORY_TENANT}/oauth2/v2.0/token`;
const [alice] = USERS;

type Form = Record<string, string | undefined>;

const formOf = (fields: Form): string =>
  String(
    new URLSearchParams(Object.entries(fields).filter((field): field is [string, string] => field[1] !== undefined)),
  );

const post = (
  server: TestServer,
  target: string,
  fields: Form | string,
  headers: Record<string, string | string[]> = {},
): Promise<Answer> =>
  server.send({
    method: 'POST',
    target,
    headers: { 'Content-Type': 'application/x-www-form-urlencoded', ...headers },
    body: typeof fields === 'string' ? fields : formOf(fields),
  });

const AS_SERVICE = {
  grant_type: 'client_credentials',
  client_id: service.clientId,
  client_secret: PUBLISHED_SECRET,
  scope: SERVICE_SCOPE,
};
const AS_ALICE = {
  grant_type: 'password',
  client_id: app.clientId,
  username: alice?.userName,
  password: PUBLISHED_SECRET,
  scope: CHAT_SCOPE,
};
const MSI = '/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fcommunication.azure.com%2F';
const IMDS = '/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fcommunication.azure.com%2F';
const withHeader = (secret: string | string[] = PUBLISHED_SECRET) => ({ 'X-IDENTITY-HEADER': secret });

/** Insists on the error of RFC 6749, section 5.2, member by member. */
function assertRefused({ status, body, text }: Answer, [expected, error]: readonly [number, string], about = ''): void {
  assert.deepEqual([status, body?.error], [expected, error], `${about}: ${status} ${text}`);
  assert.deepEqual(Object.keys(body), ['error', 'error_description']);
  assert.match(body.error_description, /^[ -~]+\.$/);
  assert.ok(!text.includes(PUBLISHED_SECRET));
}

/** Where tools that know OAuth only take the operator in: az, Terraform, the SDKs with an authority of their own. */
const OPERATOR_TOKENS = [
  '/adfs/oauth2/v2.0/token',
  TOKEN,
  '/11111111-2222-3333-4444-55555555555A/oauth2/v2.0/token',
  '/common/oauth2/v2.0/token',
  `/adfs/${DIRECTORY_TENANT}/oauth2/v2.0/token`,
  '/adfs/11111111-2222-3333-4444-55555555555A/oauth2/v2.0/token',
  '/adfs/common/oauth2/v2.0/token',
];

async function assertOperatorSignsIn(server: TestServer): Promise<void> {
  const asOperator = { ...AS_SERVICE, client_id: DIRECTORY_TENANT, client_secret: OPERATOR_KEY };
  for (const target of OPERATOR_TOKENS) {
    const { status, body, text } = await post(server, target, asOperator);
    assert.deepEqual([status, body.token_type, body.access_token], [200, 'Bearer', OPERATOR_KEY], `${target} ${text}`);
  }
  for (const target of OPERATOR_TOKENS.filter((target) => !target.includes('11111111'))) {
    const wrong = await post(server, target, { ...asOperator, client_secret: `${OPERATOR_KEY}x` });
    assertRefused(wrong, [401, 'invalid_client'], target);
    assert.match(wrong.body.error_description, /client secret/);
  }
  for (const tenant of ['x', 'consumers', '%2e%2e', 'adfs/x']) {
    const answer = await post(server, `/${tenant}/oauth2/v2.0/token`, asOperator);
    assertRefused(answer, [400, 'invalid_request'], tenant);
  }
  const asUser = { ...AS_ALICE, client_id: DIRECTORY_TENANT, client_secret: OPERATOR_KEY };
  for (const target of OPERATOR_TOKENS) {
    const answer = await post(server, target, asUser);
    assert.ok([400, 401].includes(answer.status), `${target} ${answer.text}`);
  }
}

describe('the token endpoint', () => {
  let server: TestServer;
  shareServer(
    (started) => {
      server = started;
    },
    { env: { LINARITE_OPERATOR_KEY: OPERATOR_KEY } },
  );

  test('takes the secret in the body, or in the Authorization header', async () => {
    const { client_id, client_secret, ...rest } = AS_SERVICE;
    const basic = Buffer.from(`${client_id}:${encodeURIComponent(client_secret)}`).toString('base64');
    for (const answer of [
      await post(server, TOKEN, AS_SERVICE),
      await post(server, TOKEN, rest, { Authorization: `Basic ${basic}` }),
    ]) {
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.headers['cache-control'], 'no-store');
      const { access_token, ...more } = answer.body;
      assert.deepEqual(more, { token_type: 'Bearer', expires_in: 3600, ext_expires_in: 3600 });
      assert.equal(decodeJwt(access_token).azp, service.clientId);
    }
  });

  test('takes the scopes of a user beside that of an application, as MSAL for Java sends them, at its address', async () => {
    const scope = `${SERVICE_SCOPE} openid profile offline_access`;
    const { body, text } = await post(server, '/adfs/oauth2/token', { ...AS_SERVICE, scope });
    assert.equal(decodeJwt(body.access_token ?? assert.fail(text)).aud, SERVICE);
    assert.deepEqual([body.id_token, body.refresh_token], [undefined, undefined], 'nobody signed in');
  });

  test('signs the operator in with the operator key, under every GUID and under adfs', async () => {
    await assertOperatorSignsIn(server);
  });

  const refusals: [string, Form | string, readonly [number, string]][] = [
    ['a wrong secret', { ...AS_SERVICE, client_secret: 'wrong' }, [401, 'invalid_client']],
    ['an empty secret', { ...AS_SERVICE, client_secret: '' }, [401, 'invalid_client']],
    ['no secret', { ...AS_SERVICE, client_secret: undefined }, [401, 'invalid_client']],
    ['an unknown client', { ...AS_SERVICE, client_id: DIRECTORY_TENANT }, [401, 'invalid_client']],
    ['the managed identity', { ...AS_SERVICE, client_id: managedIdentity.clientId }, [401, 'invalid_client']],
    ['a secret for a client that has none', { ...AS_ALICE, client_secret: PUBLISHED_SECRET }, [401, 'invalid_client']],
    ['no client', { ...AS_SERVICE, client_id: undefined }, [400, 'invalid_request']],
    [
      'a client without a secret that acts for itself',
      { ...AS_SERVICE, client_id: app.clientId, client_secret: undefined },
      [400, 'unauthorized_client'],
    ],
    ['no grant type', { ...AS_SERVICE, grant_type: undefined }, [400, 'invalid_request']],
    ['another grant type', { ...AS_SERVICE, grant_type: 'authorization_code' }, [400, 'unsupported_grant_type']],
    ['a grant type of every object', { ...AS_SERVICE, grant_type: 'constructor' }, [400, 'unsupported_grant_type']],
    ['an empty body', '', [400, 'invalid_request']],
    ['a repeated parameter', `${formOf(AS_SERVICE)}&scope=x`, [400, 'invalid_request']],
    [
      'a repeated parameter with the same value',
      `${formOf(AS_SERVICE)}&client_id=${service.clientId}`,
      [400, 'invalid_request'],
    ],
    ['no scope', { ...AS_SERVICE, scope: undefined }, [400, 'invalid_request']],
    ['another resource', { ...AS_SERVICE, scope: 'https://vault.azure.net/.default' }, [400, 'invalid_resource']],
    ['no resource', { ...AS_SERVICE, scope: '/.default' }, [400, 'invalid_resource']],
    ['a permission for an application', { ...AS_SERVICE, scope: CHAT_SCOPE }, [400, 'invalid_scope']],
    ['two resources', { ...AS_SERVICE, scope: `${SERVICE_SCOPE} ${SERVICE_SCOPE}` }, [400, 'invalid_scope']],
    ['a wrong password', { ...AS_ALICE, password: 'wrong' }, [400, 'invalid_grant']],
    ['an unknown user', { ...AS_ALICE, username: 'mallory@dev.linarite.test' }, [400, 'invalid_grant']],
    ['no password', { ...AS_ALICE, password: undefined }, [400, 'invalid_request']],
    ['an unknown permission', { ...AS_ALICE, scope: `${CHAT_SCOPE}.Everything` }, [400, 'invalid_scope']],
    [
      'permissions of two audiences',
      { ...AS_ALICE, scope: `${CHAT_SCOPE} https://auth.msft.communication.azure.com/Teams.ManageCalls` },
      [400, 'invalid_scope'],
    ],
    ['only who the user is', { ...AS_ALICE, scope: 'openid profile' }, [400, 'invalid_scope']],
    ['a scope that is no address', { ...AS_ALICE, scope: 'Chat' }, [400, 'invalid_resource']],
    ['a very long scope', { ...AS_ALICE, scope: `${CHAT_SCOPE} `.repeat(1000) }, [400, 'invalid_scope']],
    ['no refresh token', { ...AS_ALICE, grant_type: 'refresh_token' }, [400, 'invalid_request']],
    [
      'a made-up refresh token',
      { ...AS_ALICE, grant_type: 'refresh_token', refresh_token: 'x' },
      [400, 'invalid_grant'],
    ],
    ['a made-up device code', { ...AS_ALICE, grant_type: 'device_code', device_code: 'x' }, [400, 'expired_token']],
  ];
  for (const [about, fields, expected] of refusals) {
    test(`refuses ${about}`, async () => {
      assertRefused(await post(server, TOKEN, fields), expected, about);
    });
  }

  test('refuses an Authorization header that it cannot read, and a secret in two places', async () => {
    const { client_id, client_secret, ...rest } = AS_SERVICE;
    const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
    for (const header of [
      'Basic',
      'Basic !',
      'Bearer x',
      basic('x'),
      basic(`${client_id}:%`),
      basic(`${client_id}:`),
    ]) {
      const answer = await post(server, TOKEN, rest, { Authorization: header });
      assertRefused(answer, [401, 'invalid_client'], header);
      assert.equal(answer.headers['www-authenticate'], 'Basic realm="Linarite"');
    }
    const right = basic(`${client_id}:${client_secret}`);
    assertRefused(await post(server, TOKEN, AS_SERVICE, { Authorization: right }), [401, 'invalid_client']);
    assertRefused(await post(server, TOKEN, rest, { Authorization: [right, right] }), [400, 'invalid_request']);
  });

  test('refuses a body that is no form, in the same shape', async () => {
    const answer = await post(server, TOKEN, '{}', { 'Content-Type': 'application/json' });
    assertRefused(answer, [415, 'invalid_request']);
  });

  test('refuses another tenant, at every address', async () => {
    for (const tenant of ['5e1f0057-0000-4000-8000-00000000007f', 'consumers', 'x', '%2e%2e', 'caf%C3%A9']) {
      const answers = [
        await post(server, `/${tenant}/oauth2/v2.0/token`, AS_SERVICE),
        await post(server, `/${tenant}/oauth2/v2.0/devicecode`, { client_id: app.clientId, scope: CHAT_SCOPE }),
        await server.send({ target: `/${tenant}/discovery/v2.0/keys` }),
        await server.send({ target: `/${tenant}/v2.0/.well-known/openid-configuration` }),
        await server.send({ target: `/${tenant}/.well-known/openid-configuration` }),
      ];
      for (const answer of answers) assertRefused(answer, [400, 'invalid_request'], tenant);
    }
  });

  test('gives users the permissions asked for, all of them for .default, in the spelling of the directory', async () => {
    for (const { aud, permissions } of AUDIENCES) {
      for (const [asked, given] of [
        ['.default', permissions],
        [permissions[0]?.toUpperCase(), permissions.slice(0, 1)],
      ] as const) {
        const scope = `${aud.replace(/\/$/, '')}/${asked}`;
        const { body, text } = await post(server, TOKEN, { ...AS_ALICE, scope: `${scope} openid profile` });
        const claims = decodeJwt(body.access_token ?? assert.fail(text));
        assert.deepEqual([claims.aud, claims.scp], [aud, given.join(' ')], scope);
        const said = body.scope.split(' ');
        for (const one of [scope, ...given.map((name) => `${aud.replace(/\/$/, '')}/${name}`)])
          assert.ok(said.includes(one), `${one} in ${body.scope}`);
      }
    }
  });

  test('tells the client who signed in, and lets it come back, only when asked to', async () => {
    const bare = await post(server, TOKEN, AS_ALICE);
    assert.deepEqual(
      [bare.body.id_token, bare.body.refresh_token, bare.body.client_info],
      [undefined, undefined, undefined],
    );
    const scope = `${CHAT_SCOPE} openid profile offline_access`;
    const { body } = await post(server, TOKEN, { ...AS_ALICE, scope, client_info: '1' });
    const { aud, oid, preferred_username } = decodeJwt(body.id_token);
    assert.deepEqual([aud, oid, preferred_username], [app.clientId, alice?.objectId, alice?.userName]);
    assert.deepEqual(JSON.parse(Buffer.from(body.client_info, 'base64url').toString()), {
      uid: alice?.objectId,
      utid: DIRECTORY_TENANT,
    });
  });

  test('takes a refresh token from the client it was given to, and no other token in its place', async () => {
    const scope = `${CHAT_SCOPE} openid offline_access`;
    const { refresh_token, access_token, id_token } = (await post(server, TOKEN, { ...AS_ALICE, scope })).body;
    const refresh = (token: string, more: Form = {}) =>
      post(server, TOKEN, {
        grant_type: 'refresh_token',
        client_id: app.clientId,
        scope,
        refresh_token: token,
        ...more,
      });
    assert.equal(decodeJwt((await refresh(refresh_token)).body.access_token).oid, alice?.objectId);
    const other = { client_id: service.clientId, client_secret: PUBLISHED_SECRET };
    assertRefused(await refresh(refresh_token, other), [400, 'invalid_grant'], 'another client');
    const forged = `${refresh_token.slice(0, -8)}AAAAAAAA`;
    for (const token of [access_token, id_token, forged, `${refresh_token}.`]) {
      assertRefused(await refresh(token), [400, 'invalid_grant'], token);
    }
  });
});

test('a refresh token ends after a day, a device code after a quarter of an hour', async (t) => {
  const clock = new TestClock();
  const server = await startTestServer(t, { clock });
  const scope = `${CHAT_SCOPE} offline_access`;
  const { refresh_token } = (await post(server, TOKEN, { ...AS_ALICE, scope })).body;
  const started = await post(server, `/${DIRECTORY_TENANT}/oauth2/v2.0/devicecode`, { client_id: app.clientId, scope });
  const { device_code, user_code, expires_in } = started.body;
  const redeem = () => post(server, TOKEN, { grant_type: 'device_code', client_id: app.clientId, device_code });
  const refresh = () =>
    post(server, TOKEN, { grant_type: 'refresh_token', client_id: app.clientId, scope, refresh_token });
  clock.advance(expires_in * 1000 - 1);
  assertRefused(await redeem(), [400, 'authorization_pending']);
  clock.advance(1);
  assertRefused(await redeem(), [400, 'expired_token']);
  const late = { user_code, user: alice?.objectId, answer: 'allow' };
  assert.equal((await post(server, '/-/devicelogin', late, { Origin: `http://${server.host}` })).status, 400);
  assert.equal((await refresh()).status, 200);
  clock.advance(24 * 3600_000);
  assertRefused(await refresh(), [400, 'invalid_grant']);
});

describe('the managed identity endpoints', () => {
  let server: TestServer;
  shareServer((started) => {
    server = started;
  });

  test('answer in the shape of the metadata service, numbers as texts', async () => {
    for (const answer of [
      await server.send({ target: MSI, headers: withHeader() }),
      await server.send({ target: IMDS, headers: { Metadata: 'true' } }),
      await server.send({ target: IMDS.replace('?', '/?'), headers: { Metadata: 'True' } }),
      await post(server, '/msi/token', { resource: SERVICE }, { Metadata: 'true' }),
    ]) {
      assert.equal(answer.status, 200, answer.text);
      const { access_token, expires_on, not_before, ...rest } = answer.body;
      assert.deepEqual(rest, {
        client_id: managedIdentity.clientId,
        expires_in: '3600',
        resource: SERVICE,
        token_type: 'Bearer',
      });
      const { exp, nbf, oid, idtyp, aud } = decodeJwt(access_token);
      assert.deepEqual([expires_on, not_before], [String(exp), String(nbf)]);
      assert.deepEqual([oid, idtyp, aud], [managedIdentity.objectId, 'app', SERVICE]);
    }
  });

  test('take the resource with its slash or without, and the identity by any of its names', async () => {
    for (const more of [
      `client_id=${managedIdentity.clientId.toUpperCase()}`,
      `object_id=${managedIdentity.objectId}`,
      `principal_id=${managedIdentity.objectId}`,
      `mi_res_id=${encodeURIComponent(MANAGED_IDENTITY_RESOURCE.toLowerCase())}`,
    ]) {
      const answer = await server.send({ target: `${MSI.slice(0, -3)}&${more}`, headers: withHeader() });
      assert.equal(answer.status, 200, `${more}: ${answer.text}`);
      assert.equal(decodeJwt(answer.body.access_token).aud, SERVICE);
    }
  });

  test('refuse a wrong, missing or repeated X-IDENTITY-HEADER, before anything else', async () => {
    for (const headers of [{}, withHeader(''), withHeader('wrong'), withHeader([PUBLISHED_SECRET, PUBLISHED_SECRET])]) {
      for (const target of [MSI, '/msi/token']) {
        assertRefused(await server.send({ target, headers }), [401, 'invalid_client']);
      }
    }
  });

  test('refuse what does not say Metadata: true', async () => {
    for (const headers of [{}, { Metadata: 'false' }, { Metadata: ['true', 'true'] }, withHeader()]) {
      assertRefused(await server.send({ target: IMDS, headers }), [400, 'invalid_request']);
      assertRefused(await post(server, '/msi/token', { resource: SERVICE }, headers), [400, 'invalid_request']);
    }
  });

  test('refuse other versions, resources and identities, and repeated parameters', async () => {
    const rows: [string, readonly [number, string]][] = [
      [MSI.replace('2019-08-01', '2017-09-01'), [400, 'invalid_request']],
      [MSI.replace('api-version=2019-08-01&', ''), [400, 'invalid_request']],
      [MSI.replace(/&resource=.*/, ''), [400, 'invalid_request']],
      [MSI.replace(/resource=.*/, 'resource='), [400, 'invalid_request']],
      [MSI.replace(/resource=.*/, 'resource=https://vault.azure.net'), [400, 'invalid_resource']],
      [`${MSI}&resource=x`, [400, 'invalid_request']],
      [`${MSI}&api-version=2019-08-01`, [400, 'invalid_request']],
      [`${MSI}&client_id=${service.clientId}`, [400, 'invalid_request']],
      [`${MSI}&client_id=${managedIdentity.clientId}&client_id=${managedIdentity.clientId}`, [400, 'invalid_request']],
      [`${MSI}&object_id=${managedIdentity.clientId}`, [400, 'invalid_request']],
      [`${MSI}&mi_res_id=/subscriptions/x`, [400, 'invalid_request']],
    ];
    for (const [target, expected] of rows) {
      assertRefused(await server.send({ target, headers: withHeader() }), expected, target);
    }
    const noVersion = IMDS.replace('api-version=2018-02-01&', '');
    assertRefused(await server.send({ target: noVersion, headers: { Metadata: 'true' } }), [400, 'invalid_request']);
  });
});

/** Every address of the issuer, with a call that would be answered. */
const CALLS: { target: string; headers?: Record<string, string>; body?: string; method?: string }[] = [
  { target: '/adfs/discovery/v2.0/keys' },
  { target: `/${DIRECTORY_TENANT}/v2.0/.well-known/openid-configuration` },
  { target: `/${DIRECTORY_TENANT}/.well-known/openid-configuration` },
  { target: MSI, headers: withHeader() as Record<string, string> },
  { target: IMDS, headers: { Metadata: 'true' } },
  { target: IMDS.replace('?', '/?'), headers: { Metadata: 'true' } },
  { target: '/-/devicelogin' },
  { target: `/common/UserRealm/${alice?.userName}?api-version=1.0` },
  ...[
    { target: TOKEN, body: formOf(AS_SERVICE) },
    { target: '/adfs/oauth2/token', body: formOf(AS_SERVICE) },
    { target: '/adfs/oauth2/devicecode', body: formOf({ client_id: app.clientId, scope: CHAT_SCOPE }) },
    { target: '/msi/token', body: formOf({ resource: SERVICE }), headers: { Metadata: 'true' } },
    {
      target: '/adfs/oauth2/v2.0/devicecode',
      body: formOf({ client_id: app.clientId, scope: CHAT_SCOPE }),
    },
  ].map((call) => ({
    ...call,
    method: 'POST',
    headers: { 'Content-Type': 'application/x-www-form-urlencoded', ...call.headers },
  })),
];
/** What production mode has too, for the operator. */
const OPERATOR_PLACES = [
  '/oauth2/v2.0/token',
  '/v2.0/.well-known/openid-configuration',
  '/.well-known/openid-configuration',
];
/** Those that give something to every caller; the others want a secret, or give what everybody may know. */
const WITHOUT_SECRET = ['/metadata/', '/-/devicelogin', '/adfs/oauth2/devicecode', '/adfs/oauth2/v2.0/devicecode'];
const FORWARDED = { 'X-Forwarded-For': '10.1.2.3' };

describe('the issuer', () => {
  test('is on this machine only while its secret is the published one', async (t) => {
    const server = await startTestServer(t);
    for (const call of CALLS) {
      assert.equal((await server.send(call)).status, 200, call.target);
      for (const name of [
        'Forwarded',
        'X-Forwarded-For',
        'X-Forwarded-Host',
        'X-Forwarded-Proto',
        'X-Real-IP',
        'Via',
      ]) {
        const answer = await server.send({ ...call, headers: { ...call.headers, [name]: '10.1.2.3' } });
        assert.equal(answer.status, 401, `${call.target} ${name}`);
        assert.equal(answer.headers['x-linarite-reason'], 'issuer.loopbackOnly');
      }
    }
  });

  test('is reachable from everywhere where the published key is', async (t) => {
    const server = await startTestServer(t, { env: { LINARITE_WELL_KNOWN_KEY: 'everywhere' } });
    for (const call of CALLS)
      assert.equal(
        (await server.send({ ...call, headers: { ...call.headers, ...FORWARDED } })).status,
        200,
        call.target,
      );
  });

  test('has a random secret where there is no published key, kept for the next start, and asks for it from everywhere', async (t) => {
    const env = { LINARITE_WELL_KNOWN_KEY: 'off' };
    const server = await startTestServer(t, { env });
    const secret = readFileSync(join(server.folder, 'issuer.secret'), 'utf8').trim();
    assert.match(secret, /^[\w-]{43}$/);
    assert.equal(statSync(join(server.folder, 'issuer.secret')).mode & 0o777, 0o600);
    assertRefused(await server.send({ target: MSI, headers: withHeader() }), [401, 'invalid_client']);
    assertRefused(await post(server, TOKEN, AS_SERVICE), [401, 'invalid_client']);
    assertRefused(await post(server, TOKEN, AS_ALICE), [400, 'invalid_grant']);
    for (const call of CALLS) {
      const swapped = {
        ...call,
        headers: { ...call.headers, ...FORWARDED, ...withHeader(secret) },
        ...(call.body !== undefined && { body: call.body.replace(PUBLISHED_SECRET, secret) }),
      };
      const local =
        WITHOUT_SECRET.some((start) => call.target.startsWith(start)) ||
        (call.target === '/msi/token' && call.method === 'POST');
      assert.equal((await server.send(swapped)).status, local ? 401 : 200, call.target);
    }
    await server.server.close();
    const again = await startTestServer(t, { env, folder: server.folder });
    assert.equal(again.server.issuer?.secret, secret);
  });

  test('is not there in production mode', async (t) => {
    const production = await startProduction(t, { LINARITE_OPERATOR_KEY: OPERATOR_KEY });
    assert.equal(production.server.issuer, undefined);
    const operators = OPERATOR_PLACES.map((place) => `/${DIRECTORY_TENANT}${place}`);
    for (const call of CALLS.filter(({ target }) => !operators.includes(target)))
      assertError(await production.send(call), { status: 404, code: 'NotFound' }, call.target);
    assertRefused(await post(production, TOKEN, AS_SERVICE), [401, 'invalid_client']);
    assertRefused(await post(production, '/adfs/oauth2/v2.0/token', AS_SERVICE), [401, 'invalid_client']);
  });

  test('leaves the operator signing in to production mode, where clients look for it', async (t) => {
    const production = await startProduction(t, { LINARITE_OPERATOR_KEY: OPERATOR_KEY });
    await assertOperatorSignsIn(production);
    const origin = 'https://acs.example.org';
    const guid = '11111111-2222-3333-4444-55555555555a';
    for (const [target, issuer, authority] of [
      ['/adfs/.well-known/openid-configuration', `${origin}/adfs`, `${origin}/adfs`],
      [`/${guid.toUpperCase()}/v2.0/.well-known/openid-configuration`, `${origin}/${guid}/v2.0`, `${origin}/${guid}`],
    ] as const) {
      const { body, text } = await production.send({ target });
      assert.deepEqual(
        [body.issuer, body.token_endpoint, body.grant_types_supported],
        [issuer, `${authority}/oauth2/v2.0/token`, ['client_credentials']],
        text,
      );
      assert.equal((await production.send({ target: body.jwks_uri.slice(origin.length) })).status, 200);
    }
    for (const tenant of ['x', 'consumers', '%2e%2e'])
      assertRefused(
        await production.send({ target: `/${tenant}/v2.0/.well-known/openid-configuration` }),
        [400, 'invalid_request'],
        tenant,
      );
  });

  test('keeps its key, which is none that signs access tokens, so that its tokens survive a restart', async (t) => {
    const first = await startTestServer(t);
    const { access_token } = (await post(first, TOKEN, AS_SERVICE)).body;
    const published = (await first.send({ target: '/.well-known/jwks.json' })).body.keys;
    await first.server.close();
    const second = await startTestServer(t, { folder: first.folder });
    const { issuer } = second.server;
    assert.ok(issuer);
    await jwtVerify(access_token, createLocalJWKSet(issuer.keySet()), {
      issuer: issuer.issuerOf(first.server.endpoint.slice(0, -1)),
      audience: SERVICE,
    });
    const kids = issuer.keySet().keys.map(({ kid }) => kid);
    assert.equal(kids.length, 1);
    assert.ok(
      !published.some(
        ({ kid, n }: { kid: string; n: string }) => kids.includes(kid) || n === issuer.keySet().keys[0]?.n,
      ),
    );
    assert.equal(statSync(join(first.folder, 'issuer.key')).mode & 0o777, 0o600);
    assert.match(readFileSync(join(first.folder, 'issuer.key'), 'utf8'), /^-----BEGIN PRIVATE KEY-----/);
    assert.equal((await second.asUser(access_token)).status, 401, 'it is no access token of ours');
  });

  test('has another key at each start when nothing is kept', async (t) => {
    const env = { LINARITE_DATA: ':memory:' };
    const [one, two] = [await startTestServer(t, { env }), await startTestServer(t, { env })];
    assert.notDeepEqual(one.server.issuer?.keySet(), two.server.issuer?.keySet());
  });

  test('writes no secret into the log', async (t) => {
    const server = await startTestServer(t, { env: { LINARITE_OPERATOR_KEY: OPERATOR_KEY } });
    const scope = `${CHAT_SCOPE} openid offline_access`;
    const tokens = (await post(server, TOKEN, { ...AS_ALICE, scope })).body;
    await server.send({ target: MSI, headers: withHeader() });
    await post(server, TOKEN, { ...AS_SERVICE, client_secret: `${PUBLISHED_SECRET}x` });
    await post(server, TOKEN, { ...AS_SERVICE, scope: PUBLISHED_SECRET });
    await post(server, '/adfs/oauth2/v2.0/token', { ...AS_SERVICE, client_secret: OPERATOR_KEY });
    await post(server, TOKEN, { ...AS_ALICE, grant_type: 'refresh_token', refresh_token: `${tokens.refresh_token}x` });
    const log = JSON.stringify(server.log.lines);
    assert.match(log, /issueDirectoryToken/);
    const secrets = [PUBLISHED_SECRET, OPERATOR_KEY, tokens.access_token, tokens.id_token, tokens.refresh_token];
    for (const secret of secrets) assert.ok(!log.includes(secret));
  });
});
