import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  bestGrant,
  CAPABILITIES,
  capabilitiesOf,
  grantOf,
  isScope,
  requireCapability,
} from '../../src/capabilities/capabilities.ts';
import { type Capability, CHAT, type Grant, SCOPES, type Scope, VOIP } from '../../src/capabilities/tables.ts';
import { ok, route } from '../../src/http/route.ts';
import { assertError } from '../harness/envelope.ts';
import { send } from '../harness/http.ts';
import { writeResult } from '../harness/results.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';
import { givenPipeline } from '../harness/test-pipeline.ts';

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

test('the tables have the capabilities that are published', () => {
  assert.deepEqual(CAPABILITIES, Object.keys(PUBLISHED));
});

for (const [capability, row] of Object.entries(PUBLISHED))
  test(`${capability} is granted as it is published, scope by scope`, () => {
    assert.deepEqual(
      SCOPES.map((scope) => grantOf(scope, capability as Capability)),
      row,
    );
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

test('of several scopes the best says, and what is left to a role is more than nothing', () => {
  for (let set = 0; set < 2 ** SCOPES.length; set += 1) {
    const scopes = SCOPES.filter((_, index) => set & (1 << index));
    const expected = Object.entries(PUBLISHED).map(([capability, row]) => {
      const grants = row.filter((_, index) => set & (1 << index));
      return [capability, grants.includes(Y) ? Y : grants.includes(R) ? R : N];
    });
    assert.deepEqual(
      CAPABILITIES.map((capability) => [capability, bestGrant(scopes, capability)]),
      expected,
    );
    assert.deepEqual(
      capabilitiesOf(scopes),
      expected.filter(([, grant]) => grant !== N).map(([capability]) => capability),
    );
    for (const [capability, grant] of expected as [Capability, Grant][]) {
      if (grant !== N) requireCapability(scopes, capability);
      else assert.throws(() => requireCapability(scopes, capability), { error: 'CapabilityMissing' });
    }
  }
});

test('a refusal names the scopes that would do', () => {
  assert.throws(() => requireCapability(['voip'], 'chat.participant.add'), {
    error: 'CapabilityMissing',
    reason: 'scope.missing',
    detail: 'chat.participant.add needs one of chat, chat.join',
  });
  assert.throws(() => requireCapability(['chat'], 'call.controlInRoom'), {
    detail: 'call.controlInRoom needs one of voip, voip.join',
  });
});

test('a scope is one of the five', () => {
  for (const scope of SCOPES) assert.ok(isScope(scope));
  for (const text of ['', 'Chat', 'pstn', 'chat.', 'constructor']) assert.ok(!isScope(text), text);
});

const figures = { cells: 0, wrongCells: 0 };
let planted = false;
after(() =>
  writeResult({ id: 'T5', seed: 0, figures, passed: figures.wrongCells === 0 && figures.cells > 0, planted }),
);

describe('in the request pipeline, with real tokens,', () => {
  let server: TestServer;
  let port: number;
  const undo: (() => unknown)[] = [];
  shareServer((started) => {
    server = started;
  });

  const routesThat = (require: (capability: Capability) => Capability) =>
    CAPABILITIES.map((capability) =>
      route({
        operation: 'tryCapability',
        summary: 'Tries a capability.',
        at: `GET /try/${capability}`,
        access: { caller: 'user', requires: require(capability) },
        answers: {},
        handle: ({ caller }) => ok({ as: caller.identityId }),
      }),
    );

  /** A pipeline with one route per capability, in front of the verifier of a real server. */
  before(async () => {
    port = await givenPipeline(
      { after: (step) => undo.push(step) },
      routesThat((one) => one),
      {
        tokens: server.server.tokens,
      },
    );
  });
  after(async () => {
    for (const step of undo) await step();
  });

  const attempt = (token: string, capability: string, at = port) =>
    send(at, { target: `/try/${capability}`, headers: { Authorization: `Bearer ${token}` } });

  for (const [column, scope] of SCOPES.entries()) {
    test(`${scope} opens what its column grants, and is 403 for the rest`, async () => {
      const id = await server.givenIdentity();
      const token = await server.givenToken(id, [scope]);
      for (const [capability, row] of Object.entries(PUBLISHED)) {
        const answer = await attempt(token, capability);
        figures.cells += 1;
        if ((answer.status === 200) === (row[column] === N)) figures.wrongCells += 1;
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

  test('a route that asks for the capability beside the right one is found out', async (t) => {
    const mistaken = routesThat((one) => (one === 'call.join' ? 'call.start' : one));
    const at = await givenPipeline(t, mistaken, { tokens: server.server.tokens });
    const id = await server.givenIdentity();
    const wrong: string[] = [];
    for (const [column, scope] of SCOPES.entries()) {
      const token = await server.givenToken(id, [scope]);
      for (const [capability, row] of Object.entries(PUBLISHED)) {
        const { status } = await attempt(token, capability, at);
        if ((status === 200) === (row[column] === N)) wrong.push(`${scope} ${capability}`);
      }
    }
    assert.deepEqual(wrong, ['voip.join call.join']);
    planted = true;
  });

  test('several scopes open what any of them opens', async () => {
    const token = await server.givenToken(await server.givenIdentity(), ['chat.join.limited', 'voip.join']);
    for (const [capability, [, , limited, , join]] of Object.entries(PUBLISHED)) {
      const expected = limited === N && join === N ? 403 : 200;
      assert.equal((await attempt(token, capability)).status, expected, capability);
    }
  });

  test('no token opens nothing', async () => {
    for (const capability of CAPABILITIES) {
      assertError(await send(port, { target: `/try/${capability}` }), { status: 401, code: 'Unauthorized' });
    }
  });
});
