import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertError } from '../harness/envelope.ts';
import { inPath, unusedId } from '../harness/resources.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';
import { sign } from '../harness/sign.ts';

// identity-protocol, section 1, oldest first.
const ALL = [
  '2020-07-20-preview1',
  '2020-07-20-preview2',
  '2021-02-22-preview1',
  '2021-03-07',
  '2021-03-31-preview1',
  '2021-10-31-preview',
  '2021-11-01',
  '2022-06-01',
  '2022-09-01',
  '2022-10-01',
  '2023-08-01',
  '2023-10-01',
  '2025-03-02-preview',
  '2025-04-01-preview',
  '2025-06-30',
  '2026-07-22',
  '2026-09-23',
];
const FIRST = ALL.slice(0, 2);
const LATER = ALL.slice(2);
const NEWEST = '2026-09-23';
const NEWER = ['2027-01-01', '2030-05-05-preview', '2026-09-24', '2026-10-01-preview1', '9999-12-31'];

const SCOPES = { scopes: ['chat'] };

/** Each route, the versions that define it, and what a good call answers. */
const ROUTES: { name: string; at: (id: string) => string; body?: object; versions: string[]; status: number }[] = [
  { name: 'create', at: () => 'POST /identities', versions: LATER, status: 201 },
  { name: 'create, first shape', at: () => 'POST /identities', versions: FIRST, status: 200 },
  { name: 'get', at: (id) => `GET ${inPath(id)}`, versions: ALL, status: 200 },
  { name: 'delete', at: () => `DELETE ${inPath(unusedId())}`, versions: ALL, status: 204 },
  { name: 'revoke', at: (id) => `POST ${inPath(id)}/:revokeAccessTokens`, versions: LATER, status: 204 },
  { name: 'issue', at: (id) => `POST ${inPath(id)}/:issueAccessToken`, body: SCOPES, versions: LATER, status: 200 },
  { name: 'issue, first shape', at: (id) => `POST ${inPath(id)}/token`, body: SCOPES, versions: FIRST, status: 200 },
  {
    name: 'revoke, first shape',
    at: (id) => `PATCH ${inPath(id)}`,
    body: { tokensValidFrom: '2020-01-01T00:00:00Z' },
    versions: FIRST,
    status: 204,
  },
];

const withVersion = (at: string, version: string): string => `${at}?api-version=${version}`;

describe('an api-version', () => {
  let server: TestServer;
  let id: string;
  shareServer(async (started) => {
    server = started;
    id = await server.givenIdentity();
  });

  const call = (at: string, body?: object) => server.asService(at, body);

  for (const { name, at, body, versions, status } of ROUTES) {
    test(`is served on the route to ${name} where it defines it, and is 400 elsewhere`, async () => {
      const shared = name.startsWith('create') ? ALL : versions; // both shapes of create live at one place
      for (const version of versions) {
        const answer = await call(withVersion(at(id), version), body);
        assert.equal(answer.status, status, `${version}: ${answer.text}`);
        assert.equal(answer.headers['x-linarite-api-version'], undefined, version);
        assert.equal(answer.headers['api-supported-versions'], shared.join(', '));
      }
      for (const version of ALL.filter((version) => !shared.includes(version))) {
        const answer = await call(withVersion(at(id), version), body);
        assertError(answer, { status: 400, code: 'UnsupportedApiVersion' }, version);
        assert.equal(answer.headers['api-supported-versions'], shared.join(', '));
      }
    });
  }

  for (const { name, at, body, versions } of ROUTES.filter(({ name }) => name !== 'create, first shape')) {
    const known = versions.includes(NEWEST);
    test(`newer than all known ones ${known ? `is served as ${NEWEST}` : 'is 400, as the newest is,'} on the route to ${name}`, async () => {
      for (const version of NEWER) {
        const answer = await call(withVersion(at(id), version), body);
        if (known) {
          assert.ok(answer.status < 300, `${version}: ${answer.text}`);
          assert.equal(answer.headers['x-linarite-api-version'], NEWEST);
        } else assertError(answer, { status: 400, code: 'UnsupportedApiVersion' }, version);
      }
    });
  }

  test('that is missing or empty is asked for', async () => {
    for (const { at, body } of ROUTES) {
      const [method, path] = at(id).split(' ');
      for (const query of ['?api-version=', '?api-version', '?x=api-version=2023-10-01', '?version=2023-10-01']) {
        const signed = query.includes('api-version=') ? query : `${query}&api-version=`;
        assertError(
          await call(`${method} ${path}${signed}`, body),
          { status: 400, code: 'ApiVersionUnspecified', message: 'An API version is required, but was not specified.' },
          `${method} ${path}${signed}`,
        );
      }
    }
    const headers = sign({ method: 'POST', target: '/identities', host: server.host, key: server.key });
    const answer = await server.send({ method: 'POST', target: '/identities', headers });
    assertError(answer, { status: 400, code: 'ApiVersionUnspecified' });
    assert.equal(answer.headers['api-supported-versions'], undefined);
  });

  test('that is given twice with two values is ambiguous, also when one of them is none', async () => {
    for (const other of ['2022-10-01', '2027-01-01', 'x', '']) {
      const answer = await call(`POST /identities?api-version=2023-10-01&api-version=${other}`);
      assertError(answer, {
        status: 400,
        code: 'AmbiguousApiVersion',
        message: `The following API versions were requested: 2023-10-01, ${other}. At most one may be specified.`,
      });
    }
    assert.equal((await call('POST /identities?api-version=2023-10-01&api-version=2023-10-01')).status, 201);
  });

  test('that never was, or is garbage, is 400', async () => {
    for (const version of [
      '2019-01-01',
      '2020-07-20',
      '2021-03-08',
      '2023-08-30-preview',
      '2023-10-01-preview',
      '2026-09-22',
      '2026-09-23-preview',
      '2027-02-31',
      '2027-13-01',
      '2027-01-01-beta',
      '2027-01-01-preview-',
      '2027-1-1',
      '20270101',
      '12027-01-01',
      '-2027-01-01',
      '1.0',
      'v1',
      'latest',
      'null',
      'undefined',
      '%00',
      '2023-10-01%00',
      '2023-10-01%20',
      '%202023-10-01',
      '2023-10-01%0A',
      '2023-10-01%2C2022-10-01',
      "2023-10-01'%20OR%201=1--",
      '__proto__',
      'constructor',
      '%F0%9F%98%80',
      'x'.repeat(5000),
    ]) {
      const answer = await call(`POST /identities?api-version=${version}`);
      assertError(answer, { status: 400, code: 'UnsupportedApiVersion' }, version);
      assert.ok(answer.body.error.message.length < 1024, 'the message repeats only the beginning');
    }
    assertError(await call('POST /identities?api-version=2019-01-01'), {
      status: 400,
      code: 'UnsupportedApiVersion',
      message: `The HTTP resource that matches the request URI 'http://${server.host}/identities' does not support the API version '2019-01-01'.`,
    });
  });

  test('has no case', async () => {
    assert.equal((await call('POST /identities?api-version=2025-03-02-PREVIEW')).status, 201);
  });

  test('is not looked at before the caller is known', async () => {
    for (const query of ['', '?api-version=2019-01-01', '?api-version=2023-10-01']) {
      const answer = await server.send({ method: 'POST', target: `/identities${query}` });
      assertError(answer, { status: 401, code: 'Denied', message: 'Denied by the resource provider.' }, query);
    }
  });

  test('decides shapes: scopes that came later are unknown before, lifetimes are not read before', async () => {
    for (const version of LATER) {
      const at = withVersion(`POST ${inPath(id)}/:issueAccessToken`, version);
      const since = (first: string) => ALL.indexOf(version) >= ALL.indexOf(first);
      for (const scope of ['chat.join', 'chat.join.limited', 'voip.join']) {
        assert.equal(
          (await call(at, { scopes: [scope] })).status,
          since('2023-10-01') ? 200 : 400,
          `${version} ${scope}`,
        );
      }
      const { status, body } = await call(at, { scopes: ['chat'], expiresInMinutes: 59 });
      assert.equal(status, since('2022-10-01') ? 400 : 200, version);
      if (status === 200) {
        const { exp, iat } = JSON.parse(Buffer.from(body.token.split('.')[1], 'base64url').toString());
        assert.equal(exp - iat, 24 * 3600);
      }
    }
  });
});

describe('the first preview (2020-07-20-preview2)', () => {
  let server: TestServer;
  shareServer((started) => {
    server = started;
  });
  const version = '2020-07-20-preview2';

  test('creates with 200 and a bare id, issues with the id, deletes with 204', async () => {
    const created = await server.asService(withVersion('POST /identities', version));
    assert.equal(created.status, 200);
    assert.deepEqual(Object.keys(created.body), ['id']);
    const path = inPath(created.body.id);
    const issued = await server.asService(withVersion(`POST ${path}/token`, version), { scopes: ['chat', 'voip'] });
    assert.equal(issued.status, 200);
    assert.deepEqual(Object.keys(issued.body), ['id', 'token', 'expiresOn']);
    assert.equal(issued.body.id, created.body.id);
    assert.equal((await server.asUser(issued.body.token)).status, 200);
    const gone = await server.asService(withVersion(`DELETE ${path}`, version));
    assert.deepEqual([gone.status, gone.text], [204, '']);
    assert.equal((await server.asUser(issued.body.token)).status, 401);
  });

  test('revokes by an instant: tokens from before it are refused, tokens from after it hold', async () => {
    const { body } = await server.asService(withVersion('POST /identities', version));
    const at = withVersion(`PATCH ${inPath(body.id)}`, version);
    const before = await server.givenToken(body.id);
    assert.equal((await server.asService(at, { tokensValidFrom: '2020-01-01T00:00:00Z' })).status, 204);
    assert.equal((await server.asUser(before)).status, 200);
    const revoked = await server.asService(
      at,
      { tokensValidFrom: new Date().toISOString() },
      { headers: { 'Content-Type': 'application/merge-patch+json' } },
    );
    assert.deepEqual([revoked.status, revoked.text], [204, '']);
    assert.equal((await server.asUser(before)).status, 401);
    assert.equal((await server.asUser(await server.givenToken(body.id))).status, 200);
  });

  test('wants an RFC 3339 instant', async () => {
    const { body } = await server.asService(withVersion('POST /identities', version));
    const at = withVersion(`PATCH ${inPath(body.id)}`, version);
    for (const tokensValidFrom of ['', 'now', '2020-01-01', '1577836800', '2020-01-01T00:00:00', 'Wed, 01 Jan 2020']) {
      const expected = { status: 400, code: 'ValidationError', target: 'tokensValidFrom' };
      assertError(await server.asService(at, { tokensValidFrom }), expected, tokensValidFrom);
    }
    for (const wrong of [
      { tokensValidFrom: 5 },
      { tokensValidFrom: null },
      {},
      { tokensValidFrom: ['2020-01-01T00:00:00Z'] },
    ]) {
      const expected = { status: 400, code: 'ValidationError', target: 'TokensValidFrom' };
      assertError(await server.asService(at, wrong), expected, JSON.stringify(wrong));
    }
  });
});

describe('the headers of an answer', () => {
  let server: TestServer;
  let id: string;
  shareServer(async (started) => {
    server = started;
    id = await server.givenIdentity();
  });

  test('name the supported versions on success and on what the action refuses, not on what reading or the door refuses', async () => {
    for (const [present, at, body, key] of [
      [true, 'POST /identities', {}],
      [true, `POST ${inPath(id)}/:issueAccessToken`, { scopes: ['chat'] }],
      [true, `POST ${inPath(id)}/:revokeAccessTokens`],
      [true, `DELETE ${inPath(unusedId())}`],
      [true, `DELETE ${inPath(unusedId('00000000-0000-0000-0000-000000000000'))}`], // IdentityNotOwned
      [true, `POST ${inPath(unusedId())}/:issueAccessToken`, { scopes: ['chat'] }],
      [true, `POST ${inPath(id)}/:issueAccessToken`, { scopes: [] }],
      [true, `POST ${inPath(id)}/:issueAccessToken`, { scopes: ['chat'], expiresInMinutes: 59 }],
      [true, 'POST /identities?api-version=2019-01-01'],
      [false, `POST ${inPath(id)}/:issueAccessToken`, {}],
      [false, `POST ${inPath(id)}/:issueAccessToken`, { scopes: 'chat' }],
      [false, 'POST /identities', '{'],
      [false, 'POST /identities', {}, 'AAAA'],
      [false, 'GET /nowhere'],
    ] as [boolean, string, (object | string)?, string?][]) {
      const answer = await server.asService(at, body, key === undefined ? {} : { key });
      assert.equal(
        answer.headers['api-supported-versions'] !== undefined,
        present,
        `${at} ${answer.status} ${answer.text}`,
      );
    }
  });

  test('carry a correlation vector, another one each time', async () => {
    const seen = new Set<string>();
    for (const at of ['POST /identities', 'GET /nowhere', 'PUT /identities', `DELETE ${inPath(unusedId())}`]) {
      for (const key of [server.key, 'AAAA']) {
        const { headers } = await server.asService(at, undefined, { key });
        assert.match(String(headers['ms-cv']), /^[A-Za-z0-9+/]{22}\.0$/);
        seen.add(String(headers['ms-cv']));
      }
    }
    assert.equal(seen.size, 8);
  });

  test('send the client request id back, asked for or not, and whatever the outcome', async () => {
    const given = '8f7b1c1e-24a5-4c5c-9d2e-1f0d6f3f0001';
    for (const [at, key] of [
      ['POST /identities', server.key],
      ['POST /identities', 'AAAA'],
      ['POST /identities?api-version=1', server.key],
      ['GET /nowhere', server.key],
      [`DELETE ${inPath(unusedId())}`, server.key],
    ] as const) {
      const { headers } = await server.asService(at, undefined, { key, headers: { 'x-ms-client-request-id': given } });
      assert.equal(headers['x-ms-client-request-id'], given, at);
    }
    for (const odd of ['a'.repeat(5000), 'a\tb', 'caf\u00e9', '']) {
      const { status, headers } = await server.asService('POST /identities', undefined, {
        headers: { 'x-ms-client-request-id': odd },
      });
      assert.equal(status, 201);
      assert.equal(headers['x-ms-client-request-id'], undefined);
    }
    const { headers } = await server.asService('POST /identities');
    assert.equal(headers['x-ms-client-request-id'], undefined);
  });

  test('say JSON in UTF-8 with a length on success, and JSON in chunks on errors', async () => {
    const good = await server.asService('POST /identities');
    assert.equal(good.headers['content-type'], 'application/json; charset=utf-8');
    assert.equal(good.headers['content-length'], String(Buffer.byteLength(good.text)));
    const bad = await server.asService('POST /identities', '{');
    assert.equal(bad.headers['content-type'], 'application/json');
    assert.equal(bad.headers['transfer-encoding'], 'chunked');
    const none = await server.asService(`POST ${inPath(id)}/:revokeAccessTokens`);
    assert.deepEqual([none.status, none.headers['content-type'], none.text], [204, undefined, '']);
  });

  test('never ask for a login, name the software, or let an answer be kept', async () => {
    for (const at of ['POST /identities', 'GET /nowhere', 'GET /-/whoami']) {
      const { headers } = await server.send({ method: at.split(' ')[0] ?? '', target: at.split(' ')[1] ?? '' });
      for (const name of ['www-authenticate', 'server', 'x-powered-by', 'set-cookie', 'etag'])
        assert.equal(headers[name], undefined, `${name} on ${at}`);
      assert.equal(headers['cache-control'], 'no-store');
      assert.equal(headers['x-content-type-options'], 'nosniff');
    }
  });
});
