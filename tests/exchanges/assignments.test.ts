import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { IDENTITY_VERSIONS, versions } from '../../src/planes/identity/versions.ts';
import { DIRECTORY_TENANT, GROUP } from '../../src/planes/sign-in/directory.ts';
import { ALICE, APP, applicationToken, BOB, OTHER_APP, SERVICE, withBearer } from '../harness/dev-tokens.ts';
import { assertError } from '../harness/envelope.ts';
import { STORES } from '../harness/postgres.ts';
import { givenResource } from '../harness/resources.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';

const ENTRA = '/access/entra/assignments';
const TEAMS = `/access/teamsExtension/tenants/${DIRECTORY_TENANT}/assignments`;
const VERSION = '2025-03-02-preview';
const VERSIONS = versions('2025-03-02-preview');
const NOT_FOUND = { status: 404, code: 'AssignmentNotFound', message: 'There is no such assignment.' };

const user = { principalType: 'user', tenantId: DIRECTORY_TENANT, clientIds: [APP] };
/** The GUID of that number, so that the order of ids is known. */
const numbered = (number: number): string => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;

for (const store of STORES) {
  describe(`assignments of Entra users, on ${store}`, () => {
    const started = async (t: Parameters<typeof startTestServer>[0]) => {
      const server = await startTestServer(t, { store });
      const call = (at: string, body?: object | string, key = server.key, type = 'application/json') => {
        const [method, path = ''] = at.split(' ');
        const target = `${method} ${ENTRA}${path}${path.includes('?') ? '&' : '?'}api-version=${VERSION}`;
        return server.asService(target, body, { key, headers: { 'Content-Type': type } });
      };
      return { server, call };
    };

    test('PUT makes with 201 and replaces with 200, GET gives, DELETE removes with 204, twice', async (t) => {
      const { call } = await started(t);
      assertError(await call(`GET /${ALICE.objectId}`), NOT_FOUND);
      const made = await call(`PUT /${ALICE.objectId}`, user);
      const expected = {
        objectId: ALICE.objectId,
        tenantId: DIRECTORY_TENANT,
        principalType: 'user',
        clientIds: [APP],
      };
      assert.deepEqual([made.status, made.body], [201, expected]);
      assert.equal(made.headers['api-supported-versions'], VERSIONS.join(', '));
      const clientIds = [APP, OTHER_APP];
      const replaced = await call(`PUT /${ALICE.objectId.toUpperCase()}`, { ...user, clientIds });
      assert.deepEqual([replaced.status, replaced.body], [200, { ...expected, clientIds }]);
      const got = await call(`GET /${ALICE.objectId}`);
      assert.deepEqual([got.status, got.body], [200, { ...expected, clientIds }]);
      for (const _ of ['once', 'again']) {
        const gone = await call(`DELETE /${ALICE.objectId}`);
        assert.deepEqual([gone.status, gone.text], [204, '']);
      }
      assertError(await call(`GET /${ALICE.objectId}`), NOT_FOUND);
    });

    test('the list is paged by a nextLink that leads on to the end', async (t) => {
      const { server, call } = await started(t);
      assert.deepEqual((await call('GET ')).body, { value: [] });
      const all = Array.from({ length: 230 }, (_, index) => numbered(index));
      const body = Object.fromEntries(all.map((objectId) => [objectId, user]));
      assert.equal((await call('PATCH ', body)).status, 200);
      // Of the other plane, and of another resource: neither is to be seen here.
      await server.asService(`PUT ${TEAMS}/${numbered(5)}?api-version=${VERSION}`, { principalType: 'user' });
      const neighbour = await givenResource(server);
      await call(`PUT /${numbered(900)}`, user, neighbour.key);

      const pages: string[][] = [];
      let next: string | undefined = `${server.server.endpoint}access/entra/assignments?api-version=${VERSION}`;
      while (next !== undefined) {
        const url: URL = new URL(next);
        assert.equal(url.origin, server.server.endpoint.slice(0, -1));
        const page: Awaited<ReturnType<typeof call>> = await server.asService(`GET ${url.pathname}${url.search}`);
        assert.equal(page.status, 200);
        pages.push(page.body.value.map(({ objectId }: { objectId: string }) => objectId));
        next = page.body.nextLink;
        assert.ok(pages.length < 10);
      }
      assert.deepEqual(
        pages.map(({ length }) => length),
        [100, 100, 30],
      );
      assert.deepEqual(pages.flat(), all);
      assertError(await call('GET ?continuation=%27'), {
        status: 400,
        code: 'ValidationError',
        target: 'continuation',
      });
    });

    test('PATCH makes, changes and removes, all of it or nothing', async (t) => {
      const { call } = await started(t);
      const type = 'application/merge-patch+json';
      const patch = (body: object | string) => call('PATCH ', body, undefined, type);
      await call(`PUT /${ALICE.objectId}`, user);
      await call(`PUT /${numbered(1)}`, user);
      const done = await patch({
        [ALICE.objectId]: { clientIds: [OTHER_APP] },
        [numbered(1)]: null,
        [numbered(2)]: null,
        [GROUP.objectId]: { ...user, principalType: 'group' },
      });
      const changed = { objectId: ALICE.objectId, ...user, clientIds: [OTHER_APP] };
      const made = { objectId: GROUP.objectId, ...user, principalType: 'group' };
      assert.deepEqual([done.status, done.body], [200, { value: [changed, made] }]);
      const shown = async () =>
        (await call('GET ')).body.value.map(
          (entry: { objectId: string; principalType: string; clientIds: string[] }) => [
            entry.objectId,
            entry.principalType,
            entry.clientIds,
          ],
        );
      const expected = [
        [ALICE.objectId, 'user', [OTHER_APP]],
        [GROUP.objectId, 'group', [APP]],
      ];
      assert.deepEqual(await shown(), expected);
      const refused: [object | string, string | undefined][] = [
        [{ [ALICE.objectId]: null, [BOB.objectId]: { clientIds: [APP] } }, 'tenantId'],
        [{ [ALICE.objectId]: null, 'not-a-guid': user }, 'objectId'],
        [{ [ALICE.objectId]: null, [BOB.objectId]: { ...user, principalType: 'robot' } }, 'principalType'],
        [{ [ALICE.objectId]: { clientIds: [] } }, 'clientIds'],
        [{ [ALICE.objectId]: { clientIds: null } }, 'clientIds'],
        ['{"__proto__": null}', 'objectId'],
        [Object.fromEntries(Array.from({ length: 501 }, (_, index) => [numbered(index), user])), undefined],
      ];
      for (const [body, target] of refused)
        assertError(
          await patch(body),
          { status: 400, code: 'ValidationError', target },
          JSON.stringify(body).slice(0, 200),
        );
      for (const body of [{ [ALICE.objectId]: 'x' }, { [ALICE.objectId]: { clientIds: [7] } }, '[]', '{'])
        assert.equal((await patch(body)).status, 400, JSON.stringify(body));
      assert.deepEqual(await shown(), expected);
      for (const body of [{ [GROUP.objectId]: null, [numbered(7)]: null }, {}]) {
        const removed = await patch(body);
        assert.deepEqual([removed.status, removed.text], [204, '']);
      }
      assert.deepEqual(await shown(), expected.slice(0, 1));
    });

    test('says what is wrong with an assignment', async (t) => {
      const { call } = await started(t);
      const cases: [string, object, string, string?][] = [
        ['nobody', user, 'objectId', "ObjectId: 'nobody' is not a GUID."],
        [ALICE.objectId, { ...user, tenantId: 'x' }, 'tenantId', "TenantId: 'x' is not a GUID."],
        [
          ALICE.objectId,
          { ...user, principalType: 'app' },
          'principalType',
          'PrincipalType: must be one of user, group, tenant.',
        ],
        [ALICE.objectId, { ...user, clientIds: [] }, 'clientIds', 'ClientIds: name at least one application.'],
        [ALICE.objectId, { ...user, clientIds: undefined }, 'clientIds', 'ClientIds: name at least one application.'],
        [ALICE.objectId, { ...user, clientIds: ['x'] }, 'clientIds', "ClientIds: 'x' is not a GUID."],
        [
          ALICE.objectId,
          { ...user, clientIds: Array.from({ length: 101 }, (_, index) => numbered(index)) },
          'clientIds',
        ],
        [
          ALICE.objectId,
          { ...user, principalType: 'tenant' },
          'objectId',
          'ObjectId: must be equal to the tenantId when the principalType is tenant.',
        ],
        [
          ALICE.objectId,
          { tenantId: DIRECTORY_TENANT },
          'PrincipalType',
          'PrincipalType: The PrincipalType field is required.',
        ],
        [ALICE.objectId, { principalType: 'user' }, 'TenantId', 'TenantId: The TenantId field is required.'],
      ];
      for (const [objectId, body, target, message] of cases) {
        const expected = { status: 400, code: 'ValidationError', target, ...(message && { message }) };
        assertError(await call(`PUT /${objectId}`, body), expected, JSON.stringify(body));
      }
      assert.deepEqual((await call('GET ')).body, { value: [] });
      assertError(await call('GET /x'), { status: 400, code: 'ValidationError', target: 'objectId' });
      assertError(await call('DELETE /x'), { status: 400, code: 'ValidationError', target: 'objectId' });
    });

    test('belong to one resource', async (t) => {
      const { server, call } = await started(t);
      const neighbour = await givenResource(server);
      await call(`PUT /${ALICE.objectId}`, user);
      assertError(await call(`GET /${ALICE.objectId}`, undefined, neighbour.key), NOT_FOUND);
      assert.equal((await call(`DELETE /${ALICE.objectId}`, undefined, neighbour.key)).status, 204);
      assert.equal((await call(`GET /${ALICE.objectId}`)).status, 200);
      assert.equal((await call(`PUT /${ALICE.objectId}`, user, neighbour.key)).status, 201);
    });

    test('a service with Entra in place of the key manages them too; one with an unsigned request does not', async (t) => {
      const { server } = await started(t);
      const token = await applicationToken(server, SERVICE);
      const target = `${ENTRA}/${ALICE.objectId}?api-version=${VERSION}`;
      assert.equal((await withBearer(server, token, `PUT ${target}`, user)).status, 201);
      assert.equal((await withBearer(server, token, `GET ${target}`)).status, 200);
      assertError(await server.send({ target }), { status: 401, code: 'Denied' });
    });

    test('are served in the versions that have them', async (t) => {
      const { server } = await started(t);
      for (const version of IDENTITY_VERSIONS) {
        const { status } = await server.asService(`GET ${ENTRA}?api-version=${version}`);
        assert.equal(status, VERSIONS.includes(version as string) ? 200 : 400, version);
      }
      assertError(await server.asService(`GET ${ENTRA}?api-version=`), { status: 400, code: 'ApiVersionUnspecified' });
    });
  });

  describe(`assignments of Teams users, on ${store}`, () => {
    test('PUT, GET and DELETE by tenant and object', async (t) => {
      const server = await startTestServer(t, { store });
      // Some previews leave the version out here.
      const call = (at: string, body?: object, version: string | undefined = '2025-06-30') => {
        const [method, path] = at.split(' ');
        return server.asService(`${method} ${TEAMS}/${path}?${version && `api-version=${version}`}`, body);
      };
      assertError(await call(`GET ${ALICE.objectId}`), NOT_FOUND);
      const made = await call(`PUT ${ALICE.objectId}`, { principalType: 'user' });
      const expected = { objectId: ALICE.objectId, tenantId: DIRECTORY_TENANT, principalType: 'user' };
      assert.deepEqual([made.status, made.body], [201, expected]);
      const replaced = await call(`PUT ${ALICE.objectId}`, { principalType: 'resourceAccount', clientIds: [APP] });
      assert.deepEqual([replaced.status, replaced.body.principalType], [200, 'resourceAccount']);
      assert.deepEqual((await call(`GET ${ALICE.objectId}`)).body.clientIds, [APP]);
      for (const principalType of ['group', 'tenant', 'robot'])
        assertError(await call(`PUT ${ALICE.objectId}`, { principalType }), {
          status: 400,
          code: 'ValidationError',
          target: 'principalType',
        });
      assert.equal((await call(`DELETE ${ALICE.objectId}`)).status, 204);
      assert.equal((await call(`DELETE ${ALICE.objectId}`)).status, 204);
      assertError(await call(`GET ${ALICE.objectId}`), NOT_FOUND);
      const elsewhere = `/access/teamsExtension/tenants/nowhere/assignments/${ALICE.objectId}?api-version=2025-06-30`;
      assertError(await server.asService(`GET ${elsewhere}`), {
        status: 400,
        code: 'ValidationError',
        target: 'tenantId',
      });
    });

    test('are served without a version, too', async (t) => {
      const server: TestServer = await startTestServer(t, { store });
      const token = await applicationToken(server, SERVICE);
      const path = `${TEAMS}/${ALICE.objectId}`;
      assert.equal((await withBearer(server, token, `PUT ${path}`, { principalType: 'user' })).status, 201);
      assert.equal((await withBearer(server, token, `GET ${path}`)).status, 200);
      assert.equal((await withBearer(server, token, `DELETE ${path}`)).status, 204);
      assert.equal((await withBearer(server, token, `GET ${path}?api-version=2023-10-01`)).status, 400);
    });
  });
}
