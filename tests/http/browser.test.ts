import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertError } from '../harness/envelope.ts';
import { startProduction } from '../harness/production.ts';
import { requestText, sendRaw } from '../harness/raw.ts';
import { inPath } from '../harness/resources.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

// security-and-reliability, section 1.4: what stands between a foreign web page and a key that everybody knows.

const MISDIRECTED = {
  status: 421,
  code: 'MisdirectedRequest',
  message: 'This service does not answer for that host name.',
};

describe('a Host header in dev mode', () => {
  let server: TestServer;
  shareServer((started) => {
    server = started;
  });

  const askedAs = (host: string, target = '/-/health/live') => server.send({ target, headers: { Host: host } });

  test('may be any name of this machine, with any port, once or twice', async () => {
    const { port } = server;
    for (const host of [
      'localhost',
      `localhost:${port}`,
      `localhost:${port}:${port}`,
      'LOCALHOST',
      'localhost.',
      'acs.localhost',
      `my-resource.acs.localhost:${port}`,
      '127.0.0.1',
      `127.0.0.1:${port}`,
      '127.1.2.3',
      '[::1]',
      `[::1]:${port}`,
      'host.docker.internal',
      `host.containers.internal:${port}`,
    ]) {
      assert.equal((await askedAs(host)).status, 200, host);
    }
  });

  test('may be no other name: a page that rebinds its own name to this machine gets nowhere', async () => {
    for (const host of [
      'evil.example',
      `evil.example:${server.port}`,
      'localhost.evil.example',
      'evil-localhost',
      'evillocalhost',
      'localhost.com',
      '127.0.0.1.nip.io',
      '127.0.0.1.evil.example',
      '1127.0.0.1',
      '127.0.0.1evil',
      '10.0.0.1',
      '192.168.1.1',
      '0.0.0.0',
      '0',
      '2130706433',
      '0x7f.1',
      '0177.0.0.1',
      '[::]',
      '[::ffff:10.0.0.1]',
      '[2001:db8::1]',
      '::1',
      'evil@localhost',
      'localhost@evil.example',
      'localhost:7417@evil.example',
      'localhost/evil.example',
      'evil.example/localhost',
      'localhost, evil.example',
      'localhost evil.example',
      'localhost:evil',
      'localhost:',
      '.localhost',
      'a..localhost',
      'evil_.localhost',
      'xn--lcalhost-gya',
      '*',
    ]) {
      for (const target of ['/-/health/live', '/.well-known/jwks.json', '/nowhere', '/-/ca.pem']) {
        const answer = await askedAs(host, target);
        assertError(answer, MISDIRECTED, `${host} ${target}`);
      }
    }
  });

  test('may not be empty', async () => {
    const lines: [string, string][] = [
      ['Host', ''],
      ['Connection', 'close'],
    ];
    const { status, body } = await sendRaw(server.port, requestText('GET /-/health/live', lines));
    assert.equal(status, 421);
    assert.equal(JSON.parse(body).error.code, MISDIRECTED.code);
  });

  test('decides before anything is signed or routed', async () => {
    const target = '/identities?api-version=2023-10-01';
    const headers = { Host: 'evil.example', Origin: 'http://evil.example', 'Access-Control-Request-Method': 'POST' };
    assertError(await server.send({ method: 'OPTIONS', target, headers }), MISDIRECTED);
    assertError(await server.send({ method: 'POST', target, headers }), MISDIRECTED);
  });

  test('is not replaced by what a proxy, or a page, says about it', async () => {
    for (const name of ['X-Forwarded-Host', 'X-Host', 'Forwarded', 'X-Original-Host', 'X-Forwarded-Server']) {
      const answer = await server.send({
        target: '/-/health/live',
        headers: { Host: 'evil.example', [name]: 'localhost' },
      });
      assertError(answer, MISDIRECTED, name);
    }
    const absolute = await sendRaw(
      server.port,
      requestText('GET http://localhost/-/health/live', [
        ['Host', 'evil.example'],
        ['Connection', 'close'],
      ]),
    );
    assert.equal(absolute.status, 400);
  });
});

test('further host names come from the settings', async (t) => {
  const server = await startTestServer(t, { env: { LINARITE_ALLOWED_HOSTS: 'acs.dev.example, Other.Example' } });
  for (const [host, status] of [
    ['acs.dev.example', 200],
    [`ACS.dev.example:${server.port}`, 200],
    ['other.example', 200],
    ['localhost', 200],
    ['x.acs.dev.example', 421],
    ['dev.example', 421],
  ] as const) {
    assert.equal((await server.send({ target: '/-/health/live', headers: { Host: host } })).status, status, host);
  }
});

test('in production any host is answered for until the settings name some', async (t) => {
  const open = await startProduction(t);
  assert.equal((await open.send({ target: '/-/health/live', headers: { Host: 'anything.example' } })).status, 200);
  const closed = await startProduction(t, { LINARITE_ALLOWED_HOSTS: 'named.example' });
  for (const [host, status] of [
    ['named.example', 200],
    ['evil.example', 421],
  ] as const) {
    assert.equal((await closed.send({ target: '/-/health/live', headers: { Host: host } })).status, status, host);
  }
});

interface Page {
  origin: string;
  method?: string;
  target: string;
  asks?: string;
}

const preflight = (
  server: TestServer,
  { origin, method = 'POST', target, asks = 'authorization, content-type' }: Page,
) =>
  server.send({
    method: 'OPTIONS',
    target,
    headers: { Origin: origin, 'Access-Control-Request-Method': method, 'Access-Control-Request-Headers': asks },
  });

const SERVICE_ROUTES = [
  ['POST', '/identities?api-version=2023-10-01'],
  ['GET', `${inPath('x')}?api-version=2023-10-01`],
  ['DELETE', `${inPath('x')}?api-version=2023-10-01`],
  ['PATCH', `${inPath('x')}?api-version=2020-07-20-preview2`],
  ['POST', `${inPath('x')}/:issueAccessToken?api-version=2023-10-01`],
  ['POST', `${inPath('x')}/:revokeAccessTokens?api-version=2023-10-01`],
  ['POST', '/-/introspect'],
] as const;
const OPEN_ROUTES = [
  ['GET', '/-/health/live'],
  ['GET', '/-/metrics'],
  ['GET', '/-/ca.pem'],
  ['GET', '/.well-known/jwks.json'],
] as const;

const FOREIGN = [
  'https://evil.example',
  'http://localhost.evil.example',
  'https://localhost@evil.example',
  'http://evil.example:7417',
  'http://127.0.0.1.nip.io',
  'http://notlocalhost',
  'null',
  'file://',
  'chrome-extension://abcdefghijklmnop',
  'http://10.0.0.1',
  'http://localhost:80:80',
  'http://localhost/',
  'http://localhost, https://evil.example',
  'ftp://localhost',
  '*',
  'localhost',
  '',
];

describe('a page', () => {
  let server: TestServer;
  let token: string;
  shareServer(
    async (started) => {
      server = started;
      token = await server.givenToken(await server.givenIdentity());
    },
    { env: { LINARITE_ALLOWED_ORIGINS: 'https://app.example' } },
  );

  const corsHeaders = (headers: object) => Object.keys(headers).filter((name) => name.startsWith('access-control-'));

  test('of a foreign origin is never told that it may call a service route, nor any other', async () => {
    for (const origin of FOREIGN) {
      for (const [method, target] of [...SERVICE_ROUTES, ...OPEN_ROUTES, ['GET', '/-/whoami'] as const]) {
        const answer = await preflight(server, { origin, method, target });
        assertError(answer, { status: 403, code: 'Forbidden' }, `${origin} ${method} ${target}`);
        assert.deepEqual(corsHeaders(answer.headers), []);
      }
    }
  });

  test('of a foreign origin cannot read an answer, signed or not', async () => {
    for (const origin of FOREIGN) {
      const signed = await server.asService('POST /identities', undefined, { headers: { Origin: origin } });
      assert.deepEqual(corsHeaders(signed.headers), [], origin);
      const open = await server.send({ target: '/-/ca.pem', headers: { Origin: origin } });
      assert.deepEqual(corsHeaders(open.headers), [], origin);
      const user = await server.send({
        target: '/-/whoami',
        headers: { Origin: origin, Authorization: `Bearer ${token}` },
      });
      assert.deepEqual(corsHeaders(user.headers), [], origin);
    }
  });

  test('of an origin in the settings may call what needs a token, and no service route', async () => {
    const origin = 'https://app.example';
    const allowed = await preflight(server, { origin, method: 'GET', target: '/-/whoami', asks: 'authorization' });
    assert.equal(allowed.status, 204);
    assert.equal(allowed.headers['access-control-allow-origin'], origin);
    assert.equal(allowed.headers['access-control-allow-methods'], 'GET');
    assert.equal(allowed.headers['access-control-allow-headers'], 'authorization');
    assert.equal(allowed.headers['access-control-allow-credentials'], undefined);
    assert.equal(allowed.headers.vary, 'Origin');
    const answer = await server.send({
      target: '/-/whoami',
      headers: { Origin: origin, Authorization: `Bearer ${token}` },
    });
    assert.deepEqual([answer.status, answer.headers['access-control-allow-origin']], [200, origin]);
    const refused = await server.send({ target: '/-/whoami', headers: { Origin: origin } });
    assert.deepEqual([refused.status, refused.headers['access-control-allow-origin']], [401, origin]);
    for (const [method, target] of [...SERVICE_ROUTES, ...OPEN_ROUTES]) {
      assertError(await preflight(server, { origin, method, target }), { status: 403, code: 'Forbidden' }, target);
    }
    for (const near of [
      'https://app.example:8443',
      'http://app.example',
      'https://APP.example',
      'https://x.app.example',
      'https://app.example.evil.example',
      'https://app.example/',
    ]) {
      assertError(
        await preflight(server, { origin: near, method: 'GET', target: '/-/whoami' }),
        { status: 403, code: 'Forbidden' },
        near,
      );
    }
  });

  test('on this machine may call everything in dev mode, by its exact origin and never by `*`', async () => {
    for (const origin of [
      'http://localhost',
      'http://localhost:3000',
      'https://localhost:5173',
      'http://127.0.0.1:8080',
      'http://[::1]:3000',
      'http://app.localhost:3000',
    ]) {
      for (const [method, target] of [...SERVICE_ROUTES, ...OPEN_ROUTES]) {
        const answer = await preflight(server, { origin, method, target });
        assert.equal(answer.status, 204, `${origin} ${target}`);
        assert.equal(answer.headers['access-control-allow-origin'], origin);
        assert.equal(answer.headers['access-control-allow-credentials'], undefined);
        assert.equal(answer.text, '');
      }
      const answer = await server.asService('POST /identities', undefined, { headers: { Origin: origin } });
      assert.equal(answer.headers['access-control-allow-origin'], origin);
      assert.match(String(answer.headers['access-control-expose-headers']), /x-ms-client-request-id/);
    }
  });

  test('gets back what it asked for in its preflight only when that is a list of header names', async () => {
    const origin = 'http://localhost:3000';
    for (const asks of ['x'.repeat(2000), 'a: b', '*', 'a;b', '<script>']) {
      const { status, headers } = await preflight(server, { origin, target: '/identities', asks });
      assert.equal(status, 204);
      assert.equal(headers['access-control-allow-headers'], undefined, asks);
    }
  });

  test('is told the truth about what is not there', async () => {
    const origin = 'http://localhost:3000';
    for (const [method, target] of [
      ['POST', '/nowhere'],
      ['PUT', '/identities'],
      ['', '/identities'],
      ['post', '/identities'],
      ['__proto__', '/identities'],
    ] as const) {
      const { status, headers } = await preflight(server, { origin, method, target });
      assert.ok([404, 405].includes(status), `${method} ${target}: ${status}`);
      assert.deepEqual(corsHeaders(headers), []);
    }
  });

  test('with two origins has none', async () => {
    for (const name of ['Origin', 'origin']) {
      const answer = await sendRaw(
        server.port,
        requestText('OPTIONS /identities', [
          ['Host', server.host],
          ['Connection', 'close'],
          ['Origin', 'http://localhost:3000'],
          [name, 'https://evil.example'],
          ['Access-Control-Request-Method', 'POST'],
        ]),
      );
      assert.equal(answer.status, 403);
    }
  });
});

test('in production no page may call a service route, also none on this machine', async (t) => {
  const server = await startProduction(t, { LINARITE_ALLOWED_ORIGINS: 'https://app.example' });
  for (const origin of ['http://localhost:3000', 'https://app.example', 'https://evil.example']) {
    for (const [method, target] of [...SERVICE_ROUTES, ...OPEN_ROUTES]) {
      assertError(await preflight(server, { origin, method, target }), { status: 403, code: 'Forbidden' }, target);
    }
  }
  const allowed = await preflight(server, { origin: 'https://app.example', method: 'GET', target: '/-/whoami' });
  assert.equal(allowed.status, 204);
  const here = await preflight(server, { origin: 'http://localhost:3000', method: 'GET', target: '/-/whoami' });
  assert.equal(here.status, 403);
});
