import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertError } from '../harness/envelope.ts';
import { requestText, sendRaw } from '../harness/raw.ts';
import { inPath } from '../harness/resources.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

const UNKNOWN = { status: 404, code: 'NotFound', message: 'There is no operation at this path.' };
const NOT_ALLOWED = { status: 405, code: 'MethodNotAllowed', message: 'This path does not support that method.' };

describe('a path', () => {
  let server: TestServer;
  let id: string;
  shareServer(async (started) => {
    server = started;
    id = await server.givenIdentity();
  });

  test('that is not there is 404 for everybody, with every method', async () => {
    for (const path of [
      '/index.html',
      '/identity',
      '/identitiess',
      '/identities/x/y',
      `${inPath('x')}/issueAccessToken`,
      `${inPath('x')}/:issueaccesstokens`,
      `${inPath('x')}/%3AissueAccessToken`,
      `${inPath('x')}/:issueAccessToken/`,
      `${inPath('x')}/:issueAccessToken/x`,
      `${inPath('x')}/x/:issueAccessToken`,
      '/./identities',
      '/../identities',
      '/identities/..',
      '/x/../identities',
      '/identities/x/../:issueAccessToken',
      '/%2Fidentities',
      '/identities%2Fx',
      '/identities;x=1',
      '/identities%3Bx',
      '/identities%00',
      '/identities%20',
      '/identities.json',
      '/\\identities',
      '/api/identities',
      '/v1/identities',
      '/-/',
      '/-',
      '/-/health',
      '/-/health/live/x',
      '/-/admin',
      '/-/metrics/',
      '/.well-known/',
      '/.well-known/jwks',
      '/.well-known/security.txt',
      '/.env',
      '/.git/config',
      '/linarite.db',
      '/operator.key',
      '/-/../operator.key',
      '/-/%2e%2e/operator.key',
      '/etc/passwd',
      '/../../../../etc/passwd',
      '/%2e%2e/%2e%2e/etc/passwd',
      '/..%2f..%2fetc%2fpasswd',
      '/..%5c..%5cwindows',
      '/favicon.ico',
      '/robots.txt',
      '/__proto__',
      '/constructor',
      '/toString',
      '/identities/%',
      '/%',
      '/%zz',
      '/%c0%ae%c0%ae/',
      '/\u0000'.replace('\u0000', '%00'),
      `/${'x'.repeat(8000)}`,
      `/${'x/'.repeat(4000)}`,
      `/${'%2E%2E/'.repeat(1000)}`,
    ]) {
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
        const known = /^\/identities\/\.\.$/.test(path); // an id like any other, malformed
        if (known) continue;
        assertError(await server.send({ method, target: path }), UNKNOWN, `${method} ${path}`);
      }
    }
    assertError(await server.asService('GET /nowhere'), UNKNOWN);
  });

  test('of dots is no way up: `..` is an id, and a malformed one', async () => {
    for (const segment of ['..', '.', '%2e%2e', '%2E%2E%2F', '..%2F..']) {
      const answer = await server.asService(`GET /identities/${segment}`);
      assertError(answer, { status: 400, code: 'ValidationError', target: 'id' }, segment);
    }
  });

  test('has fixed segments without case, as in the original', async () => {
    assert.equal((await server.asService('POST /IDENTITIES')).status, 201);
    assert.equal((await server.asService('POST /Identities')).status, 201);
    const issue = `POST ${inPath(id)}/:ISSUEaccessTOKEN`;
    assert.equal((await server.asService(issue, { scopes: ['chat'] })).status, 200);
    assert.equal((await server.asService(`POST ${inPath(id)}/:revokeaccesstokens`)).status, 204);
    assertError(await server.asService(`GET ${inPath(id.toUpperCase())}`), {
      status: 400,
      code: 'ValidationError',
      target: 'id',
    });
  });

  test('has doubled slashes that count as one: clients that concatenate send them', async () => {
    assert.equal((await server.asService('POST //identities')).status, 201);
    assert.equal((await server.asService('POST ///identities')).status, 201);
    assert.equal((await server.asService(`GET //identities//${encodeURIComponent(id)}`)).status, 200);
    assert.equal((await server.asService(`POST ${inPath(id)}//:issueAccessToken`, { scopes: ['chat'] })).status, 200);
    assert.equal((await server.send({ target: '//-//health//live' })).status, 200);
  });

  test('with a slash behind is another path', async () => {
    for (const path of ['/identities/', `${inPath(id)}/`, `${inPath(id)}/:issueAccessToken/`, '/-/health/live/']) {
      for (const method of ['GET', 'POST', 'DELETE']) {
        const { status } = await server.asService(`${method} ${path}`);
        assert.ok([400, 404, 405].includes(status), `${method} ${path}: ${status}`);
      }
    }
    assert.equal((await server.asService(`GET ${inPath(id)}`)).status, 200, 'nothing was deleted');
  });

  test('asked with a method that it does not support is 405, and says which it supports', async () => {
    for (const [path, allow] of [
      ['/identities', 'POST'],
      [inPath(id), 'GET, HEAD, PATCH, DELETE'],
      [`${inPath(id)}/:issueAccessToken`, 'POST'],
      [`${inPath(id)}/:revokeAccessTokens`, 'POST'],
      [`${inPath(id)}/token`, 'POST'],
      ['/-/whoami', 'GET, HEAD'],
      ['/-/introspect', 'POST'],
      ['/-/health/live', 'GET, HEAD'],
      ['/-/metrics', 'GET, HEAD'],
      ['/.well-known/jwks.json', 'GET, HEAD'],
    ] as const) {
      for (const method of [
        'GET',
        'POST',
        'PUT',
        'PATCH',
        'DELETE',
        'OPTIONS',
        'TRACE',
        'PROPFIND',
        'SEARCH',
        'LINK',
      ]) {
        if (allow.split(', ').includes(method)) continue;
        const answer = await server.send({ method, target: `${path}?api-version=2023-10-01` });
        assertError(answer, NOT_ALLOWED, `${method} ${path}`);
        assert.equal(answer.headers.allow, allow, `${method} ${path}`);
      }
      const head = await server.send({ method: 'HEAD', target: path });
      assert.equal(head.text, '', path);
      if (allow.includes('GET')) assert.notEqual(head.status, 405, path);
      else assert.deepEqual([head.status, head.headers.allow], [405, allow]);
    }
  });

  test('asked with a method that nobody knows is refused with the envelope', async () => {
    for (const method of ['get', 'Post', 'FOO', 'GET/', 'G ET', 'CONNECT']) {
      const { status, body } = await sendRaw(
        server.port,
        requestText(`${method} /identities`, [
          ['Host', server.host],
          ['Connection', 'close'],
        ]),
      );
      assert.ok([400, 405].includes(status), `${method}: ${status}`);
      assert.ok(JSON.parse(body).error.code, method);
    }
  });

  test('echoes nothing of a TRACE', async () => {
    const secret = 'Bearer do-not-echo';
    const { text } = await server.send({ method: 'TRACE', target: '/identities', headers: { Authorization: secret } });
    assert.doesNotMatch(text, /do-not-echo/);
  });
});
