import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CAPABILITIES, capabilitiesOf } from '../../src/capabilities/capabilities.ts';
import { assertError } from '../harness/envelope.ts';
import { requestText, sendRaw } from '../harness/raw.ts';
import { DEV_ID, givenResource, inPath } from '../harness/resources.ts';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

const REFUSED = { status: 401, code: 'Unauthorized', message: 'The access token is not valid.' };

describe('whoami', () => {
  let server: TestServer;
  let id: string;
  let token: string;
  shareServer(async (started) => {
    server = started;
    id = await server.givenIdentity();
    token = await server.givenToken(id, ['chat.join', 'voip']);
  });

  const whoami = (headers: Record<string, string>) => server.send({ target: '/-/whoami', headers });

  test('tells identity, resource, scopes, capabilities and expiry', async () => {
    const { status, body } = await server.asUser(token);
    assert.equal(status, 200);
    const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    assert.deepEqual(body, {
      identity: { id },
      resourceId: DEV_ID,
      scopes: ['chat.join', 'voip'],
      capabilities: capabilitiesOf(['chat.join', 'voip']),
      expiresOn: `${new Date(exp * 1000).toISOString().slice(0, 19)}.0000000+00:00`,
    });
    assert.ok(body.capabilities.length < CAPABILITIES.length);
    assert.ok(!body.capabilities.includes('chat.thread.create'));
    assert.ok(body.capabilities.includes('chat.participant.add'));
    assert.ok(body.capabilities.includes('call.start'));
  });

  test('counts tokens that name a signing key nobody has', async () => {
    const count = async () => {
      const { text } = await server.send({ target: '/-/metrics' });
      return Number(/^linarite_unknown_signing_keys_total (\d+)$/m.exec(text)?.[1]);
    };
    const before = await count();
    const [header = '', ...rest] = token.split('.');
    const named = { ...JSON.parse(Buffer.from(header, 'base64url').toString()), kid: '0'.repeat(40) };
    const forged = [Buffer.from(JSON.stringify(named)).toString('base64url'), ...rest].join('.');
    assertError(await server.asUser(forged), REFUSED);
    assert.equal(await count(), before + 1);
  });

  test('refuses a token where the host names another resource, and only there', async (t) => {
    const two = await startTestServer(t);
    const shop = await givenResource(two, 'shop');
    const created = await two.asService('POST /identities', { createTokenWithScopes: ['chat'] }, { key: shop.key });
    const tokens = { shop: created.body.accessToken.token, dev: await two.givenToken(await two.givenIdentity()) };
    const ask = (token: string, host: string) =>
      two.send({
        target: '/-/whoami',
        headers: { Authorization: `Bearer ${token}`, Host: host },
      });
    for (const host of ['shop.localhost', `shop.localhost:${two.port}`, 'SHOP.acs.localhost']) {
      assert.equal((await ask(tokens.shop, host)).status, 200, host);
      const refused = await ask(tokens.dev, host);
      assertError(refused, REFUSED, host);
      assert.equal(refused.headers['x-linarite-reason'], 'token.otherResource');
    }
    assertError(await ask(tokens.shop, 'dev.localhost'), REFUSED);
    // No resource is meant by these.
    for (const host of ['localhost', '127.0.0.1', '[::1]', 'nobody.localhost'])
      for (const token of Object.values(tokens)) assert.equal((await ask(token, host)).status, 200, host);
    await two.server.resources.delete(shop.id);
    assert.equal((await ask(tokens.dev, 'shop.localhost')).status, 200);
  });

  test('knows the resource of the token', async () => {
    const neighbour = await givenResource(server);
    const created = await server.asService(
      'POST /identities',
      { createTokenWithScopes: ['voip'] },
      { key: neighbour.key },
    );
    assert.equal((await server.asUser(created.body.accessToken.token)).body.resourceId, neighbour.id);
  });

  test('takes a bearer token in the Authorization header and from nowhere else', async () => {
    assert.equal((await whoami({ Authorization: `bearer ${token}` })).status, 200, 'the scheme has no case');
    for (const headers of [
      {},
      { Authorization: '' },
      { Authorization: 'Bearer' },
      { Authorization: 'Bearer ' },
      { Authorization: token },
      { Authorization: `Basic ${token}` },
      { Authorization: `Basic ${Buffer.from(`:${token}`).toString('base64')}` },
      { Authorization: `Bearer ${token} ${token}` },
      { Authorization: `Bearer ${token},Bearer ${token}` },
      { Authorization: `Bearer "${token}"` },
      { Authorization: `Bearer token=${token}` },
      { Authorization: `Bearer ${token}, x` },
      { Authorization: `Bearer ${token}=` },
      { Authorization: `Bearer ${token}.` },
      { Authorization: `Bearer .${token}` },
      { Authorization: `Bearer ${token.slice(0, -1)}` },
      { Authorization: `Bearer ${encodeURIComponent(`${token}=`)}` },
      { Authorization: `Token ${token}` },
      { Cookie: `access_token=${token}; Authorization=Bearer ${token}` },
      { 'X-Authorization': `Bearer ${token}` },
      { 'Proxy-Authorization': `Bearer ${token}` },
      { 'x-ms-token': token },
    ] as Record<string, string>[]) {
      assertError(await whoami(headers), REFUSED, JSON.stringify(Object.keys(headers)));
    }
    for (const query of [`?access_token=${token}`, `?token=${token}`, `?authorization=Bearer%20${token}`]) {
      assertError(await server.send({ target: `/-/whoami${query}` }), REFUSED);
    }
  });

  test('refuses two Authorization headers, also when both are good', async () => {
    const good = `Bearer ${token}`;
    for (const [first, second] of [
      [good, good],
      [good, 'Bearer x'],
      ['Bearer x', good],
      [good, ''],
    ] as const) {
      const { status } = await sendRaw(
        server.port,
        requestText('GET /-/whoami', [
          ['Host', server.host],
          ['Connection', 'close'],
          ['Authorization', first],
          ['Authorization', second],
        ]),
      );
      assert.equal(status, 401);
    }
  });

  test('refuses an access key, and a token opens nothing of a service', async () => {
    assertError(await server.asService('GET /-/whoami'), REFUSED);
    assertError(await whoami({ Authorization: `Bearer ${server.key}` }), REFUSED);
    for (const [method, target] of [
      ['POST', '/identities?api-version=2023-10-01'],
      ['POST', `${inPath(id)}/:issueAccessToken?api-version=2023-10-01`],
      ['POST', `${inPath(id)}/:revokeAccessTokens?api-version=2023-10-01`],
      ['DELETE', `${inPath(id)}?api-version=2023-10-01`],
      ['GET', `${inPath(id)}?api-version=2023-10-01`],
      ['POST', '/-/introspect'],
    ] as const) {
      const answer = await server.send({ method, target, headers: { Authorization: `Bearer ${token}` } });
      assertError(answer, { status: 401, code: 'Denied', message: 'Denied by the resource provider.' }, target);
    }
    assert.equal((await server.asUser(token)).status, 200, 'nothing was revoked or deleted');
  });

  test('answers every refused token alike but for the reason in dev mode', async () => {
    const revoked = await server.givenToken(await server.givenIdentity());
    const owner = JSON.parse(Buffer.from(revoked.split('.')[1] ?? '', 'base64url').toString()).sub;
    await server.asService(`POST ${inPath(owner)}/:revokeAccessTokens`);
    const texts = new Set<string>();
    for (const text of [revoked, 'x', 'a.b.c', `${token.slice(0, -8)}AAAAAAAA`]) {
      const { status, text: answer } = await server.asUser(text);
      texts.add(`${status} ${answer}`);
    }
    assert.equal(texts.size, 1);
  });
});

test('a token that runs out while its request is served opens nothing', async (t) => {
  const clock = new TestClock();
  const server = await startTestServer(t, { clock });
  const { tokens } = server.server;
  const token = await server.givenToken(await server.givenIdentity(), ['chat'], { expiresInMinutes: 60 });
  assert.equal((await server.asUser(token)).status, 200);
  const verify = tokens.verify.bind(tokens);
  t.mock.method(tokens, 'verify', async (jwt: string) => {
    const verified = await verify(jwt);
    clock.advance(60 * 60_000);
    return verified;
  });
  const answer = await server.asUser(token);
  assertError(answer, REFUSED);
  assert.match(String(answer.headers['x-linarite-reason']), /^token\.expired/);
});
