import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { decodeJwt } from 'jose';
import { APPLICATIONS, DIRECTORY_TENANT, PUBLISHED_SECRET, USERS } from '../../src/planes/sign-in/directory.ts';
import { assertError } from '../harness/envelope.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

// RFC 8628, and what stands between a foreign page and the buttons of ours.

const CLIENT = APPLICATIONS.app.clientId;
const PAGE = '/-/devicelogin';
const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' };
const [alice, bob] = USERS;

describe('signing in a device', () => {
  let server: TestServer;
  shareServer((started) => {
    server = started;
  });

  const form = (target: string, fields: Record<string, string>, headers: Record<string, string | string[]> = {}) =>
    server.send({
      method: 'POST',
      target,
      headers: { ...FORM, ...headers },
      body: String(new URLSearchParams(fields)),
    });

  const start = async (): Promise<{ device_code: string; user_code: string }> => {
    const scope = 'https://communication.azure.com/clients/Chat';
    const answer = await form(`/${DIRECTORY_TENANT}/oauth2/v2.0/devicecode`, { client_id: CLIENT, scope });
    assert.equal(answer.status, 200, answer.text);
    return answer.body;
  };
  const redeem = (device_code: string, client: Record<string, string> = { client_id: CLIENT }) =>
    form(`/${DIRECTORY_TENANT}/oauth2/v2.0/token`, {
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      device_code,
      ...client,
    });
  const own = () => ({ Origin: `http://${server.host}` });
  const press = (
    user_code: string,
    { answer = 'allow', user = alice?.objectId ?? '' } = {},
    headers: Record<string, string | string[]> = own(),
  ) => form(PAGE, { user_code, user, answer }, headers);

  test('gives the token once, for the user that was picked', async () => {
    const { device_code, user_code } = await start();
    assert.match(user_code, /^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/);
    assert.equal((await redeem(device_code)).body.error, 'authorization_pending');
    const spelt = user_code.toLowerCase().replace('-', ' ');
    assert.match((await press(spelt, { user: bob?.objectId ?? '' })).text, /The device is signed in/);
    assert.equal((await press(user_code)).status, 400, 'it was answered already');
    const another = { client_id: APPLICATIONS.service.clientId, client_secret: PUBLISHED_SECRET };
    assert.equal((await redeem(device_code, another)).body.error, 'expired_token', 'it is not that client’s');
    const { access_token } = (await redeem(device_code)).body;
    assert.equal(decodeJwt(access_token).oid, bob?.objectId);
    assert.equal((await redeem(device_code)).body.error, 'expired_token');
  });

  test('gives nothing when the person declines', async () => {
    const { device_code, user_code } = await start();
    assert.match((await press(user_code, { answer: 'decline' })).text, /declined/);
    assert.equal((await redeem(device_code)).body.error, 'access_denied');
    assert.equal((await redeem(device_code)).body.error, 'expired_token');
  });

  test('shows the page again for a wrong code, and for a user that is none', async () => {
    const { user_code } = await start();
    for (const answer of [
      await press('BBBB-BBBB'),
      await press(''),
      await press(user_code, { user: DIRECTORY_TENANT }),
    ]) {
      assert.equal(answer.status, 400);
      assert.match(answer.text, /role="alert"/);
    }
    assert.equal((await press(user_code)).status, 200);
  });

  test('writes what stands in the address into the page as text', async () => {
    const { text } = await server.send({ target: `${PAGE}?user_code=${encodeURIComponent(`"><b>'&`)}` });
    assert.match(text, /value="&#34;&#62;&#60;b&#62;&#39;&#38;"/);
    const { user_code } = await start();
    assert.match((await server.send({ target: `${PAGE}?user_code=${user_code}` })).text, new RegExp(`"${user_code}"`));
  });

  test('has a page without script, with its own style and form only, in no frame', async () => {
    const { text, headers } = await server.send({ target: PAGE });
    const policy = String(headers['content-security-policy']);
    const style = /<style>(.*)<\/style>/s.exec(text)?.[1] ?? '';
    const hash = createHash('sha256').update(style).digest('base64');
    assert.equal(
      policy,
      `default-src 'none'; style-src 'sha256-${hash}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`,
    );
    assert.doesNotMatch(text, /<script|\s(?:on\w+|style|src|href)=|https?:/i);
    assert.equal(headers['x-frame-options'], 'DENY');
    assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
    assert.equal(headers['content-type'], 'text/html; charset=utf-8');
    assert.equal(headers['cache-control'], 'no-store');
  });

  test('no other page can press the buttons, whatever it says about itself', async () => {
    const { device_code, user_code } = await start();
    const { port } = server;
    for (const headers of [
      {},
      { Origin: 'https://evil.example' },
      { Origin: 'null' },
      { Origin: '' },
      { Origin: `http://localhost:${port + 1}` },
      { Origin: `http://127.0.0.1:${port}` },
      { Origin: `https://localhost:${port}` },
      { Origin: `http://localhost:${port}.evil.example` },
      { Origin: ['https://evil.example', `http://localhost:${port}`] },
      { Origin: [`http://localhost:${port}`, 'https://evil.example'] },
      { Referer: `http://localhost:${port}${PAGE}` },
    ] as Record<string, string | string[]>[]) {
      const answer = await press(user_code, {}, headers);
      assert.deepEqual([answer.status, answer.body.error], [403, 'invalid_request'], JSON.stringify(headers));
      assert.equal(answer.headers['access-control-allow-origin'], undefined);
    }
    assert.equal((await redeem(device_code)).body.error, 'authorization_pending');
  });

  test('no other page can read it, or ask whether it may', async () => {
    for (const origin of ['https://evil.example', 'http://localhost:3000', `http://${server.host}`]) {
      const read = await server.send({ target: PAGE, headers: { Origin: origin } });
      assert.equal(read.headers['access-control-allow-origin'], undefined, origin);
      for (const method of ['GET', 'POST']) {
        const asked = await server.send({
          method: 'OPTIONS',
          target: PAGE,
          headers: { Origin: origin, 'Access-Control-Request-Method': method },
        });
        assertError(asked, { status: 403, code: 'Forbidden' }, `${method} ${origin}`);
      }
    }
  });

  test('a thousand devices wait at most: the oldest gives way', async () => {
    const first = await start();
    for (let count = 0; count < 1000; count += 100) await Promise.all(Array.from({ length: 100 }, start));
    assert.equal((await redeem(first.device_code)).body.error, 'expired_token');
  });
});
