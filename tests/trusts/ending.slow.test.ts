import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { DIRECTORY_TENANT } from '../../src/planes/sign-in/directory.ts';
import {
  ALICE,
  APP,
  applicationToken,
  asOperator,
  CLIENTS,
  claimsOf,
  OPERATOR_KEY,
  OTHER_APP,
  SERVICE,
  TEAMS,
  userToken,
  withBearer,
} from '../harness/dev-tokens.ts';
import { assertError } from '../harness/envelope.ts';
import { freshDatabase, POSTGRES_URL, STORES } from '../harness/postgres.ts';
import { API_VERSION, startTestServer, type TestServer } from '../harness/server.ts';
import { slowStore } from '../harness/slow-store.ts';

const VERSION = '2025-03-02-preview';
const ELSEWHERE = '5e1f0057-0000-4000-8000-0000000000ff';

/** The definition as it was seeded, with what a test wants otherwise. */
const definition = (more: object = {}): object => ({
  issuers: [`{endpoint}/${DIRECTORY_TENANT}/v2.0`],
  tenants: [DIRECTORY_TENANT],
  applications: ['*'],
  ...more,
});

/** The ways by which tokens come through a trust; undefined when one is shut. */
const WAYS = {
  async service(server: TestServer) {
    const token = await applicationToken(server, SERVICE);
    const body = { createTokenWithScopes: ['chat'] };
    return (await withBearer(server, token, `POST /identities?api-version=${API_VERSION}`, body)).body.accessToken
      ?.token;
  },
  async teamsUser(server: TestServer) {
    const token = await userToken(server, ALICE, `${TEAMS}/Teams.ManageChats`);
    const body = { token, appId: APP, userId: ALICE.objectId };
    return (await server.asService('POST /teamsUser/:exchangeAccessToken', body)).body.token;
  },
  async teamsExtension(server: TestServer) {
    const token = await userToken(server, ALICE, `${TEAMS}/TeamsExtension.ManageCalls`);
    const at = `POST /access/teamsExtension/:exchangeAccessToken?api-version=${VERSION}`;
    return (await withBearer(server, token, at, '{}')).body.accessToken?.token;
  },
  async entraUser(server: TestServer) {
    const token = await userToken(server, ALICE, `${CLIENTS}/Chat`);
    const at = `POST /access/entra/:exchangeAccessToken?api-version=${VERSION}`;
    return (await withBearer(server, token, at, '{}')).body.accessToken?.token;
  },
} satisfies Record<string, (server: TestServer) => Promise<string | undefined>>;

for (const store of STORES) {
  describe(`what came through a trust, on ${store}`, () => {
    async function started(t: TestContext): Promise<TestServer> {
      const server = await startTestServer(t, { store, env: { LINARITE_OPERATOR_KEY: OPERATOR_KEY } });
      const user = { principalType: 'user', tenantId: DIRECTORY_TENANT, clientIds: [APP, OTHER_APP] };
      await server.asService(`PUT /access/entra/assignments/${ALICE.objectId}?api-version=${VERSION}`, user);
      const teams = `/access/teamsExtension/tenants/${DIRECTORY_TENANT}/assignments/${ALICE.objectId}`;
      await server.asService(`PUT ${teams}?api-version=${VERSION}`, user);
      return server;
    }

    /** A token by each of the ways. */
    async function all(server: TestServer): Promise<string[]> {
      const tokens: string[] = [];
      for (const [name, way] of Object.entries(WAYS)) {
        const token = await way(server);
        assert.equal(typeof token, 'string', name);
        tokens.push(token as string);
      }
      return tokens;
    }

    const statuses = (server: TestServer, tokens: readonly string[]) =>
      Promise.all(tokens.map(async (token) => (await server.asUser(token)).status));
    const each = (status: number) => Object.keys(WAYS).map(() => status);
    const shut = async (server: TestServer) => {
      for (const [name, way] of Object.entries(WAYS)) assert.equal(await way(server), undefined, name);
    };

    const ENDS: Record<string, { work: (server: TestServer) => Promise<unknown>; shuts: boolean }> = {
      'disabling it': { work: (server) => asOperator(server, 'POST /-/trusts/dev/:disable'), shuts: true },
      'replacing it by a disabled one': {
        work: (server) => asOperator(server, 'PUT /-/trusts/dev', definition({ enabled: false })),
        shuts: true,
      },
      'deleting it': { work: (server) => asOperator(server, 'DELETE /-/trusts/dev'), shuts: true },
      'taking its tenant back': {
        work: (server) => asOperator(server, 'PUT /-/trusts/dev', definition({ tenants: [ELSEWHERE] })),
        shuts: true,
      },
      'taking its issuer back': {
        work: (server) =>
          asOperator(server, 'PUT /-/trusts/dev', definition({ issuers: ['https://login.example/v2.0'] })),
        shuts: true,
      },
      'taking applications back': {
        work: (server) => asOperator(server, 'PUT /-/trusts/dev', definition({ applications: [APP] })),
        shuts: false,
      },
      'taking an audience back': {
        work: (server) =>
          asOperator(server, 'PUT /-/trusts/dev', definition({ audiences: { teamsUser: [ELSEWHERE] } })),
        shuts: false,
      },
      'taking its algorithm back': {
        work: (server) => asOperator(server, 'PUT /-/trusts/dev', definition({ algorithms: ['ES256'] })),
        shuts: true,
      },
    };
    for (const [how, { work, shuts }] of Object.entries(ENDS)) {
      test(`${how} ends it at once, and nothing else`, async (t) => {
        const server = await started(t);
        const tokens = await all(server);
        const byKey = await server.givenToken(await server.givenIdentity());
        assert.deepEqual(await statuses(server, tokens), each(200));
        await work(server);
        assert.deepEqual(await statuses(server, tokens), each(401));
        const { headers } = await server.asUser(tokens[0] ?? '');
        assert.match(String(headers['x-linarite-reason']), /^revoked\.trust/);
        assert.deepEqual(await statuses(server, [byKey]), [200]);
        if (shuts) await shut(server);
      });
    }

    test('to no longer look for keys at private addresses ends it', async (t) => {
      const server = await started(t);
      await asOperator(server, 'PUT /-/trusts/dev', definition({ privateAddresses: true }));
      const tokens = await all(server);
      await asOperator(server, 'PUT /-/trusts/dev', definition());
      assert.deepEqual(await statuses(server, tokens), each(401));
    });

    test('`*` where it has no meaning is refused, and ends nothing', async (t) => {
      const server = await started(t);
      const tokens = await all(server);
      for (const [more, target] of [
        [{ audiences: { entraUser: ['*'] } }, 'audiences.entraUser'],
        [{ issuers: ['*'] }, 'issuers'],
        [{ tenants: ['*'] }, 'tenants'],
      ] as const)
        assertError(await withBearer(server, OPERATOR_KEY, 'PUT /-/trusts/dev', definition(more)), {
          status: 400,
          code: 'ValidationError',
          target,
        });
      assert.deepEqual(await statuses(server, tokens), each(200));
    });

    test('widening it ends nothing', async (t) => {
      const server = await started(t);
      const tokens = await all(server);
      for (const more of [
        { tenants: [DIRECTORY_TENANT, ELSEWHERE] },
        { tenants: [DIRECTORY_TENANT, ELSEWHERE], algorithms: ['RS256', 'ES256'] },
      ]) {
        await asOperator(server, 'PUT /-/trusts/dev', definition(more));
        assert.deepEqual(await statuses(server, tokens), each(200));
      }
    });

    test('enabling it again lets people in, and brings no token back', async (t) => {
      const server = await started(t);
      const before = await all(server);
      for (const _ of ['once', 'twice']) {
        await asOperator(server, 'POST /-/trusts/dev/:disable');
        await shut(server);
        await asOperator(server, 'POST /-/trusts/dev/:enable');
        assert.deepEqual(await statuses(server, before), each(401));
      }
      assert.deepEqual(await statuses(server, await all(server)), each(200));
      assert.deepEqual(await statuses(server, before), each(401));
    });

    test('a new one of the same name is another one', async (t) => {
      const server = await started(t);
      const before = await all(server);
      await asOperator(server, 'DELETE /-/trusts/dev');
      await asOperator(server, 'PUT /-/trusts/dev', definition());
      const later = (await WAYS.entraUser(server)) as string;
      assert.notEqual(claimsOf(later).tr, claimsOf(before[0] ?? '').tr);
      assert.deepEqual(await statuses(server, [later, ...before]), [200, ...each(401)]);
      // Its grants went with the former one.
      const token = await applicationToken(server, SERVICE);
      assertError(await withBearer(server, token, `POST /identities?api-version=${API_VERSION}`), {
        status: 403,
        code: 'Forbidden',
      });
    });

    test('what came through another trust in the same issuer lives on', async (t) => {
      const server = await started(t);
      await asOperator(server, 'POST /-/trusts/dev/:disable');
      await asOperator(server, 'PUT /-/trusts/other', definition());
      const through = (await WAYS.entraUser(server)) as string;
      await asOperator(server, 'POST /-/trusts/dev/:enable');
      const dev = (await WAYS.entraUser(server)) as string;
      assert.notEqual(claimsOf(dev).tr, claimsOf(through).tr);
      await asOperator(server, 'POST /-/trusts/dev/:disable');
      assert.deepEqual(await statuses(server, [dev, through]), [401, 200]);
    });
  });
}

describe('with a slow database', { skip: !POSTGRES_URL && 'needs PostgreSQL' }, () => {
  test('a trust that was disabled lets nobody do anything from the answer on', async (t) => {
    const url = await slowStore(t, await freshDatabase(t), 10);
    const env = { LINARITE_OPERATOR_KEY: OPERATOR_KEY, LINARITE_DATABASE_URL: url };
    const server = await startTestServer(t, { env });
    const token = await applicationToken(server, SERVICE);
    const create = () => withBearer(server, token, `POST /identities?api-version=${API_VERSION}`, {});
    assert.equal((await create()).status, 201);
    await asOperator(server, 'POST /-/trusts/dev/:disable');
    assert.equal((await create()).status, 401);
    await asOperator(server, 'POST /-/trusts/dev/:enable');
    assert.equal((await create()).status, 201);
    await asOperator(server, 'DELETE /-/trusts/dev/grants/service-data');
    assert.equal((await create()).status, 403);
  });
});
