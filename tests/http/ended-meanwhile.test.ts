import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, describe, test } from 'node:test';
import { Exchange } from '../../src/http/exchange.ts';
import { APPLICATIONS } from '../../src/planes/sign-in/directory.ts';
import { applicationToken, asOperator, MANAGEMENT, OPERATOR_KEY, SERVICE } from '../harness/dev-tokens.ts';
import { takeAnswer } from '../harness/raw.ts';
import { inPath } from '../harness/resources.ts';
import { writeResult } from '../harness/results.ts';
import { API_VERSION, startTestServer, type TestServer } from '../harness/server.ts';
import { sign } from '../harness/sign.ts';

const SERVICE_PATH =
  '/subscriptions/5e1f0057-0000-4000-8000-000000000001/resourceGroups/dev/providers/Microsoft.Communication/communicationServices/dev';
const ASSIGNMENT = '/access/entra/assignments/5e1f0057-0000-4000-8000-0000000000ff?api-version=2025-03-02-preview';
const ALICE = { tenantId: APPLICATIONS.app.clientId, principalType: 'user', clientIds: [APPLICATIONS.app.clientId] };

/** What somebody asks, with a proof that somebody else ends. */
interface Case {
  readonly name: string;
  ask(server: TestServer): Promise<{ at: string; headers: Record<string, string>; body: string }>;
  end(server: TestServer): Promise<unknown>;
}

const bearing =
  (at: string, audience: string, body = '{}'): Case['ask'] =>
  async (server) => ({ at, headers: { Authorization: `Bearer ${await applicationToken(server, audience)}` }, body });

const signed =
  (at: string, body: string): Case['ask'] =>
  async ({ host, key }) => {
    const [method = '', target = ''] = at.split(' ');
    return { at, headers: sign({ method, target, host, body, key }), body };
  };

let alice: string;
const regenerated = (server: TestServer) =>
  asOperator(server, `POST ${SERVICE_PATH}/regenerateKey?api-version=2023-04-01`, { keyType: 'Primary' });
const disabled = (server: TestServer) => asOperator(server, 'POST /-/trusts/dev/:disable');

const CASES: readonly Case[] = [
  {
    name: 'a user whose token is revoked',
    async ask(server) {
      alice = await server.givenIdentity();
      return {
        at: 'GET /-/whoami',
        headers: { Authorization: `Bearer ${await server.givenToken(alice)}` },
        body: '{}',
      };
    },
    end: (server) => server.asService(`POST ${inPath(alice)}/:revokeAccessTokens`),
  },
  {
    name: 'a service whose key is regenerated, about to make an identity',
    ask: signed(`POST /identities?api-version=${API_VERSION}`, '{}'),
    end: regenerated,
  },
  {
    name: 'a service whose key is regenerated, about to let somebody in',
    ask: signed(`PUT ${ASSIGNMENT}`, JSON.stringify(ALICE)),
    end: regenerated,
  },
  {
    name: 'a service whose keys are switched off',
    ask: signed(`POST /identities?api-version=${API_VERSION}`, '{}'),
    end: (server) =>
      asOperator(server, `PATCH ${SERVICE_PATH}?api-version=2023-04-01`, { properties: { disableLocalAuth: true } }),
  },
  {
    name: 'a service whose trust is disabled',
    ask: bearing(`POST /identities?api-version=${API_VERSION}`, SERVICE),
    end: disabled,
  },
  {
    name: 'an operator whose trust is disabled, about to read access keys',
    ask: bearing(`POST ${SERVICE_PATH}/listKeys?api-version=2023-04-01`, MANAGEMENT),
    end: disabled,
  },
  {
    name: 'an operator whose grant is taken back, about to make a trust',
    ask: bearing('PUT /-/trusts/mine', MANAGEMENT, '{"issuers":["https://id.example.org"]}'),
    end: (server) => asOperator(server, 'DELETE /-/trusts/dev/grants/service-management'),
  },
];

/** Sends the headers, waits until the server has accepted them and asks for the body, and only then goes on. */
async function slowly(server: TestServer, { ask }: Pick<Case, 'ask'>, meanwhile: () => Promise<unknown>) {
  const { at, headers, body } = await ask(server);
  const lines = Object.entries({
    Host: server.host,
    'Content-Type': 'application/json',
    ...headers,
    Expect: '100-continue',
    'Content-Length': String(body.length),
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  const socket = net.connect(server.port, '127.0.0.1');
  socket.setTimeout(10_000, () => socket.destroy(new Error('no answer')));
  socket.setEncoding('latin1').write(`${at} HTTP/1.1\r\n${lines.join('')}\r\n`);
  const [asked] = await once(socket, 'data');
  assert.match(asked, /^HTTP\/1\.1 100 /);
  await meanwhile();
  socket.write(body);
  let text = '';
  for (;;) {
    const answer = takeAnswer(text);
    if (answer) {
      socket.destroy();
      return answer.answer;
    }
    text += (await once(socket, 'data'))[0];
  }
}

const figures = { endings: CASES.length, stopped: 0 };
let planted = false;
after(() => writeResult({ id: 'R-late', seed: 'none', figures, passed: figures.stopped === CASES.length, planted }));

describe('what a request proved before its body came', () => {
  const start = { env: { LINARITE_OPERATOR_KEY: OPERATOR_KEY } };

  for (const one of CASES) {
    test(`is asked for again when it has come: ${one.name}`, async (t) => {
      const server = await startTestServer(t, start);
      const { status } = await slowly(server, one, async () => undefined);
      assert.ok(status < 300, `the same is fine while the proof holds: ${status}`);
      const refused = await slowly(server, one, () => one.end(server));
      assert.ok([401, 403].includes(refused.status), `${refused.status} ${refused.body}`);
      assert.doesNotMatch(refused.body, /primaryKey|identity/);
      figures.stopped += 1;
    });
  }

  test('the same requests get through a server that does not ask again', async (t) => {
    const complete = Object.getOwnPropertyDescriptor(Exchange.prototype, 'complete') ?? {};
    Object.defineProperty(Exchange.prototype, 'complete', { ...complete, get: () => true });
    t.after(() => Object.defineProperty(Exchange.prototype, 'complete', complete));
    for (const one of CASES) {
      const server = await startTestServer(t, start);
      const { status } = await slowly(server, one, () => one.end(server));
      assert.ok(status < 300, `${one.name}: ${status}`);
    }
    planted = true;
  });
});
