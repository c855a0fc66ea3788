import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertError } from '../harness/envelope.ts';
import { DEV_ID, inPath } from '../harness/resources.ts';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

// identity-protocol, section 5.3: what the official suites ask for, on create and on issue.
const COMBINATIONS = [
  ['chat'],
  ['voip'],
  ['chat', 'voip'],
  ['chat.join'],
  ['chat.join.limited'],
  ['voip.join'],
  ['chat', 'chat.join', 'chat.join.limited'],
  ['voip', 'voip.join'],
  ['chat.join', 'voip.join'],
];

const partsOf = (jwt: string) =>
  jwt
    .split('.')
    .slice(0, 2)
    .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()));
const claimsOf = (jwt: string) => partsOf(jwt)[1];

const wrong = (target: string) => ({
  status: 400,
  code: 'ValidationError',
  message: `${target}: The value is not valid for this field.`,
  target,
});

describe('a token', () => {
  let server: TestServer;
  let id: string;
  shareServer(async (started) => {
    server = started;
    id = await server.givenIdentity();
  });

  const issue = (body: object | string) => server.asService(`POST ${inPath(id)}/:issueAccessToken`, body);
  const create = (body: object | string) => server.asService('POST /identities', body);

  for (const scopes of COMBINATIONS) {
    test(`carries ${scopes.join(' and ')} exactly as asked, from create and from issue`, async () => {
      const issued = await issue({ scopes });
      assert.equal(issued.status, 200);
      assert.deepEqual(Object.keys(issued.body), ['token', 'expiresOn']);
      const created = await create({ createTokenWithScopes: scopes });
      assert.equal(created.status, 201);
      assert.deepEqual(Object.keys(created.body), ['identity', 'accessToken']);
      assert.deepEqual(Object.keys(created.body.accessToken), ['token', 'expiresOn']);
      for (const { token } of [issued.body, created.body.accessToken]) {
        assert.deepEqual(claimsOf(token).acsScope.split(','), scopes);
        assert.equal(claimsOf(token).scp, 1792);
        assert.deepEqual((await server.asUser(token)).body.scopes, scopes);
      }
    });
  }

  test('keeps the order of its scopes and drops repeats', async () => {
    for (const [asked, given] of [
      [['voip', 'chat'], 'voip,chat'],
      [['chat', 'chat'], 'chat'],
      [['voip', 'chat', 'voip', 'chat'], 'voip,chat'],
      [Array.from({ length: 10_000 }, (_, index) => (index % 2 ? 'chat' : 'voip')), 'voip,chat'],
    ] as const) {
      const { status, body } = await issue({ scopes: asked });
      assert.equal(status, 200);
      assert.equal(claimsOf(body.token).acsScope, given);
    }
  });

  test('is not given for a scope that does not exist, which the answer names', async () => {
    for (const scope of [
      '',
      ' ',
      'Chat',
      'CHAT',
      'chat ',
      ' chat',
      'chat,voip',
      'chat voip',
      'chat\0',
      'chat\n',
      'chat.',
      'chat.join.',
      'chat.joined',
      'voip.join.limited',
      'pstn',
      '*',
      'admin',
      'сhat', // with a Cyrillic letter
      'chat\u200b',
      '__proto__',
      'constructor',
      'toString',
      'x'.repeat(10_000),
      '<script>alert(1)</script>',
      '\ud800',
      '😀',
    ]) {
      for (const scopes of [[scope], ['chat', scope]]) {
        for (const answer of [await issue({ scopes }), await create({ createTokenWithScopes: scopes })]) {
          assertError(answer, { status: 400, code: 'ValidationError', target: 'scopes' }, JSON.stringify(scope));
          assert.match(answer.body.error.message, /^Invalid scopes - Scope '[ -~]{0,64}' is not supported\.$/);
        }
      }
    }
    const answer = await issue({ scopes: Array(10_000).fill('nope') });
    assertError(answer, { status: 400, code: 'ValidationError', target: 'scopes' });
  });

  test('is not given when its scopes have the wrong type', async () => {
    for (const scopes of [
      'chat',
      '',
      1,
      0,
      true,
      false,
      {},
      { 0: 'chat', length: 1 },
      [1],
      [null],
      [['chat']],
      [{}],
      [true],
    ]) {
      assertError(await issue({ scopes }), wrong('Scopes'), JSON.stringify(scopes));
      const answer = await create({ createTokenWithScopes: scopes });
      assertError(answer, wrong('CreateTokenWithScopes'), JSON.stringify(scopes));
    }
    assertError(await issue({ scopes: Array(10_000).fill(1) }), wrong('Scopes'));
  });

  test('lives as long as asked, from 60 to 1440 minutes, and 1440 when nothing is asked', async () => {
    for (const [asked, minutes] of [
      [{ expiresInMinutes: 60 }, 60],
      [{ expiresInMinutes: 61 }, 61],
      [{ expiresInMinutes: 1439 }, 1439],
      [{ expiresInMinutes: 1440 }, 1440],
      [{ expiresInMinutes: null }, 1440],
      [{}, 1440],
    ] as const) {
      const issued = await issue({ scopes: ['chat'], ...asked });
      const created = await create({ createTokenWithScopes: ['chat'], ...asked });
      for (const { token, expiresOn } of [issued.body, created.body.accessToken]) {
        const { exp, iat } = claimsOf(token);
        assert.equal(exp - iat, minutes * 60);
        assert.match(expiresOn, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00$/);
        assert.equal(Math.floor(Date.parse(expiresOn) / 1000), exp);
      }
    }
  });

  test('is not given for another lifetime, also not when no token is asked for', async () => {
    for (const minutes of [59, 1441, 0, -60, 1, 2147483647, -2147483648]) {
      const expected = {
        status: 400,
        code: 'ValidationError',
        message: `ExpiresInMinutes value ${minutes} is invalid. Value must be within the [60, 1440] interval.`,
        target: 'ExpiresInMinutes',
      };
      assertError(await issue({ scopes: ['chat'], expiresInMinutes: minutes }), expected);
      assertError(await create({ createTokenWithScopes: ['chat'], expiresInMinutes: minutes }), expected);
      assertError(await create({ expiresInMinutes: minutes }), expected);
      assertError(await create({ createTokenWithScopes: [], expiresInMinutes: minutes }), expected);
    }
  });

  test('is not given when its lifetime is no 32-bit integer', async () => {
    for (const text of [
      '60.5',
      '1e400',
      '2147483648',
      '-2147483649',
      '1e20',
      '"60"',
      '""',
      'true',
      '[]',
      '[60]',
      '{}',
      '60.0000001',
    ]) {
      const answer = await issue(`{"scopes":["chat"],"expiresInMinutes":${text}}`);
      assertError(answer, wrong('ExpiresInMinutes'), text);
      assertError(await create(`{"expiresInMinutes":${text}}`), wrong('ExpiresInMinutes'), text);
    }
    for (const text of ['60', '60.0', '6e1', '0.6e2', '600e-1']) {
      const { status } = await issue(`{"scopes":["chat"],"expiresInMinutes":${text}}`);
      assert.equal(status, 200, `${text} is the number 60`);
    }
    for (const text of ['NaN', 'Infinity', '-Infinity', '0x3c', '+60', '060', '60.', '.6e2', '6_0', 'undefined']) {
      const answer = await issue(`{"scopes":["chat"],"expiresInMinutes":${text}}`);
      assertError(answer, { status: 400, code: 'ValidationError' }, text);
    }
  });

  test('has the header and the claims of the original, in its order, and ours behind them', async () => {
    const { body } = await issue({ scopes: ['chat', 'voip'], expiresInMinutes: 90 });
    const [header, claims] = partsOf(body.token);
    assert.deepEqual(Object.keys(header), ['alg', 'kid', 'x5t', 'typ']);
    assert.equal(header.alg, 'RS256');
    assert.equal(header.typ, 'JWT');
    assert.match(header.kid, /^[0-9A-F]{40}$/);
    assert.equal(header.x5t, Buffer.from(header.kid, 'hex').toString('base64url'));
    assert.deepEqual(Object.keys(claims).slice(0, 9), [
      'skypeid',
      'scp',
      'csi',
      'exp',
      'rgn',
      'acsScope',
      'resourceId',
      'resourceLocation',
      'iat',
    ]);
    assert.equal(`8:${claims.skypeid}`, id);
    assert.equal(claims.csi, String(claims.iat));
    assert.equal(claims.resourceId, DEV_ID);
    assert.equal(claims.rgn, 'amer');
    assert.equal(claims.resourceLocation, 'unitedstates');
    assert.equal(claims.aud, DEV_ID);
    assert.equal(claims.sub, id);
    // Python's client decodes the payload as ASCII.
    assert.match(Buffer.from(body.token.split('.')[1], 'base64url').toString('latin1'), /^[\x20-\x7e]+$/);
  });

  test('differs from every other, also from one asked for in the same second', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => issue({ scopes: ['chat'] })));
    assert.equal(new Set(answers.map(({ body }) => body.token)).size, 20);
    for (const { body } of answers) assert.equal((await server.asUser(body.token)).status, 200);
  });

  test('is not given with an identity that was refused one: both or neither', async () => {
    const path = inPath(`8:acs:${DEV_ID}_never`);
    const { status } = await server.asService(`POST ${path}/:issueAccessToken`, { scopes: ['chat'] });
    assert.equal(status, 404);
  });
});

test('a token says the second of its birth and of its end by the server’s clock', async (t) => {
  const clock = new TestClock(Date.UTC(2030, 0, 1, 0, 0, 0, 789));
  const server = await startTestServer(t, { clock });
  const id = await server.givenIdentity();
  const { body } = await server.asService(`POST ${inPath(id)}/:issueAccessToken`, {
    scopes: ['chat'],
    expiresInMinutes: 60,
  });
  assert.equal(body.expiresOn, '2030-01-01T01:00:00.7890000+00:00');
  assert.deepEqual(
    [claimsOf(body.token).iat, claimsOf(body.token).exp],
    [Date.UTC(2030, 0, 1) / 1000, Date.UTC(2030, 0, 1, 1) / 1000],
  );
  clock.advance(59 * 60_000 + 59_000);
  assert.equal((await server.asUser(body.token)).status, 200);
  clock.advance(211); // 01:00:00.000
  assert.equal((await server.asUser(body.token)).status, 401);
});

test('lifetimes follow the settings', async (t) => {
  const server = await startTestServer(t, {
    env: { LINARITE_TOKEN_MINUTES_SHORTEST: '5', LINARITE_TOKEN_MINUTES: '10', LINARITE_TOKEN_MINUTES_LONGEST: '20' },
  });
  const id = await server.givenIdentity();
  const at = `POST ${inPath(id)}/:issueAccessToken`;
  for (const [expiresInMinutes, status] of [
    [4, 400],
    [5, 200],
    [20, 200],
    [21, 400],
  ]) {
    assert.equal((await server.asService(at, { scopes: ['chat'], expiresInMinutes })).status, status);
  }
  const { body } = await server.asService(at, { scopes: ['chat'] });
  const { exp, iat } = claimsOf(body.token);
  assert.equal(exp - iat, 600);
});
