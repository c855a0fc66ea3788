import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Route } from '../../src/http/route.ts';
import { FIRST_SUBSCRIPTION } from '../../src/planes/management/communication-service.ts';
import { APPLICATIONS } from '../../src/planes/sign-in/directory.ts';
import { RIGHTS, type Right } from '../../src/trusts/trust.ts';
import { describedRoutes } from '../harness/described.ts';
import {
  ALICE,
  APP,
  applicationToken,
  asOperator,
  BOB,
  claimsOf,
  MANAGEMENT,
  OPERATOR_KEY,
  SERVICE,
  userToken,
  withBearer,
} from '../harness/dev-tokens.ts';
import { assertError } from '../harness/envelope.ts';
import type { Answer } from '../harness/http.ts';
import { accessKeyOf, DEV_ID, inPath } from '../harness/resources.ts';
import { API_VERSION, startTestServer, type TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

const GROUP = `/subscriptions/${FIRST_SUBSCRIPTION}/resourceGroups/dev`;
const SERVICES = `${GROUP}/providers/Microsoft.Communication/communicationServices`;
const ARM_VERSION = '2025-09-01';
const CREATE = `POST /identities?api-version=${API_VERSION}`;
const FORBIDDEN = { status: 403, code: 'Forbidden' };
const DENIED = { status: 401, code: 'Denied', message: 'Denied by the resource provider.' };

/** Two services beside the one that is there, and an application that may do nothing yet. */
class World {
  readonly server: TestServer;
  readonly ids: Readonly<Record<'shop' | 'other', string>>;
  readonly tokens: Readonly<Record<'service' | 'management', string>>;

  private constructor(server: TestServer, ids: World['ids'], tokens: World['tokens']) {
    this.server = server;
    this.ids = ids;
    this.tokens = tokens;
  }

  static async of(server: TestServer): Promise<World> {
    const { body: trust } = await asOperator(server, 'GET /-/trusts/dev');
    for (const { name } of trust.grants) await asOperator(server, `DELETE /-/trusts/dev/grants/${name}`);
    const made = async (name: string): Promise<string> => {
      const body = { location: 'global', properties: { dataLocation: 'Europe' } };
      return (await asOperator(server, `PUT ${SERVICES}/${name}?api-version=${ARM_VERSION}`, body)).body.properties
        .immutableResourceId;
    };
    const ids = { shop: await made('shop'), other: await made('other') };
    const service = await applicationToken(server, SERVICE);
    return new World(server, ids, { service, management: await applicationToken(server, MANAGEMENT) });
  }

  async grant(right: Right, resource: string, name = 'only', value: string = APPLICATIONS.service.objectId) {
    const body = { principal: { kind: 'objectId', value }, right, resource };
    await asOperator(this.server, `PUT /-/trusts/dev/grants/${name}`, body);
  }

  revoke = (name = 'only') => asOperator(this.server, `DELETE /-/trusts/dev/grants/${name}`);

  /** On the data plane, by the name of a resource. */
  asService(at: string, host = 'localhost', body?: object): Promise<Answer> {
    return withBearer(this.server, this.tokens.service, at, body, { Host: `${host}:${this.server.port}` });
  }

  asManager(at: string, body?: object): Promise<Answer> {
    return withBearer(this.server, this.tokens.management, at, body);
  }

  /** The resource in which an identity was made. */
  async createdIn(host: string): Promise<string> {
    const { status, text, body } = await this.asService(CREATE, host);
    assert.equal(status, 201, text);
    return body.identity.id.slice('8:acs:'.length).split('_')[0];
  }
}

const env = { LINARITE_OPERATOR_KEY: OPERATOR_KEY };

const readsOnly = ({ at, reads }: Route): boolean => reads ?? /^(?:GET|HEAD) /.test(at);

/** Written from what the rights are said to be, and not from how they are checked. */
function opens(route: Route, right: Right, resource: '*' | 'shop'): boolean {
  const { access } = route;
  if (access.caller !== 'operator') return right === 'data' || (right === 'read' && readsOnly(route));
  return (
    (right === 'management' || (right === 'read' && readsOnly(route))) && (resource === '*' || access.scoped === true)
  );
}

describe('every route for services and operators', () => {
  let world: World;
  shareServer(
    async (server) => {
      world = await World.of(server);
    },
    { env },
  );
  const routes = describedRoutes('dev').filter(({ access }) =>
    ['service', 'operator', 'serviceOrOperator'].includes(access.caller),
  );

  /** Asks for what is not there, so that nothing comes of it. */
  async function ask({ at, versions, body, access }: Route): Promise<Answer> {
    const [method, path = ''] = at.split(' ');
    const version = versions?.at(-1);
    const target = `${path.replaceAll(/\{\w+\}/g, 'nothing')}${version ? `?api-version=${version}` : ''}`;
    const { server, tokens } = world;
    const form = body?.kind === 'form';
    const headers = {
      Host: `shop.localhost:${server.port}`,
      ...(form && { 'Content-Type': 'application/x-www-form-urlencoded' }),
    };
    const token = access.caller === 'operator' ? tokens.management : tokens.service;
    return withBearer(server, token, `${method} ${target}`, body && (form ? 'token=x' : '{}'), headers);
  }

  for (const right of RIGHTS) {
    for (const resource of ['*', 'shop'] as const) {
      test(`${right} on ${resource} opens what it says and nothing else`, async (t) => {
        await world.grant(right, resource);
        t.after(() => world.revoke());
        // What names a service is looked at below, with services that are there.
        const some = routes.filter(
          ({ at, access }) => resource === '*' || access.caller !== 'operator' || !at.includes('{name}'),
        );
        for (const route of some) {
          const { status, headers, text } = await ask(route);
          const refused = status === 403 && /^grant\.missing/.test(String(headers['x-linarite-reason']));
          assert.equal(!refused, opens(route, right, resource), `${route.at}: ${status} ${text}`);
          assert.ok(
            refused || (![403, 500].includes(status) && headers['x-linarite-reason'] !== 'Denied'),
            `${route.at}: ${status} ${text}`,
          );
          if (!refused && status === 401) assert.notEqual(JSON.parse(text).error.code, 'Denied', route.at);
        }
      });
    }
  }

  test('without a grant none of them opens', async () => {
    for (const route of routes) {
      const answer = await ask(route);
      if (route.at.startsWith('HEAD ')) assert.equal(answer.status, 403);
      else assertError(answer, FORBIDDEN, route.at);
    }
  });
});

describe('a grant on one resource', () => {
  let world: World;
  shareServer(
    async (server) => {
      world = await World.of(server);
    },
    { env },
  );

  test('data: the host names the resource; another one is forbidden, and without a name the only one is meant', async (t) => {
    await world.grant('data', 'shop');
    t.after(() => world.revoke());
    for (const host of ['shop.localhost', 'shop.unitedstates.localhost', 'SHOP.localhost', 'localhost'])
      assert.equal(await world.createdIn(host), world.ids.shop, host);
    for (const host of ['other.localhost', 'dev.localhost'])
      assertError(await world.asService(CREATE, host), FORBIDDEN);

    const { body } = await world.asService(CREATE, 'shop.localhost');
    const theirs = await world.server.asService('POST /identities', undefined, {
      key: accessKeyOf(world.server, 'primary', world.ids.other as typeof DEV_ID),
    });
    const notOwned = { status: 401, code: 'IdentityNotOwned' };
    const at = (id: string) => `DELETE ${inPath(id)}?api-version=${API_VERSION}`;
    assertError(await world.asService(at(theirs.body.identity.id)), notOwned);
    assert.equal((await world.asService(at(body.identity.id))).status, 204);
  });

  test('data: of several resources one must be named', async (t) => {
    await world.grant('data', 'shop');
    await world.grant('data', 'other', 'second');
    t.after(() => Promise.all([world.revoke(), world.revoke('second')]));
    assert.equal(await world.createdIn('shop.localhost'), world.ids.shop);
    assert.equal(await world.createdIn('other.localhost'), world.ids.other);
    const unnamed = await world.asService(CREATE, 'localhost');
    assertError(unnamed, DENIED);
    assert.equal(unnamed.headers['x-linarite-reason'], 'resource.unnamed');
  });

  test('data on all: without a name the development resource is meant', async (t) => {
    await world.grant('data', '*');
    t.after(() => world.revoke());
    for (const [host, id] of [
      ['localhost', DEV_ID],
      ['127.0.0.1', DEV_ID],
      ['dev.localhost', DEV_ID],
      ['other.localhost', world.ids.other],
    ] as const)
      assert.equal(await world.createdIn(host), id, host);
  });

  test('management: of the services only that one is there', async (t) => {
    await world.grant('management', 'shop');
    t.after(() => world.revoke());
    const call = (method: string, path: string, body?: object) =>
      world.asManager(`${method} ${path}?api-version=${ARM_VERSION}`, body);
    const names = (answer: Answer) => answer.body.value.map(({ name }: { name: string }) => name);
    assert.deepEqual(names(await call('GET', SERVICES)), ['shop']);
    assert.deepEqual(
      names(
        await call(
          'GET',
          `/subscriptions/${FIRST_SUBSCRIPTION}/providers/Microsoft.Communication/communicationServices`,
        ),
      ),
      ['shop'],
    );
    const body = { location: 'global', properties: { dataLocation: 'Europe' } };
    const calls: [string, string, object?][] = [
      ['GET', ''],
      ['PATCH', '', { tags: { a: 'b' } }],
      ['PUT', '', body],
      ['POST', '/listKeys'],
      ['POST', '/regenerateKey', { keyType: 'Secondary' }],
      ['POST', '/linkNotificationHub', { resourceId: 'x' }],
    ];
    for (const [method, path, sent] of calls) {
      const own = await call(method, `${SERVICES}/shop${path}`, sent);
      assert.equal(own.status, 200, `${method} ${path}: ${own.text}`);
      for (const name of ['other', 'dev', 'nothing'])
        assertError(await call(method, `${SERVICES}/${name}${path}`, sent), FORBIDDEN, `${method} ${name}${path}`);
    }
    for (const name of ['other', 'nothing']) assertError(await call('DELETE', `${SERVICES}/${name}`), FORBIDDEN);
    assertError(await call('PUT', GROUP, { location: 'x' }), FORBIDDEN);
    assertError(await call('DELETE', GROUP), FORBIDDEN);
    assertError(await world.asManager('GET /-/trusts'), FORBIDDEN);
    assertError(await world.asManager('POST /-/backup'), FORBIDDEN);
  });

  test('read: looks at that service, not at its keys, and changes nothing', async (t) => {
    await world.grant('read', 'shop');
    t.after(() => world.revoke());
    const at = (method: string, rest = '', name = 'shop') =>
      `${method} ${SERVICES}/${name}${rest}?api-version=${ARM_VERSION}`;
    assert.equal((await world.asManager(at('GET'))).status, 200);
    assertError(await world.asManager(at('GET', '', 'other')), FORBIDDEN);
    for (const [method, rest] of [
      ['PATCH', ''],
      ['PUT', ''],
      ['DELETE', ''],
      ['POST', '/listKeys'],
      ['POST', '/regenerateKey'],
    ] as const)
      assertError(await world.asManager(at(method, rest), { keyType: 'Primary' }), FORBIDDEN, `${method} ${rest}`);

    const key = accessKeyOf(world.server, 'primary', world.ids.shop as typeof DEV_ID);
    const made = await world.server.asService('POST /identities', { createTokenWithScopes: ['chat'] }, { key });
    const path = `${inPath(made.body.identity.id)}`;
    assert.equal((await world.asService(`GET ${path}?api-version=${API_VERSION}`, 'shop.localhost')).status, 200);
    assertError(await world.asService(`DELETE ${path}?api-version=${API_VERSION}`, 'shop.localhost'), FORBIDDEN);
    assertError(await world.asService(CREATE, 'shop.localhost'), FORBIDDEN);
    const headers = {
      Host: `shop.localhost:${world.server.port}`,
      'Content-Type': 'application/x-www-form-urlencoded',
    };
    const introspected = await withBearer(
      world.server,
      world.tokens.service,
      'POST /-/introspect',
      `token=${made.body.accessToken.token}`,
      headers,
    );
    assert.deepEqual([introspected.status, introspected.body.active], [200, true]);
  });

  test('ends with its resource', async () => {
    await asOperator(world.server, `PUT ${SERVICES}/brief?api-version=${ARM_VERSION}`, {
      location: 'global',
      properties: { dataLocation: 'Europe' },
    });
    await world.grant('data', 'brief', 'brief');
    assert.equal((await world.asService(CREATE, 'brief.localhost')).status, 201);
    await asOperator(world.server, `DELETE ${SERVICES}/brief?api-version=${ARM_VERSION}`);
    const { status } = await world.asService(CREATE, 'brief.localhost');
    assert.ok([401, 403].includes(status), String(status));
  });
});

describe('a service with Entra in place of the key', () => {
  test('keeps going where keys open nothing any more, and needs none', async (t) => {
    const world = await World.of(await startTestServer(t, { env }));
    await world.grant('data', 'shop');
    const key = accessKeyOf(world.server, 'primary', world.ids.shop as typeof DEV_ID);
    const body = { properties: { disableLocalAuth: true } };
    await asOperator(world.server, `PATCH ${SERVICES}/shop?api-version=${ARM_VERSION}`, body);
    assertError(await world.server.asService('POST /identities', undefined, { key }), DENIED);
    const { status, body: made } = await world.asService(CREATE, 'shop.localhost', { createTokenWithScopes: ['chat'] });
    assert.equal(status, 201);
    assert.equal((await world.server.asUser(made.accessToken.token)).status, 200);
  });

  test('gets tokens that no key ends: neither is regenerated for them', async (t) => {
    const world = await World.of(await startTestServer(t, { env }));
    await world.grant('data', '*');
    const byTrust = (await world.asService(CREATE, 'dev.localhost', { createTokenWithScopes: ['chat'] })).body;
    const id = byTrust.identity.id;
    const byKey = await world.server.givenToken(id, ['chat']);
    const claims = claimsOf(byTrust.accessToken.token);
    const { body: trust } = await asOperator(world.server, 'GET /-/trusts/dev');
    assert.deepEqual([claims.tr, claims.ks, claims.as], [trust.id, undefined, undefined]);
    for (const keyType of ['Primary', 'Secondary'])
      await asOperator(world.server, `POST ${SERVICES}/dev/regenerateKey?api-version=${ARM_VERSION}`, { keyType });
    const statuses = [byTrust.accessToken.token, byKey].map(async (token) => (await world.server.asUser(token)).status);
    assert.deepEqual(await Promise.all(statuses), [200, 401]);
    // Revoking knows no difference.
    assert.equal(
      (await world.asService(`POST ${inPath(id)}/:revokeAccessTokens?api-version=${API_VERSION}`)).status,
      204,
    );
    assert.equal((await world.server.asUser(byTrust.accessToken.token)).status, 401);
  });

  test('is known by object id, users by theirs; an application id means no user who came through it', async (t) => {
    const world = await World.of(await startTestServer(t, { env }));
    const { server } = world;
    const scope = `${SERVICE}user_impersonation`;
    const [hers, his] = [await userToken(server, ALICE, scope), await userToken(server, BOB, scope)];
    assertError(await withBearer(server, hers, CREATE), FORBIDDEN);
    await world.grant('data', '*', 'alice', ALICE.objectId.toUpperCase());
    assert.equal((await withBearer(server, hers, CREATE)).status, 201);
    assertError(await withBearer(server, his, CREATE), FORBIDDEN);

    const byApplication = (value: string) => ({
      principal: { kind: 'applicationId', value },
      right: 'data',
      resource: '*',
    });
    await asOperator(server, 'PUT /-/trusts/dev/grants/app', byApplication(APP));
    assertError(await withBearer(server, his, CREATE), FORBIDDEN);
    assertError(await world.asService(CREATE), FORBIDDEN);
    await asOperator(server, 'PUT /-/trusts/dev/grants/app', byApplication(APPLICATIONS.service.clientId));
    assert.equal((await world.asService(CREATE)).status, 201);
  });

  test('a grant taken back ends the asking at once, not what was given', async (t) => {
    const world = await World.of(await startTestServer(t, { env }));
    await world.grant('data', '*');
    const { body } = await world.asService(CREATE, 'localhost', { createTokenWithScopes: ['chat'] });
    await world.revoke();
    assertError(await world.asService(CREATE), FORBIDDEN);
    assert.equal((await world.server.asUser(body.accessToken.token)).status, 200);
  });

  test('each token opens its own plane only: theirs none of ours, ours none of theirs', async (t) => {
    const world = await World.of(await startTestServer(t, { env }));
    const { server, tokens } = world;
    await world.grant('data', '*');
    await world.grant('management', '*', 'manage');
    const ours = await server.givenToken(await server.givenIdentity());
    const list = `GET ${SERVICES}?api-version=${ARM_VERSION}`;
    assert.equal((await withBearer(server, tokens.service, CREATE)).status, 201);
    assert.equal((await withBearer(server, tokens.management, list)).status, 200);
    for (const [token, at] of [
      [tokens.management, CREATE],
      [tokens.service, list],
      [ours, CREATE],
      [ours, list],
      [OPERATOR_KEY, CREATE],
      [`${tokens.service}x`, CREATE],
      ['x', CREATE],
    ] as const)
      assertError(await withBearer(server, token, at), DENIED, `${token.slice(0, 10)} ${at}`);
    for (const token of [tokens.service, tokens.management, OPERATOR_KEY]) {
      const { status, body } = await server.asUser(token);
      assert.deepEqual([status, body.error.code], [401, 'Unauthorized']);
    }
    // Both proofs at once are one too many to tell who asks.
    const signed = await server.asService('POST /identities', undefined, {
      headers: { Authorization: `Bearer ${tokens.service}` },
    });
    assert.equal(signed.status, 201, 'the header that counts is the one that came');
  });
});
