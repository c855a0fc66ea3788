import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { APPLICATIONS, AUDIENCES, DIRECTORY_TENANT, GROUP, USERS } from '../../src/planes/sign-in/directory.ts';
import { cliBeside, cliJson } from '../harness/cli.ts';
import type { Answer } from '../harness/http.ts';
import { givenResource } from '../harness/resources.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

const VERSION = 'api-version=2025-03-02-preview';
const OTHER = '7a3c9d10-0000-4000-8000-00000000000a';
const APP = APPLICATIONS.app.clientId;
const [ALICE, , CAROL] = USERS;
assert.ok(ALICE && CAROL);

/** Planes as the command line names them, with where their users exchange, and what the tokens must be for. */
const PLANES = [
  { plane: 'entra', path: '/access/entra/:exchangeAccessToken', audience: 'https://communication.azure.com/clients' },
  {
    plane: 'teams-extension',
    path: '/access/teamsExtension/:exchangeAccessToken',
    audience: 'https://auth.msft.communication.azure.com',
  },
];

let server: TestServer;
shareServer((started) => {
  server = started;
});

const assignment = (...args: string[]) => cliJson(server, ['assignment', ...args]);

/** Exchanges a token of the development issuer. */
async function exchange({ path, audience }: (typeof PLANES)[number], user = ALICE): Promise<Answer> {
  const { issuer } = server.server;
  const { aud, permissions } = AUDIENCES.find((candidate) => candidate.aud === audience) ?? assert.fail(audience);
  assert.ok(issuer && user);
  const grant = { aud, permissions, scope: '', openid: false, offline: false };
  const { jwt } = await issuer.userToken(user, APP, grant);
  return server.asUser(jwt, `POST ${path}?${VERSION}`);
}

const holds = async (token: string): Promise<boolean> => (await server.asUser(token)).status === 200;

for (const row of PLANES) {
  describe(`--plane ${row.plane}`, () => {
    const which = ['--plane', row.plane, '--object-id', ALICE.objectId, '--tenant', DIRECTORY_TENANT];

    test('a user who is assigned gets a token, until the assignment is deleted', async () => {
      assert.equal((await exchange(row)).status, 403);
      const made = await assignment('create', ...which, '--client-id', APP);
      const user = { objectId: ALICE.objectId, tenantId: DIRECTORY_TENANT };
      assert.deepEqual(made, { ...user, principalType: 'user', clientIds: [APP] });
      assert.deepEqual(await assignment('show', ...which), made);
      const { status, body } = await exchange(row);
      assert.equal(status, 200);
      assert.ok(await holds(body.accessToken.token));
      assert.equal((await exchange(row, CAROL)).status, 403);

      assert.equal(await assignment('delete', ...which, '--yes'), undefined);
      assert.equal(await holds(body.accessToken.token), false);
      assert.equal((await exchange(row)).status, 403);
      for (const command of [['show'], ['delete', '--yes']]) {
        const gone = await cliBeside(server, ['assignment', ...command, ...which]);
        const said = 'linarite: AssignmentNotFound: There is no such assignment. (AssignmentNotFound)\n';
        assert.deepEqual([gone.code, gone.stdout, gone.stderr], [1, '', said]);
      }
    });

    test('create on top of another asks before it takes anything back', async (t) => {
      t.after(() => assignment('delete', ...which, '--yes'));
      await assignment('create', ...which, '--client-id', APP);
      const token: string = (await exchange(row)).body.accessToken.token;
      const wider = await assignment('create', ...which, '--client-id', APP.toUpperCase(), OTHER);
      assert.deepEqual(wider.clientIds, [APP, OTHER]);
      assert.ok(await holds(token));
      const narrow = ['assignment', 'create', ...which, '--client-id', OTHER];
      const { code, stderr } = await cliBeside(server, narrow);
      assert.equal(code, 2);
      assert.match(stderr, /add --yes \(Change the assignment of 5e1f\S+ and end the tokens/);
      assert.ok(await holds(token));
      await cliJson(server, [...narrow, '--yes']);
      assert.equal(await holds(token), false);
    });
  });
}

test('a group is assigned, and a tenant by its own id', async () => {
  const [entra] = PLANES;
  assert.ok(entra);
  const group = ['--object-id', GROUP.objectId];
  const through = ['--tenant', DIRECTORY_TENANT, '--client-id', APP];
  await assignment('create', ...group, ...through, '--principal-type', 'group');
  assert.deepEqual([(await exchange(entra)).status, (await exchange(entra, CAROL)).status], [200, 403]);
  await assignment('delete', ...group, '--yes');
  const tenant = ['--object-id', DIRECTORY_TENANT];
  await assignment('create', ...tenant, ...through, '--principal-type', 'tenant');
  assert.deepEqual([(await exchange(entra)).status, (await exchange(entra, CAROL)).status], [200, 200]);
  await assignment('delete', ...tenant, '--yes');
});

test('list follows the pages to the end, in a resource of its own', async () => {
  const { key } = await givenResource(server, 'many');
  const env = { AZURE_COMMUNICATION_CONNECTION_STRING: `endpoint=https://localhost:${server.port}/;accesskey=${key}` };
  const ids = Array.from({ length: 201 }, (_, at) => `7a3c9d10-0000-4000-8000-${String(at).padStart(12, '0')}`);
  const wish = { tenantId: DIRECTORY_TENANT, principalType: 'user', clientIds: [APP] };
  const changes = Object.fromEntries(ids.map((id) => [id, wish]));
  const made = await server.asService(`PATCH /access/entra/assignments?${VERSION}`, changes, { key });
  assert.equal(made.status, 200);
  const listed = await cliJson(server, ['assignment', 'list'], { env });
  assert.deepEqual(
    listed.map(({ objectId }: { objectId: string }) => objectId),
    ids,
  );
  const table = await cliBeside(server, ['assignment', 'list', '-o', 'table'], { env });
  assert.match(
    table.stdout,
    /^ObjectId +TenantId +PrincipalType +ClientIds\n-.*\n7a3c\S+0 {2}5e1f\S+ +user +5e1f\S+\n/,
  );
  assert.deepEqual(await assignment('list'), []);
  assert.deepEqual(await cliJson(server, ['assignment', 'list', '--plane', 'teams-extension'], { env }), []);
});

test('the list of teams-extension assignments follows the pages, too, and has nothing of the other plane', async () => {
  const { key } = await givenResource(server, 'teams');
  const env = { AZURE_COMMUNICATION_CONNECTION_STRING: `endpoint=https://localhost:${server.port}/;accesskey=${key}` };
  const ids = Array.from({ length: 101 }, (_, at) => `7a3c9d10-0000-4000-8000-${String(at).padStart(12, '0')}`);
  const tenants = [DIRECTORY_TENANT, OTHER];
  const made = tenants.flatMap((tenantId) =>
    ids.map((objectId) => ({ objectId, tenantId, principalType: 'resourceAccount' })),
  );
  for (const { tenantId, objectId, principalType } of made) {
    const path = `/access/teamsExtension/tenants/${tenantId}/assignments/${objectId}?${VERSION}`;
    assert.equal((await server.asService(`PUT ${path}`, { principalType }, { key })).status, 201);
  }
  const list = ['assignment', 'list', '--plane', 'teams-extension'];
  assert.deepEqual(await cliJson(server, list, { env }), made);
  assert.deepEqual(await cliJson(server, ['assignment', 'list'], { env }), []);
  assert.deepEqual(await cliJson(server, list), []);
});

test("what the server refuses is one line with the server's words", async () => {
  const [at, who] = [
    ['--tenant', DIRECTORY_TENANT],
    ['--object-id', ALICE.objectId],
  ];
  const REFUSED: [args: string[], complaint: RegExp][] = [
    [[...at, '--object-id', 'alice', '--client-id', APP], /ValidationError: ObjectId: 'alice' is not a GUID/],
    [[...at, ...who, '--client-id', 'app'], /ValidationError: ClientIds: 'app' is not a GUID/],
    [
      [...at, ...who, '--client-id', APP, '--principal-type', 'tenant'],
      /ObjectId: must be equal to the tenantId when the principalType is tenant/,
    ],
    [
      [...at, ...who, '--plane', 'teams-extension', '--principal-type', 'group'],
      /PrincipalType: must be one of user, res/,
    ],
  ];
  for (const [args, complaint] of REFUSED) {
    const { code, stdout, stderr } = await cliBeside(server, ['assignment', 'create', ...args]);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, complaint);
    assert.match(stderr, /^linarite: [^\n]+\n$/);
  }
});
