import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { IDENTITY_VERSIONS, versions } from '../../src/planes/identity/versions.ts';
import { DIRECTORY_TENANT, GROUP, type User } from '../../src/planes/sign-in/directory.ts';
import {
  ALICE,
  APP,
  applicationToken,
  BOB,
  CAROL,
  CLIENTS,
  claimsOf,
  OTHER_APP,
  SERVICE,
  TEAMS,
  userToken,
  withBearer,
} from '../harness/dev-tokens.ts';
import { assertError } from '../harness/envelope.ts';
import type { Answer } from '../harness/http.ts';
import { STORES } from '../harness/postgres.ts';
import { startProduction } from '../harness/production.ts';
import { DEV_ID, givenResource, inPath } from '../harness/resources.ts';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

/** The two exchanges in which users come by themselves. */
const PLANES = {
  entra: {
    exchange: '/access/entra/:exchangeAccessToken',
    scope: `${CLIENTS}/.default`,
    assignment: (objectId: string) => `/access/entra/assignments/${objectId}`,
    identity: (objectId: string) => `8:acs:${DEV_ID}_wf_${DIRECTORY_TENANT}_${objectId}`,
    scopes: 'chat,chat.join,chat.join.limited,voip,voip.join',
  },
  teamsExtension: {
    exchange: '/access/teamsExtension/:exchangeAccessToken',
    scope: `${TEAMS}/TeamsExtension.ManageCalls`,
    assignment: (objectId: string) => `/access/teamsExtension/tenants/${DIRECTORY_TENANT}/assignments/${objectId}`,
    identity: (objectId: string) => `8:acs:${DEV_ID}_${DIRECTORY_TENANT}_${objectId}`,
    scopes: 'voip',
  },
} as const;
type Plane = keyof typeof PLANES;

const VERSION = '2025-03-02-preview';
const VERSIONS = versions(VERSION);
const INVALID = { status: 401, code: 'InvalidAccessToken', message: 'Provided access token is not valid.' };
const NOT_ASSIGNED = { status: 403, code: 'Forbidden', message: 'The user is not assigned to this resource.' };

class World {
  readonly server: TestServer;
  readonly plane: Plane;

  constructor(server: TestServer, plane: Plane) {
    this.server = server;
    this.plane = plane;
  }

  presented(user: User, scope: string = PLANES[this.plane].scope, client = APP): Promise<string> {
    return userToken(this.server, user, scope, client);
  }

  exchange(token: string, { version = VERSION as string, headers = {} } = {}): Promise<Answer> {
    return withBearer(this.server, token, `POST ${PLANES[this.plane].exchange}?api-version=${version}`, '{}', headers);
  }

  async exchanged(user: User, client = APP): Promise<string> {
    const answer = await this.exchange(await this.presented(user, undefined, client));
    assert.equal(answer.status, 200, answer.text);
    return answer.body.accessToken.token;
  }

  async assign(objectId: string, more: object = {}): Promise<void> {
    const body = { principalType: 'user', tenantId: DIRECTORY_TENANT, clientIds: [APP], ...more };
    const answer = await this.server.asService(
      `PUT ${PLANES[this.plane].assignment(objectId)}?api-version=${VERSION}`,
      body,
    );
    assert.ok([200, 201].includes(answer.status), answer.text);
  }

  async unassign(objectId: string): Promise<void> {
    const target = `DELETE ${PLANES[this.plane].assignment(objectId)}?api-version=${VERSION}`;
    assert.equal((await this.server.asService(target)).status, 204);
  }

  /** How each of the tokens fares now. */
  async statuses(...tokens: string[]): Promise<number[]> {
    return Promise.all(tokens.map(async (token) => (await this.server.asUser(token)).status));
  }
}

for (const plane of Object.keys(PLANES) as Plane[]) {
  const { exchange, identity, scopes } = PLANES[plane];

  describe(`a user's own token at ${exchange}`, () => {
    let world: World;
    let presented: string;
    shareServer(async (server) => {
      world = new World(server, plane);
      presented = await world.presented(ALICE);
      await world.assign(ALICE.objectId);
    });

    for (const version of VERSIONS) {
      test(`${version}: 200 with the identity and its token`, async () => {
        const answer = await world.exchange(presented, { version });
        assert.equal(answer.status, 200, answer.text);
        assert.deepEqual(Object.keys(answer.body), ['identity', 'accessToken']);
        assert.deepEqual(answer.body.identity, { id: identity(ALICE.objectId) });
        assert.deepEqual(Object.keys(answer.body.accessToken), ['token', 'expiresOn']);
        assert.equal(answer.headers['api-supported-versions'], VERSIONS.join(', '));
      });
    }

    test('older versions do not have it', async () => {
      for (const version of IDENTITY_VERSIONS.filter((known) => !VERSIONS.includes(known)))
        assertError(await world.exchange(presented, { version }), { status: 400, code: 'UnsupportedApiVersion' });
    });

    test(`a missing version is ${plane === 'entra' ? 'refused' : 'served as the newest'}`, async () => {
      const answer = await withBearer(world.server, presented, `POST ${exchange}`, '{}');
      if (plane === 'entra') assertError(answer, { status: 400, code: 'ApiVersionUnspecified' });
      else assert.equal(answer.status, 200, answer.text);
    });

    test('slashes at the front may be doubled: clients join an endpoint that ends with one', async () => {
      const answer = await withBearer(world.server, presented, `POST /${exchange}?api-version=${VERSION}`, '{}');
      assert.equal(answer.status, 200, answer.text);
    });

    test('any body will do, and none', async () => {
      for (const body of [undefined, '{}', 'null', '{"customId":"x","future":[1]}']) {
        const answer = await withBearer(world.server, presented, `POST ${exchange}?api-version=${VERSION}`, body);
        assert.equal(answer.status, 200, `${body}: ${answer.text}`);
      }
    });

    test('the claims are those of the resource’s users, and the end that of the presented token', async () => {
      const { body } = await world.exchange(presented);
      const { token, expiresOn } = body.accessToken;
      const { iat, rv, jti, iss, tr, exp, csi, ...rest } = claimsOf(token);
      assert.deepEqual(rest, {
        skypeid: identity(ALICE.objectId).slice(2),
        scp: 1792,
        rgn: 'amer',
        acsScope: scopes,
        resourceId: DEV_ID,
        resourceLocation: 'unitedstates',
        as: plane === 'entra' ? `entra/${ALICE.objectId}` : `teamsExtension/${DIRECTORY_TENANT}/${ALICE.objectId}`,
        aud: DEV_ID,
        sub: identity(ALICE.objectId),
      });
      assert.equal(csi, String(iat));
      assert.equal(exp, claimsOf(presented).exp);
      assert.equal(Date.parse(expiresOn), (exp as number) * 1000);
      const me = await world.server.asUser(token);
      assert.deepEqual(
        [me.status, me.body.identity, me.body.scopes],
        [200, { id: identity(ALICE.objectId) }, scopes.split(',')],
      );
    });

    test('the identity is in the directory', async () => {
      await world.exchange(presented);
      const { body } = await world.server.asService(`GET ${inPath(identity(ALICE.objectId))}`);
      assert.equal(body.id, identity(ALICE.objectId));
    });

    test('refuses with 401 what is no such token, and with 403 a user who is not assigned', async () => {
      const other = plane === 'entra' ? `${TEAMS}/TeamsExtension.ManageCalls` : `${CLIENTS}/Chat`;
      const tokens: Record<string, string> = {
        text: 'x',
        'a changed signature': `${presented.slice(0, -8)}AAAAAAAA`,
        'made for the other exchange': await world.presented(ALICE, other),
        'made for services': await world.presented(ALICE, `${SERVICE}/user_impersonation`),
        'an application’s own': await applicationToken(world.server, plane === 'entra' ? CLIENTS : TEAMS),
        'one of our own': await world.exchanged(ALICE),
      };
      for (const [what, token] of Object.entries(tokens)) assertError(await world.exchange(token), INVALID, what);
      assertError(await world.exchange(await world.presented(CAROL)), NOT_ASSIGNED);
      assertError(
        await world.exchange(await world.presented(ALICE, undefined, OTHER_APP)),
        NOT_ASSIGNED,
        'through another application',
      );
      for (const authorization of [undefined, '', 'Bearer', `Basic ${presented}`]) {
        const answer = await world.server.send({
          method: 'POST',
          target: `${exchange}?api-version=${VERSION}`,
          headers: {
            'Content-Type': 'application/json',
            ...(authorization !== undefined && { Authorization: authorization }),
          },
          body: '{}',
        });
        assertError(answer, INVALID, String(authorization));
      }
      // An access key says which resource, not which user.
      assertError(await world.server.asService(`POST ${exchange}?api-version=${VERSION}`, '{}'), INVALID);
    });
  });

  for (const store of STORES) {
    describe(`assignments and tokens of ${plane}, on ${store}`, () => {
      const started = async (t: TestContext) => new World(await startTestServer(t, { store }), plane);

      test('deleting one ends its tokens at once, and only those', async (t) => {
        const world = await started(t);
        await world.assign(ALICE.objectId);
        await world.assign(BOB.objectId);
        const [hers, his] = [await world.exchanged(ALICE), await world.exchanged(BOB)];
        assert.deepEqual(await world.statuses(hers, his), [200, 200]);
        await world.unassign(ALICE.objectId);
        assert.deepEqual(await world.statuses(hers, his), [401, 200]);
        assertError(await world.exchange(await world.presented(ALICE)), NOT_ASSIGNED);
        // The same assignment made anew brings no former token back.
        await world.assign(ALICE.objectId);
        assert.deepEqual(await world.statuses(hers, await world.exchanged(ALICE)), [401, 200]);
      });

      test('narrowing one ends its tokens, widening it does not', async (t) => {
        const world = await started(t);
        await world.assign(ALICE.objectId, { clientIds: [APP, OTHER_APP] });
        await world.assign(BOB.objectId, { clientIds: [APP, OTHER_APP] });
        const hers = [await world.exchanged(ALICE), await world.exchanged(ALICE, OTHER_APP)];
        const his = await world.exchanged(BOB);
        await world.assign(ALICE.objectId, { clientIds: [OTHER_APP, APP] });
        assert.deepEqual(await world.statuses(...hers, his), [200, 200, 200], 'nothing was taken back');
        await world.assign(ALICE.objectId, { clientIds: [OTHER_APP] });
        assert.deepEqual(await world.statuses(...hers, his), [401, 401, 200]);
        const later = await world.exchanged(ALICE, OTHER_APP);
        assertError(await world.exchange(await world.presented(ALICE)), NOT_ASSIGNED);
        await world.assign(ALICE.objectId, { clientIds: [APP, OTHER_APP] });
        assert.deepEqual(await world.statuses(later, await world.exchanged(ALICE)), [200, 200]);
        assert.deepEqual(await world.statuses(...hers), [401, 401], 'what ended stays ended');
      });

      test('revoking and deleting the user end tokens like any other’s', async (t) => {
        const world = await started(t);
        await world.assign(ALICE.objectId);
        const path = inPath(identity(ALICE.objectId));
        const first = await world.exchanged(ALICE);
        assert.equal((await world.server.asService(`POST ${path}/:revokeAccessTokens`)).status, 204);
        const second = await world.exchanged(ALICE);
        assert.deepEqual(await world.statuses(first, second), [401, 200]);
        assert.equal((await world.server.asService(`DELETE ${path}`)).status, 204);
        const third = await world.exchanged(ALICE);
        assert.deepEqual(await world.statuses(first, second, third), [401, 401, 200]);
      });

      test('an assignment of one resource opens no other', async (t) => {
        const world = await started(t);
        const neighbour = await givenResource(world.server);
        await world.assign(ALICE.objectId);
        const presented = await world.presented(ALICE);
        const headers = { Host: `neighbour.localhost:${world.server.port}` };
        assertError(await world.exchange(presented, { headers }), NOT_ASSIGNED);
        const target = `PUT ${PLANES[plane].assignment(ALICE.objectId)}?api-version=${VERSION}`;
        const body = { principalType: 'user', tenantId: DIRECTORY_TENANT, clientIds: [APP] };
        await world.server.asService(target, body, { key: neighbour.key });
        const theirs = await world.exchange(presented, { headers });
        assert.equal(theirs.status, 200, theirs.text);
        assert.ok(theirs.body.identity.id.startsWith(`8:acs:${neighbour.id}_`));
        const ours = await world.exchanged(ALICE);
        await world.unassign(ALICE.objectId);
        assert.deepEqual(await world.statuses(ours, theirs.body.accessToken.token), [401, 200]);
      });
    });
  }
}

for (const store of STORES) {
  describe(`groups and tenants, on ${store}`, () => {
    test('members of an assigned group come in, others do not; each token ends with its own assignment', async (t) => {
      const world = new World(await startTestServer(t, { store }), 'entra');
      await world.assign(GROUP.objectId, { principalType: 'group' });
      const [hers, his] = [await world.exchanged(ALICE), await world.exchanged(BOB)];
      assert.equal(claimsOf(hers).as, `entra/${GROUP.objectId}`);
      assertError(await world.exchange(await world.presented(CAROL)), NOT_ASSIGNED);

      // After this she comes in by an assignment of her own.
      await world.assign(ALICE.objectId);
      const own = await world.exchanged(ALICE);
      await world.unassign(GROUP.objectId);
      assert.deepEqual(await world.statuses(hers, his, own), [401, 401, 200]);
      assertError(await world.exchange(await world.presented(BOB)), NOT_ASSIGNED);
    });

    test('an assigned tenant lets everybody of it in', async (t) => {
      const world = new World(await startTestServer(t, { store }), 'entra');
      await world.assign(DIRECTORY_TENANT, { principalType: 'tenant' });
      const tokens = [await world.exchanged(ALICE), await world.exchanged(CAROL)];
      assert.equal(claimsOf(tokens[1] ?? '').as, `entra/${DIRECTORY_TENANT}`);
      await world.unassign(DIRECTORY_TENANT);
      assert.deepEqual(await world.statuses(...tokens), [401, 401]);
    });

    test('an id counts as what it is assigned as, and only in its tenant', async (t) => {
      const world = new World(await startTestServer(t, { store }), 'entra');
      await world.assign(GROUP.objectId, { principalType: 'user' });
      await world.assign(ALICE.objectId, { principalType: 'group' });
      await world.assign(BOB.objectId, { tenantId: '5e1f0057-0000-4000-8000-0000000000ff' });
      for (const user of [ALICE, BOB])
        assertError(await world.exchange(await world.presented(user)), NOT_ASSIGNED, user.name);
    });
  });
}

test('permissions become scopes; what was not permitted is not there', async (t) => {
  const world = new World(await startTestServer(t), 'entra');
  await world.assign(ALICE.objectId);
  for (const [permission, scope] of [
    ['Chat', 'chat'],
    ['Chat.Join', 'chat.join'],
    ['Chat.Join.Limited', 'chat.join.limited'],
    ['VoIP', 'voip'],
    ['VoIP.Join', 'voip.join'],
  ]) {
    const { body } = await world.exchange(await world.presented(ALICE, `${CLIENTS}/${permission}`));
    assert.equal(claimsOf(body.accessToken.token).acsScope, scope);
  }
  const both = `${CLIENTS}/VoIP ${CLIENTS}/Chat`;
  const { body } = await world.exchange(await world.presented(ALICE, both));
  assert.equal(claimsOf(body.accessToken.token).acsScope, 'chat,voip');
});

test('an exchanged token ends with the presented one, and an expired one is refused', async (t) => {
  const clock = new TestClock();
  const world = new World(await startTestServer(t, { clock }), 'entra');
  await world.assign(ALICE.objectId);
  const presented = await world.presented(ALICE);
  clock.advance(3599_000);
  const last = (await world.exchange(presented)).body.accessToken.token;
  assert.deepEqual(await world.statuses(last), [200]);
  clock.advance(1000);
  assert.deepEqual(await world.statuses(last), [401]);
  assertError(await world.exchange(presented), INVALID);
});

test('a page of an allowed origin may exchange the token of its user, and touches no assignment', async (t) => {
  const origin = 'https://app.example.org';
  const production = await startProduction(t, { LINARITE_ALLOWED_ORIGINS: origin });
  const preflight = (path: string, method: string, from = origin) =>
    production.send({
      method: 'OPTIONS',
      target: `${path}?api-version=${VERSION}`,
      headers: {
        Origin: from,
        'Access-Control-Request-Method': method,
        'Access-Control-Request-Headers': 'authorization,content-type',
      },
    });
  for (const { exchange, assignment } of Object.values(PLANES)) {
    const { status, headers } = await preflight(exchange, 'POST');
    assert.deepEqual([status, headers['access-control-allow-origin']], [204, origin]);
    assert.equal(headers['access-control-allow-headers'], 'authorization,content-type');
    assert.equal((await preflight(exchange, 'POST', 'https://evil.example')).status, 403);
    assert.equal((await preflight(assignment(ALICE.objectId), 'PUT')).status, 403);
    // What is refused can be read by the page, too.
    const answer = await production.send({ method: 'POST', target: exchange, headers: { Origin: origin } });
    assert.deepEqual([answer.status, answer.headers['access-control-allow-origin']], [401, origin]);
  }
});
