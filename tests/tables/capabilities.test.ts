import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { bestGrant, CAPABILITIES, grantOf } from '../../src/capabilities/capabilities.ts';
import { type Capability, CHAT, SCOPES, type Scope, VOIP } from '../../src/capabilities/tables.ts';
import { Admission } from '../../src/http/admission.ts';
import { Doorkeeper } from '../../src/http/doorkeeper.ts';
import { SignatureVerifier } from '../../src/http/hmac.ts';
import { type Listener, listen } from '../../src/http/listen.ts';
import { Pipeline } from '../../src/http/pipeline.ts';
import { Quotas } from '../../src/http/quotas.ts';
import { ok, route } from '../../src/http/route.ts';
import { RouteTable } from '../../src/http/routes.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { Monitor } from '../../src/monitoring/monitor.ts';
import { ServerMetrics } from '../../src/monitoring/server-metrics.ts';
import { assertError } from '../harness/envelope.ts';
import { send } from '../harness/http.ts';
import { TestLog, type TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

const [Y, N, R] = ['granted', 'denied', 'byRole'];

// The published tables (identity-protocol, section 5.3, in the words of tables.ts), written down a second time.
// biome-ignore format: a grid
const PUBLISHED: Record<string, readonly (string | undefined)[]> = {
  //                           chat  .join  .limited  voip  .join
  'chat.thread.create':        [Y,    N,     N,        N,    N],
  'chat.thread.update':        [Y,    N,     N,        N,    N],
  'chat.thread.delete':        [Y,    N,     N,        N,    N],
  'chat.participant.add':      [Y,    Y,     N,        N,    N],
  'chat.participant.remove':   [Y,    Y,     N,        N,    N],
  'chat.thread.list':          [Y,    Y,     Y,        N,    N],
  'chat.thread.read':          [Y,    Y,     Y,        N,    N],
  'chat.receipt.list':         [Y,    Y,     Y,        N,    N],
  'chat.receipt.send':         [Y,    Y,     Y,        N,    N],
  'chat.message.send':         [Y,    Y,     Y,        N,    N],
  'chat.message.read':         [Y,    Y,     Y,        N,    N],
  'chat.message.updateOwn':    [Y,    Y,     Y,        N,    N],
  'chat.message.deleteOwn':    [Y,    Y,     Y,        N,    N],
  'chat.typing.send':          [Y,    Y,     Y,        N,    N],
  'chat.participant.list':     [Y,    Y,     Y,        N,    N],
  'call.start':                [N,    N,     N,        Y,    N],
  'call.startInRoom':          [N,    N,     N,        Y,    Y],
  'call.join':                 [N,    N,     N,        Y,    Y],
  'call.joinInRoom':           [N,    N,     N,        Y,    Y],
  'call.control':              [N,    N,     N,        Y,    Y],
  'call.controlInRoom':        [N,    N,     N,        R,    R],
};

test('the tables say what is published, cell by cell', () => {
  assert.deepEqual(CAPABILITIES, Object.keys(PUBLISHED));
  for (const [capability, row] of Object.entries(PUBLISHED)) {
    assert.deepEqual(
      SCOPES.map((scope) => grantOf(scope, capability as Capability)),
      row,
      capability,
    );
  }
});

test('every row is as wide as its scopes', () => {
  for (const { scopes, grants } of [CHAT, VOIP]) {
    for (const row of Object.values(grants)) assert.equal(row.length, scopes.length);
  }
});

test('what is in no table is denied', () => {
  for (const scope of ['', 'CHAT', '__proto__', 'constructor', 'toString'] as string[] as Scope[]) {
    for (const capability of CAPABILITIES) assert.equal(grantOf(scope, capability), 'denied');
  }
  for (const capability of ['', 'constructor', '__proto__', 'chat', 'chat.thread'] as string[] as Capability[]) {
    assert.equal(bestGrant(SCOPES, capability), 'denied');
  }
  for (const capability of CAPABILITIES) assert.equal(bestGrant([], capability), 'denied');
});

describe('on the road, with real tokens,', () => {
  let server: TestServer;
  let door: Listener;
  shareServer((started) => {
    server = started;
  });

  /** A road with one route per capability, in front of the verifier of a real server. */
  before(async () => {
    const routes = CAPABILITIES.map((capability) =>
      route({
        operation: 'tryCapability',
        summary: 'Tries a capability.',
        at: `GET /try/${capability}`,
        access: { caller: 'user', requires: capability },
        answers: {},
        handle: ({ caller }) => ok({ as: caller.identityId }),
      }),
    );
    const road = new Pipeline(
      {
        routes: new RouteTable(routes),
        doorkeeper: new Doorkeeper({ mode: 'dev', allowedHosts: [], allowedOrigins: [], trustedProxies: [] }),
        signatures: new SignatureVerifier(
          { candidatesFor: () => [], clock: systemClock },
          { windowMinutes: 5, wellKnownKey: 'loopback' },
        ),
        userOf: async (jwt) => (await server.server.tokens.verify(jwt)).caller,
        isOperator: () => false,
        principals: {} as never,
        admission: new Admission({ places: { usual: 64, urgent: 64 }, bodyBytes: 2 ** 20 }),
        quotas: new Quotas(systemClock, { preset: 'off', mode: 'dev' }),
        requireFresh: async () => undefined,
        isStoreFailure: () => false,
        clock: systemClock,
        events: new Monitor(new TestLog(), new ServerMetrics('test')),
      },
      { mode: 'dev', bodyBytesMost: 0 },
    );
    door = await listen({ hosts: ['127.0.0.1'], port: 0, tls: undefined, road, onProblem: () => undefined });
  });
  after(() => door.close(1000));

  const attempt = (token: string, capability: string) =>
    send(door.port, { target: `/try/${capability}`, headers: { Authorization: `Bearer ${token}` } });

  for (const [column, scope] of SCOPES.entries()) {
    test(`${scope} opens what its column grants, and is 403 for the rest`, async () => {
      const id = await server.givenIdentity();
      const token = await server.givenToken(id, [scope]);
      for (const [capability, row] of Object.entries(PUBLISHED)) {
        const answer = await attempt(token, capability);
        if (row[column] === N) {
          assertError(answer, { status: 403, code: 'Forbidden' }, capability);
          assert.match(
            String(answer.headers['x-linarite-reason']),
            new RegExp(`^scope\\.missing; ${capability} needs one of`),
          );
        } else assert.deepEqual([answer.status, answer.body], [200, { as: id }], capability);
      }
    });
  }

  test('several scopes open what any of them opens', async () => {
    const token = await server.givenToken(await server.givenIdentity(), ['chat.join.limited', 'voip.join']);
    for (const [capability, [, , limited, , join]] of Object.entries(PUBLISHED)) {
      const expected = limited === N && join === N ? 403 : 200;
      assert.equal((await attempt(token, capability)).status, expected, capability);
    }
  });

  test('no token opens nothing', async () => {
    for (const capability of CAPABILITIES) {
      assertError(await send(door.port, { target: `/try/${capability}` }), { status: 401, code: 'Unauthorized' });
    }
  });
});
