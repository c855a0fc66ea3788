import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { createLocalJWKSet, createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { capabilitiesOf } from '../../src/capabilities/capabilities.ts';
import { assertError } from '../harness/envelope.ts';
import type { Answer } from '../harness/http.ts';
import { DEV_ID, givenResource, inPath } from '../harness/resources.ts';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' };
const form = (token: string, more: Record<string, string> = {}) => String(new URLSearchParams({ token, ...more }));
const operatorKeyOf = (server: TestServer) => readFileSync(join(server.folder, 'operator.key'), 'utf8').trim();

const asService = (server: TestServer, token: string, key = server.key): Promise<Answer> =>
  server.asService('POST /-/introspect', form(token), { key, headers: FORM });
const asOperator = (server: TestServer, token: string, secret = operatorKeyOf(server)): Promise<Answer> =>
  server.send({
    method: 'POST',
    target: '/-/introspect',
    body: form(token),
    headers: { ...FORM, Authorization: `Bearer ${secret}` },
  });

describe('introspection (RFC 7662)', () => {
  let server: TestServer;
  shareServer((started) => {
    server = started;
  });

  test('describes a token that holds, to its resource and to the operator alike', async () => {
    const id = await server.givenIdentity();
    const token = await server.givenToken(id, ['voip', 'chat.join']);
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    const expected = {
      active: true,
      scope: 'voip chat.join',
      capabilities: capabilitiesOf(['voip', 'chat.join']),
      sub: id,
      aud: DEV_ID,
      iss: `https://localhost:${server.port}`,
      exp: claims.exp,
      iat: claims.iat,
      jti: claims.jti,
      token_type: 'Bearer',
    };
    for (const { status, body, headers } of [await asService(server, token), await asOperator(server, token)]) {
      assert.equal(status, 200);
      assert.deepEqual(body, expected);
      assert.equal(headers['cache-control'], 'no-store');
    }
    const hinted = await server.asService('POST /-/introspect', form(token, { token_type_hint: 'access_token' }), {
      headers: FORM,
    });
    assert.equal(hinted.body.active, true);
  });

  test('says no more to a service than that a token does not hold: revoked, deleted, forged, foreign and garbage look the same', async () => {
    const neighbour = await givenResource(server);
    const foreign = await server.asService(
      'POST /identities',
      { createTokenWithScopes: ['chat'] },
      { key: neighbour.key },
    );
    const [revokedId, deletedId, id] = [
      await server.givenIdentity(),
      await server.givenIdentity(),
      await server.givenIdentity(),
    ];
    const [revoked, deleted, good] = [
      await server.givenToken(revokedId),
      await server.givenToken(deletedId),
      await server.givenToken(id),
    ];
    await server.asService(`POST ${inPath(revokedId)}/:revokeAccessTokens`);
    await server.asService(`DELETE ${inPath(deletedId)}`);
    const forged = `${good.slice(0, -8)}AAAAAAAA`;
    const cases: [string, string][] = [
      [revoked, 'revoked.identity'],
      [deleted, 'revoked.identityDeleted'],
      [forged, 'token.signature'],
      ['', 'token.malformed'],
      ['x', 'token.malformed'],
      ['a.b.c', 'token.malformed'],
      ['\u0000', 'token.malformed'],
      ['😀', 'token.malformed'],
      ['x'.repeat(100_000), 'token.malformed'],
      [server.key, 'token.malformed'],
      [operatorKeyOf(server), 'token.malformed'],
    ];
    for (const [token, reason] of cases) {
      const answer = await asService(server, token);
      assert.deepEqual([answer.status, answer.body], [200, { active: false }]);
      assert.equal(answer.headers['x-linarite-reason'], undefined);
      const told = await asOperator(server, token);
      assert.equal(told.status, 200);
      assert.equal(told.body.active, false);
      assert.deepEqual(Object.keys(told.body), ['active', 'inactive_reason']);
      assert.equal(told.body.inactive_reason.split(';')[0], reason);
    }
    const theirs = foreign.body.accessToken.token;
    assert.deepEqual((await asService(server, theirs)).body, { active: false });
    assert.equal((await asService(server, theirs, neighbour.key)).body.active, true);
    assert.equal((await asOperator(server, theirs)).body.active, true);
  });

  test('is refused to everybody else', async () => {
    const token = await server.givenToken(await server.givenIdentity());
    const denied = { status: 401, code: 'Denied', message: 'Denied by the resource provider.' };
    assertError(await asService(server, token, Buffer.alloc(64).toString('base64')), denied);
    for (const secret of ['x', token, server.key, operatorKeyOf(server).slice(0, -1), `${operatorKeyOf(server)}x`]) {
      assertError(await asOperator(server, token, secret), denied);
    }
    for (const headers of [
      {},
      { Authorization: `Basic ${Buffer.from(`x:${operatorKeyOf(server)}`).toString('base64')}` },
    ]) {
      const body = form(token);
      const answer = await server.send({
        method: 'POST',
        target: '/-/introspect',
        body,
        headers: { ...FORM, ...headers },
      });
      assertError(answer, denied);
    }
  });

  test('wants a form with one token', async () => {
    const token = await server.givenToken(await server.givenIdentity());
    for (const [body, headers, status] of [
      [form(token), { 'Content-Type': 'application/json' }, 415],
      [JSON.stringify({ token }), { 'Content-Type': 'application/json' }, 415],
      [JSON.stringify({ token }), FORM, 400],
      ['', FORM, 400],
      ['tok=1', FORM, 400],
      ['token_type_hint=access_token', FORM, 400],
      [`token=${token}&token=${token}`, FORM, 400],
      [`token=${token}&x=1&x=2`, FORM, 400],
      [`token=${token}&token=x`, FORM, 400],
    ] as const) {
      const answer = await server.asService('POST /-/introspect', body, { headers });
      assert.equal(answer.status, status, `${body.slice(0, 20)}: ${answer.text}`);
      assert.ok(answer.body.error.code);
    }
    const extra = await server.asService('POST /-/introspect', `${form(token)}&__proto__=x&constructor=y`, {
      headers: FORM,
    });
    assert.equal(extra.body.active, true, 'parameters that nobody knows are ignored (RFC 7662, section 2.1)');
  });

  test('takes the operator key of the settings instead of the file', async (t) => {
    const secret = 'an-operator-key-of-forty-characters-here';
    const own = await startTestServer(t, { env: { LINARITE_OPERATOR_KEY: secret } });
    const token = await own.givenToken(await own.givenIdentity());
    assert.equal((await asOperator(own, token, secret)).body.active, true);
    assertError(await asOperator(own, token), { status: 401, code: 'Denied' });
  });
});

test('an expired token looks to a service like any other that does not hold', async (t) => {
  const clock = new TestClock();
  const server = await startTestServer(t, { clock });
  const token = await server.givenToken(await server.givenIdentity(), ['chat'], { expiresInMinutes: 60 });
  assert.equal((await asService(server, token)).body.active, true);
  clock.advance(3600_000);
  assert.deepEqual((await asService(server, token)).body, { active: false });
  assert.match((await asOperator(server, token)).body.inactive_reason, /^token\.expired/);
});

describe('a backend with a standard library', () => {
  let server: TestServer;
  shareServer((started) => {
    server = started;
  });

  test('finds keys and introspection by discovery', async () => {
    const { status, body, headers } = await server.send({ target: '/.well-known/openid-configuration' });
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'application/json; charset=utf-8');
    assert.equal(body.issuer, `https://localhost:${server.port}`);
    assert.equal(body.jwks_uri, `${body.issuer}/.well-known/jwks.json`);
    assert.equal(body.introspection_endpoint, `${body.issuer}/-/introspect`);
    assert.deepEqual(body.id_token_signing_alg_values_supported, ['RS256']);
  });

  test('gets public keys and nothing private', async () => {
    const { body, headers } = await server.send({ target: '/.well-known/jwks.json' });
    assert.match(String(headers['cache-control']), /max-age=\d+/);
    assert.deepEqual(Object.keys(body), ['keys']);
    assert.ok(body.keys.length >= 1);
    for (const key of body.keys) {
      assert.deepEqual(Object.keys(key).sort(), ['alg', 'e', 'kid', 'kty', 'n', 'use', 'x5t']);
      assert.deepEqual([key.kty, key.alg, key.use], ['RSA', 'RS256', 'sig']);
    }
  });

  test('verifies a token by the keys alone, and not a changed one', async () => {
    const id = await server.givenIdentity();
    const token = await server.givenToken(id, ['chat']);
    const { body } = await server.send({ target: '/.well-known/jwks.json' });
    const expected = {
      issuer: `https://localhost:${server.port}`,
      audience: DEV_ID,
      algorithms: ['RS256'],
      typ: 'JWT',
    };
    // jose insists on HTTPS nowhere, so the remote set can be read over plain HTTP on loopback.
    for (const keys of [
      createLocalJWKSet(body),
      createRemoteJWKSet(new URL(`http://localhost:${server.port}/.well-known/jwks.json`)),
    ]) {
      const { payload, protectedHeader } = await jwtVerify(token, keys, expected);
      assert.equal(payload.sub, id);
      assert.equal(protectedHeader.kid, decodeProtectedHeader(token).kid);
      await assert.rejects(jwtVerify(`${token.slice(0, -8)}AAAAAAAA`, keys, expected), /signature/);
      await assert.rejects(jwtVerify(token, keys, { ...expected, audience: 'other' }), /aud/);
    }
  });

  test('does the same with ES256 where the settings choose it', async (t) => {
    const own = await startTestServer(t, { env: { LINARITE_SIGNING_ALGORITHM: 'ES256', LINARITE_DATA: ':memory:' } });
    const token = await own.givenToken(await own.givenIdentity(), ['chat']);
    const keys = createRemoteJWKSet(new URL(`http://localhost:${own.port}/.well-known/jwks.json`));
    const { protectedHeader } = await jwtVerify(token, keys, { algorithms: ['ES256'] });
    assert.equal(protectedHeader.alg, 'ES256');
    assert.equal((await own.asUser(token)).status, 200);
  });
});

test('a form of very many fields is refused before it is taken apart', async (t) => {
  const server = await startTestServer(t);
  const answer = await server.asService('POST /-/introspect', `token=x${'&a'.repeat(100)}`, { headers: FORM });
  assert.equal(answer.status, 400);
  assert.equal(answer.headers['x-linarite-reason'], 'FormUnreadable');
  const few = await server.asService('POST /-/introspect', `token=x${'&a'.repeat(1)}`, { headers: FORM });
  assert.equal(few.status, 200);
});
