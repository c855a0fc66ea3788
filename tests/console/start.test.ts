import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { VERSION } from '../../src/version.ts';
import { assertError } from '../harness/envelope.ts';
import type { Answer } from '../harness/http.ts';
import { startProduction } from '../harness/production.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' };
const BROWSER = { Accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' };
const SECRET = 'J7sX-9cPq_2LmN4vRtYwZaBcDeFgHiJkLmNoPqRsTu0';

const look = (server: TestServer, headers: Record<string, string> = {}): Promise<Answer> =>
  server.send({ target: '/', headers: { ...BROWSER, ...headers } });

const press = (
  server: TestServer,
  fields: Record<string, string>,
  headers: Record<string, string | string[]> = { Origin: `http://${server.host}` },
): Promise<Answer> =>
  server.send({
    method: 'POST',
    target: '/',
    headers: { ...FORM, ...headers },
    body: String(new URLSearchParams(fields)),
  });

/** Text of the page, as a reader sees it. */
const readable = ({ text }: Answer): string =>
  text.replaceAll(/<[^>]*>/g, ' ').replaceAll(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)));
const tokenIn = ({ text }: Answer): string => /<textarea[^>]*>([^<]+)</.exec(text)?.[1] ?? assert.fail(text);

describe('the start page', () => {
  let server: TestServer;
  shareServer((started) => {
    server = started;
  });

  test('is a page for browsers and JSON for everybody else', async () => {
    const page = await look(server);
    assert.deepEqual([page.status, page.headers['content-type']], [200, 'text/html; charset=utf-8']);
    assert.ok(readable(page).includes(server.connectionString));
    assert.ok(readable(page).includes(`${server.folder}/ca.pem`));
    for (const headers of [{}, { Accept: '*/*' }, { Accept: 'application/json' }] as Record<string, string>[]) {
      const { status, body } = await server.send({ target: '/', headers });
      assert.equal(status, 200);
      const { connectionString } = server;
      const endpoint = `https://${server.host}/`;
      const openapi = `${endpoint}-/openapi.json`;
      assert.deepEqual(body, { name: 'Linarite', version: VERSION, mode: 'dev', endpoint, connectionString, openapi });
    }
  });

  test('issues a token for a new user, and for one that is named', async () => {
    const made = await press(server, { chat: 'on', 'voip.join': 'on', user: '' });
    assert.equal(made.status, 200);
    const who = await server.asUser(tokenIn(made));
    assert.deepEqual(who.body.scopes, ['chat', 'voip.join']);
    assert.ok(readable(made).includes(who.body.identity.id));
    const again = await press(server, { voip: 'on', user: ` ${who.body.identity.id} ` });
    assert.equal((await server.asUser(tokenIn(again))).body.identity.id, who.body.identity.id);
  });

  test('says what is wrong, and leaves what was filled in', async () => {
    const hostile = `"><script>alert(1)</script>'&`;
    for (const [fields, status, complaint] of [
      [{ user: '' }, 400, /scopes/i],
      [{ chat: 'on', user: hostile }, 400, /identity/i],
      [
        { chat: 'on', user: '8:acs:5e1f0057-ed00-4acc-8000-000000007417_00000019-5466-0f71-aefa-4e3a0d002539' },
        404,
        /./,
      ],
    ] as const) {
      const answer = await press(server, fields);
      assert.equal(answer.status, status, answer.text);
      assert.match(/role="alert">(.*?)<\/p>/.exec(answer.text)?.[1] ?? assert.fail(answer.text), complaint);
      assert.doesNotMatch(answer.text, /<script|<textarea/);
    }
    const answer = await press(server, { chat: 'on', user: hostile });
    assert.ok(answer.text.includes(`value="&#34;&#62;&#60;script&#62;alert(1)&#60;/script&#62;&#39;&#38;"`));
  });

  test('shows the last requests with their reasons, but not itself, no secret, and no more than fifty', async () => {
    await server.send({ method: 'DELETE', target: `/identities/${SECRET}?api-version=2023-10-01&x=${SECRET}` });
    await server.send({ target: `/chat/threads/${SECRET}`, headers: { Authorization: `Bearer ${SECRET}` } });
    await server.send({ target: '/-/whoami', headers: { Authorization: `Bearer ${SECRET}` } });
    await look(server);
    const page = await look(server);
    const text = readable(page);
    assert.match(text, /GET \/-\/whoami\s+401\s+token\.malformed/);
    assert.match(text, /GET \/chat\/threads\/…\s+404\s+OperationUnknown\s+There is no operation at this path\./);
    assert.match(text, /DELETE \/identities\/\{id\}\s+401\s+authorization\.missing/);
    assert.ok(!page.text.includes(SECRET));
    assert.ok(!/GET \/ /.test(text) && !/POST \/ /.test(text), text);
    for (let index = 0; index < 60; index += 1) await server.send({ target: '/-/health/live' });
    assert.equal((await look(server)).text.split('<li><time').length - 1, 50);
  });

  test('lets nothing run but its own style, and no page around it', async () => {
    for (const answer of [await look(server), await press(server, { chat: 'on' })]) {
      const style = /<style>([\s\S]*?)<\/style>/.exec(answer.text)?.[1] ?? '';
      const hash = createHash('sha256').update(style).digest('base64');
      assert.equal(
        answer.headers['content-security-policy'],
        `default-src 'none'; style-src 'sha256-${hash}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`,
      );
      assert.equal(answer.headers['cross-origin-resource-policy'], 'same-origin');
      assert.equal(answer.headers['x-frame-options'], 'DENY');
      assert.equal(answer.headers['cache-control'], 'no-store');
      assert.equal(answer.headers.vary, 'Accept');
      assert.equal(answer.headers['access-control-allow-origin'], undefined);
      assert.doesNotMatch(answer.text, /<script|<link|<img|<iframe|\son\w+=|\sstyle=|src=|https?:\/\/(?!localhost)/);
    }
  });

  test('keeps other pages, other names and other machines out', async () => {
    for (const Origin of ['https://evil.example', 'null', `https://${server.host}`, 'http://localhost:1'])
      assertError(await press(server, { chat: 'on' }, { Origin }), { status: 403, code: 'Forbidden' }, Origin);
    assertError(await press(server, { chat: 'on' }, {}), { status: 403, code: 'Forbidden' });
    const own = `http://${server.host}`;
    assertError(await press(server, { chat: 'on' }, { Origin: [own, own] }), { status: 403, code: 'Forbidden' });
    const rebound = await look(server, { Host: `evil.example:${server.port}` });
    assertError(rebound, { status: 421, code: 'MisdirectedRequest' });
    for (const name of ['X-Forwarded-For', 'Forwarded', 'Via']) {
      assertError(await look(server, { [name]: '192.0.2.1' }), { status: 401, code: 'Denied' });
      const passedOn = await press(server, { chat: 'on' }, { Origin: own, [name]: '192.0.2.1' });
      assertError(passedOn, { status: 401, code: 'Denied' });
    }
    const cors = await look(server, { Origin: 'http://localhost:3000' });
    assert.equal(cors.headers['access-control-allow-origin'], undefined);
  });
});

test('a key that is not the published one is neither shown nor used by the page', async (t) => {
  const server = await startTestServer(t);
  const { resources } = server.server;
  const [resource] = resources.list();
  assert.ok(resource);
  await resources.regenerateKey(resource.id, 'primary');
  const fresh = resources
    .get(resource.id)
    .keys.find(({ slot }) => slot === 'primary')
    ?.secret.export();
  const page = await look(server);
  assert.ok(!page.text.includes(String(fresh?.toString('base64'))));
  assert.doesNotMatch(page.text, /<form/);
  assert.match(readable(page), /linarite connection-string/);
  assert.equal((await server.send({ target: '/' })).body.connectionString, undefined);
  const pressed = await press(server, { chat: 'on' });
  assert.doesNotMatch(pressed.text, /<textarea|eyJ/);
});

test('production mode has no such page', async (t) => {
  const production = await startProduction(t);
  const expected = { status: 404, code: 'NotFound' };
  assertError(await look(production), expected);
  assertError(await press(production, { chat: 'on' }), expected);
});
