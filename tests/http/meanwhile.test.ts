import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import { describe, test } from 'node:test';
import { DIRECTORY_TENANT } from '../../src/issuer/directory.ts';
import {
  ALICE,
  APP,
  applicationToken,
  asOperator,
  CLIENTS,
  MANAGEMENT,
  OPERATOR_KEY,
  SERVICE,
  TEAMS,
  userToken,
} from '../harness/dev-tokens.ts';
import { accessKeyOf, givenResource } from '../harness/resources.ts';
import { API_VERSION, startTestServer, TestClock, type TestServer } from '../harness/server.ts';
import { sign } from '../harness/sign.ts';

// A caller is proven by the headers; the body may take half a minute. Whoever holds it back must not act by what has been
// taken back meanwhile.

const PREVIEW = 'api-version=2025-03-02-preview';
const GROUP = '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/late';

interface Held {
  /** Method and target. */
  readonly at: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** Sends the headers, waits until the server wants the body, does something, and sends the body. @returns status and reason */
async function answerTo(
  server: TestServer,
  { at, headers, body }: Held,
  meanwhile: () => Promise<unknown>,
): Promise<[status: number, reason: string | undefined]> {
  const [method = '', path = ''] = at.split(' ');
  const request = http.request({
    host: '127.0.0.1',
    port: server.port,
    method,
    path,
    agent: false,
    headers: {
      Host: server.host,
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
      Expect: '100-continue',
      ...headers,
    },
  });
  request.flushHeaders();
  await once(request, 'continue');
  await meanwhile();
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.resume();
  return [response.statusCode ?? 0, String(response.headers['x-linarite-reason'] ?? '').split(';')[0] || undefined];
}

const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });

/** Requests with a body, by what their callers are proven by. */
const BY: Readonly<Record<'key' | 'trust', Record<string, (server: TestServer) => Promise<Held>>>> = {
  key: {
    'a new identity': (server) => signed(server, `POST /identities?api-version=${API_VERSION}`, '{}'),
    'a new identity with a token': (server) =>
      signed(server, `POST /identities?api-version=${API_VERSION}`, '{"createTokenWithScopes":["chat"]}'),
    'an assignment': (server) =>
      signed(server, `PUT /access/entra/assignments/${ALICE.objectId}?${PREVIEW}`, ASSIGNMENT),
    async 'a Teams user’s token'(server) {
      const token = await userToken(server, ALICE, `${TEAMS}/Teams.ManageChats`);
      const body = JSON.stringify({ token, appId: APP, userId: ALICE.objectId });
      return signed(server, `POST /teamsUser/:exchangeAccessToken?api-version=${API_VERSION}`, body);
    },
  },
  trust: {
    async 'a new identity'(server) {
      const headers = bearer(await applicationToken(server, SERVICE));
      return { at: `POST /identities?api-version=${API_VERSION}`, headers, body: '{}' };
    },
    async 'a user’s exchange'(server) {
      await server.asService(`PUT /access/entra/assignments/${ALICE.objectId}?${PREVIEW}`, ASSIGNMENT);
      const headers = bearer(await userToken(server, ALICE, `${CLIENTS}/Chat`));
      return { at: `POST /access/entra/:exchangeAccessToken?${PREVIEW}`, headers, body: '{}' };
    },
    async 'a resource group'(server) {
      const headers = bearer(await applicationToken(server, MANAGEMENT));
      return { at: `PUT ${GROUP}?api-version=2021-04-01`, headers, body: '{"location":"global"}' };
    },
  },
};

const ASSIGNMENT = JSON.stringify({ principalType: 'user', tenantId: DIRECTORY_TENANT, clientIds: [APP] });

async function signed(server: TestServer, at: string, body: string): Promise<Held> {
  const [method = '', target = ''] = at.split(' ');
  const { id } = await givenResource(server, 'held');
  const host = `held.${server.host}`;
  const key = accessKeyOf(server, 'secondary', id);
  return { at, body, headers: { Host: host, ...sign({ method, target, host, body, key }) } };
}

const resourceId = (server: TestServer) => {
  const found = server.server.resources.list().find(({ name }) => name === 'held');
  assert.ok(found);
  return found.id;
};

/** What takes the proof back, and the reason that is told then. */
const MEANWHILE = {
  key: {
    'the key is regenerated': (server) => server.server.resources.regenerateKey(resourceId(server), 'secondary'),
    'keys are switched off': (server) => server.server.resources.setKeysDisabled(resourceId(server), true),
    'the resource is deleted': (server) => server.server.resources.delete(resourceId(server)),
  },
  trust: {
    'the trust is disabled': (server) => asOperator(server, 'POST /-/trusts/dev/:disable'),
    'the trust is deleted': (server) => asOperator(server, 'DELETE /-/trusts/dev'),
    'a grant is taken back': (server) => asOperator(server, 'DELETE /-/trusts/dev/grants/service-data'),
  },
} as const satisfies Record<keyof typeof BY, Record<string, (server: TestServer) => Promise<unknown>>>;

const REASON = { key: 'accessKey.replaced', trust: 'trust.changed' } as const;

for (const proof of ['key', 'trust'] as const)
  describe(`a body that comes later than the ${proof} it was proven by holds`, () => {
    for (const [what, given] of Object.entries(BY[proof]))
      test(`changes nothing: ${what}`, async (t) => {
        const start = () => startTestServer(t, { env: { LINARITE_OPERATOR_KEY: OPERATOR_KEY } });
        const untouched = await start();
        const [good] = await answerTo(untouched, await given(untouched), async () => undefined);
        assert.ok(good < 300, `without anything meanwhile: ${good}`);
        for (const [how, meanwhile] of Object.entries(MEANWHILE[proof])) {
          const server = await start();
          const answer = await answerTo(server, await given(server), () => meanwhile(server));
          assert.deepEqual(answer, [401, REASON[proof]], how);
        }
      });
  });

test('a body that comes after the presented token has run out gets no token of ours', async (t) => {
  const clock = new TestClock();
  const server = await startTestServer(t, { clock });
  const held = await BY.trust['a user’s exchange']?.(server);
  assert.ok(held);
  const answer = await answerTo(server, held, async () => clock.advance(2 * 3_600_000));
  assert.deepEqual(answer, [401, 'foreign.expired']);
});
