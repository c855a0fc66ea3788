import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { HOME_TENANT } from '../../src/callers.ts';
import { STORES } from '../harness/postgres.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';
import { sign } from '../harness/sign.ts';

const SUBSCRIPTION = '5e1f0057-0000-4000-8000-000000000001';
const GROUP = `/subscriptions/${SUBSCRIPTION}/resourceGroups/shop`;
const SERVICES = `${GROUP}/providers/Microsoft.Communication/communicationServices`;

/** Sends a request of the management plane with the operator's credential. */
function asOperator(server: TestServer, at: string, body?: object, version = '2023-04-01') {
  const [method = '', path = ''] = at.split(' ');
  const key = readFileSync(join(server.folder, 'operator.key'), 'utf8').trim();
  return server.send({
    method,
    target: `${path}?api-version=${version}`,
    headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
    body: body && JSON.stringify(body),
  });
}

async function givenService(server: TestServer, name = 'contoso') {
  await asOperator(server, `PUT ${GROUP}`, { location: 'westeurope' });
  const made = await asOperator(server, `PUT ${SERVICES}/${name}`, {
    location: 'global',
    properties: { dataLocation: 'Europe' },
  });
  assert.equal(made.status, 201, made.text);
  const keys = (await asOperator(server, `POST ${SERVICES}/${name}/listKeys`)).body;
  return { id: made.body.properties.immutableResourceId as string, keys };
}

/** A fresh identity of a resource, with a token issued under one of its keys. */
async function givenToken(server: TestServer, key: string): Promise<string> {
  const answer = await server.asService('POST /identities', { createTokenWithScopes: ['chat'] }, { key });
  assert.equal(answer.status, 201, answer.text);
  return answer.body.accessToken.token;
}

const isAccepted = async (server: TestServer, token: string) => (await server.asUser(token)).status === 200;

for (const store of STORES) {
  describe(`the management plane on ${store}`, () => {
    test('makes a service whose keys open the data plane for its own identities only', async (t) => {
      const server = await startTestServer(t, { store });
      const { id, keys } = await givenService(server);
      assert.match(keys.primaryConnectionString, /^endpoint=https:\/\/localhost:\d+\/;accesskey=[A-Za-z0-9+/]{86}==$/);

      const identity = await server.asService('POST /identities', undefined, { key: keys.primaryKey });
      assert.ok(identity.body.identity.id.startsWith(`8:acs:${id}_`));
      const at = `POST /identities/${encodeURIComponent(identity.body.identity.id)}/:issueAccessToken`;
      assert.equal((await server.asService(at, { scopes: ['voip'] }, { key: keys.secondaryKey })).status, 200);
      const foreign = await server.asService(at, { scopes: ['voip'] });
      assert.deepEqual([foreign.status, foreign.body.error.code], [401, 'IdentityNotOwned']);
    });

    test('refuses a zero character, which not every store can keep, wherever it is', async (t) => {
      const server = await startTestServer(t, { store });
      await givenService(server);
      const properties = { dataLocation: 'Europe' };
      for (const [at, body, code] of [
        [`PUT ${GROUP}`, { location: 'a\0' }, 'ValidationError'],
        [`PUT ${SERVICES}/other`, { location: 'a\0', properties }, 'ValidationError'],
        [`PUT ${SERVICES}/other`, { location: 'global', properties: { dataLocation: '\0' } }, 'ValidationError'],
        [`PUT ${SERVICES}/other%00`, { location: 'global', properties }, 'InvalidResourceName'],
        [`GET ${SERVICES}/contoso%00`, undefined, 'InvalidResourceName'],
        [`DELETE ${SERVICES}/contoso%00`, undefined, 'InvalidResourceName'],
      ] as const) {
        const answer = await asOperator(server, at, body);
        assert.deepEqual([answer.status, answer.body.error.code], [400, code], at);
      }
      const tags = { 'a\0': 'b' };
      assert.deepEqual((await asOperator(server, `PATCH ${SERVICES}/contoso`, { tags })).body.tags, tags);
    });

    test('regenerating a key ends the tokens of its former value and no others', async (t) => {
      const server = await startTestServer(t, { store });
      const { keys } = await givenService(server);
      const [first, second] = [await givenToken(server, keys.primaryKey), await givenToken(server, keys.secondaryKey)];

      const answer = await asOperator(server, `POST ${SERVICES}/contoso/regenerateKey`, { keyType: 'primary' });
      assert.deepEqual(Object.keys(answer.body), ['primaryKey', 'primaryConnectionString']);
      assert.notEqual(answer.body.primaryKey, keys.primaryKey);
      assert.deepEqual([await isAccepted(server, first), await isAccepted(server, second)], [false, true]);
      assert.equal((await server.asService('POST /identities', undefined, { key: keys.primaryKey })).status, 401);
      assert.ok(await isAccepted(server, await givenToken(server, answer.body.primaryKey)));
    });

    test('deleting a service, or its group, ends its tokens and closes its keys', async (t) => {
      const server = await startTestServer(t, { store });
      const one = await givenService(server, 'one');
      const two = await givenService(server, 'two');
      const tokens = [await givenToken(server, one.keys.primaryKey), await givenToken(server, two.keys.primaryKey)];
      const own = await server.givenToken(await server.givenIdentity());

      assert.equal((await asOperator(server, `DELETE ${SERVICES}/one`)).status, 200);
      assert.equal((await asOperator(server, `DELETE ${SERVICES}/one`)).status, 204);
      assert.deepEqual(
        [await isAccepted(server, tokens[0] ?? ''), await isAccepted(server, tokens[1] ?? '')],
        [false, true],
      );
      assert.equal((await asOperator(server, `DELETE ${GROUP}`)).status, 200);
      assert.equal(await isAccepted(server, tokens[1] ?? ''), false);
      assert.equal(await isAccepted(server, own), true);
      assert.equal((await server.asService('POST /identities', undefined, { key: two.keys.primaryKey })).status, 401);
      assert.equal((await asOperator(server, `GET ${SERVICES}/two`)).body.error.code, 'ResourceGroupNotFound');
    });

    test('disableLocalAuth closes both keys, and switching it back opens them', async (t) => {
      const server = await startTestServer(t, { store });
      const { keys } = await givenService(server);
      const statuses = () => {
        const target = '/identities?api-version=2023-10-01';
        const create = async (key: string, host: string) => {
          const headers = { Host: host, ...sign({ method: 'POST', target, host, key }) };
          return (await server.send({ method: 'POST', target, headers })).status;
        };
        const ways = [keys.primaryKey, keys.secondaryKey].flatMap((key) =>
          [server.host, `contoso.${server.host}`].map((host) => create(key, host)),
        );
        return Promise.all(ways);
      };
      await asOperator(server, `PATCH ${SERVICES}/contoso`, { properties: { disableLocalAuth: true } });
      assert.deepEqual(await statuses(), [401, 401, 401, 401]);
      await asOperator(server, `PATCH ${SERVICES}/contoso`, { properties: { disableLocalAuth: false } });
      assert.deepEqual(await statuses(), [201, 201, 201, 201]);
    });
  });
}

describe('the management plane on the wire', () => {
  test('gives the shape of ARM, and keeps what is set', async (t) => {
    const server = await startTestServer(t);
    await asOperator(server, `PUT ${GROUP}`, { location: 'westeurope', tags: { team: 'shop' } });
    const wish = {
      location: 'global',
      tags: { a: 'b' },
      identity: { type: 'None' },
      properties: { dataLocation: 'United States', linkedDomains: [] },
    };
    const { status, body } = await asOperator(server, `PUT ${SERVICES}/Contoso`, wish);
    assert.equal(status, 201);
    assert.equal(body.id, `${SERVICES}/Contoso`);
    assert.equal(body.type, 'microsoft.communication/communicationservices');
    assert.deepEqual([body.location, body.tags, body.identity], ['global', { a: 'b' }, { type: 'None' }]);
    assert.match(body.systemData.createdAt, /\.\d{7}Z$/);
    const { immutableResourceId, ...properties } = body.properties;
    assert.match(immutableResourceId, /^[0-9a-f-]{36}$/);
    assert.deepEqual(properties, {
      provisioningState: 'Succeeded',
      hostName: 'localhost',
      dataLocation: 'United States',
      disableLocalAuth: false,
      publicNetworkAccess: 'Enabled',
      linkedDomains: [],
    });

    const again = await asOperator(server, `PUT ${SERVICES}/contoso`, { ...wish, tags: { c: 'd' } });
    assert.deepEqual(
      [again.status, again.body.tags, again.body.properties.immutableResourceId],
      [200, { c: 'd' }, immutableResourceId],
    );
    const lists = [
      `GET ${SERVICES.replace('resourceGroups', 'resourcegroups')}`,
      `GET /subscriptions/${SUBSCRIPTION}/providers/microsoft.communication/communicationservices`,
    ];
    for (const list of lists) {
      const { body } = await asOperator(server, list);
      assert.ok(body.value.some((service: { name: string }) => service.name === 'Contoso'));
    }
  });

  const refusals: [string, string, object | undefined, number, string][] = [
    [
      'a group that is not there',
      `PUT ${SERVICES}/x`,
      { location: 'global', properties: { dataLocation: 'Europe' } },
      404,
      'ResourceGroupNotFound',
    ],
    [
      'a service that is not there',
      'GET /subscriptions/{S}/resourceGroups/dev/providers/Microsoft.Communication/communicationServices/nope',
      undefined,
      404,
      'ResourceNotFound',
    ],
    [
      'a subscription that is no GUID',
      'GET /subscriptions/mine/resourceGroups',
      undefined,
      400,
      'InvalidSubscriptionId',
    ],
    [
      'a service without a data location',
      'PUT /subscriptions/{S}/resourceGroups/dev/providers/Microsoft.Communication/communicationServices/x',
      { location: 'global' },
      400,
      'RequiredProperty',
    ],
    [
      'another data location',
      'PATCH /subscriptions/{S}/resourceGroups/dev/providers/Microsoft.Communication/communicationServices/dev',
      { properties: { dataLocation: 'Europe' } },
      409,
      'PropertyChangeNotAllowed',
    ],
    [
      'a name with a blank',
      'PUT /subscriptions/{S}/resourceGroups/dev/providers/Microsoft.Communication/communicationServices/a%20b',
      { location: 'global', properties: { dataLocation: 'Europe' } },
      400,
      'InvalidResourceName',
    ],
    [
      'a third key',
      'POST /subscriptions/{S}/resourceGroups/dev/providers/Microsoft.Communication/communicationServices/dev/regenerateKey',
      { keyType: 'Tertiary' },
      400,
      'InvalidKeyType',
    ],
  ];
  for (const [what, at, body, status, code] of refusals) {
    test(`refuses ${what}`, async (t) => {
      const server = await startTestServer(t);
      const answer = await asOperator(server, at.replace('{S}', SUBSCRIPTION), body);
      assert.deepEqual([answer.status, answer.body.error.code], [status, code]);
    });
  }

  test('says whether a name is to be had, and whether a group exists', async (t) => {
    const server = await startTestServer(t);
    const check = (name: string) =>
      asOperator(
        server,
        `POST /subscriptions/${SUBSCRIPTION}/providers/Microsoft.Communication/checkNameAvailability`,
        { name },
      );
    assert.equal((await check('fresh')).body.nameAvailable, true);
    assert.equal((await check('DEV')).body.reason, 'AlreadyExists');
    assert.equal((await check('a b')).body.reason, 'Invalid');
    assert.equal((await asOperator(server, `HEAD /subscriptions/${SUBSCRIPTION}/resourcegroups/DEV`)).status, 204);
    assert.equal((await asOperator(server, `HEAD ${GROUP}`)).status, 404);
  });

  test('names the managed identity of a service by GUIDs that stay, whatever the client says of them', async (t) => {
    const server = await startTestServer(t);
    await asOperator(server, `PUT ${GROUP}`, { location: 'westeurope' });
    const put = async (name: string, identity?: object) => {
      const wish = { location: 'global', properties: { dataLocation: 'Europe' }, ...(identity && { identity }) };
      return (await asOperator(server, `PUT ${SERVICES}/${name}`, wish)).body.identity;
    };
    const nobody = '00000000-0000-0000-0000-000000000000';
    const first = await put('one', { type: 'SystemAssigned', principalId: nobody, tenantId: nobody });
    assert.deepEqual(Object.keys(first).sort(), ['principalId', 'tenantId', 'type']);
    assert.match(first.principalId, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(first.tenantId, HOME_TENANT);

    assert.deepEqual((await asOperator(server, `GET ${SERVICES}/one`)).body.identity, first);
    assert.deepEqual(await put('one', { type: 'None' }), { type: 'None' });
    assert.deepEqual(await put('one', { type: 'SystemAssigned' }), first, 'taken away and given again');
    const patched = await asOperator(server, `PATCH ${SERVICES}/one`, {
      identity: { type: 'SystemAssigned, UserAssigned', userAssignedIdentities: { '/subscriptions/x': {} } },
    });
    assert.deepEqual(patched.body.identity, {
      ...first,
      type: 'SystemAssigned, UserAssigned',
      userAssignedIdentities: { '/subscriptions/x': {} },
    });
    assert.notEqual((await put('two', { type: 'SystemAssigned' })).principalId, first.principalId);
    const user = await put('three', { type: 'UserAssigned', userAssignedIdentities: { '/subscriptions/x': {} } });
    assert.equal(user.principalId, undefined);
    assert.equal(await put('four'), undefined);
  });

  test('shows its provider as registered, and knows no other', async (t) => {
    const server = await startTestServer(t);
    const at = `/subscriptions/${SUBSCRIPTION}/providers/microsoft.communication`;
    const shown = await asOperator(server, `GET ${at}`, undefined, '2024-11-01');
    assert.equal(shown.status, 200, shown.text);
    const { id, namespace, registrationState, resourceTypes } = shown.body;
    assert.deepEqual(
      [id, namespace, registrationState],
      [`/subscriptions/${SUBSCRIPTION}/providers/Microsoft.Communication`, 'Microsoft.Communication', 'Registered'],
    );
    const [{ resourceType, locations, apiVersions }] = resourceTypes;
    assert.deepEqual([resourceType, locations], ['communicationServices', ['global']]);
    assert.equal(apiVersions[0], '2026-03-18', 'the newest comes first');
    assert.deepEqual((await asOperator(server, `POST ${at}/register`)).body, shown.body);
    const all = await asOperator(server, `GET /subscriptions/${SUBSCRIPTION}/providers`, undefined, '2024-11-01');
    assert.deepEqual(all.body.value, [shown.body]);

    for (const other of [`GET ${at}x`, `POST ${at}x/register`, 'GET /subscriptions/mine/providers']) {
      const answer = await asOperator(server, other);
      assert.ok([400, 404].includes(answer.status), other);
      assert.ok(
        ['InvalidResourceNamespace', 'InvalidSubscriptionId'].includes(answer.body.error.code),
        `${other}: ${answer.text}`,
      );
    }
    assert.equal((await server.send({ target: `${at}?api-version=2024-11-01` })).status, 401);
  });

  test('lists the resources of a group and of a subscription, and filters them', async (t) => {
    const server = await startTestServer(t);
    await givenService(server, 'one');
    await asOperator(server, `PATCH ${SERVICES}/one`, { tags: { team: "o'neil", more: 'and name' } });
    const list = (path: string, filter?: string) =>
      server.send({
        target: `${path}/resources?api-version=2024-11-01${filter === undefined ? '' : `&$filter=${encodeURIComponent(filter)}`}&$expand=createdTime`,
        headers: { Authorization: `Bearer ${readFileSync(join(server.folder, 'operator.key'), 'utf8').trim()}` },
      });
    const names = async (filter?: string, path = `/subscriptions/${SUBSCRIPTION}`) => {
      const { status, body, text } = await list(path, filter);
      assert.equal(status, 200, `${filter}: ${text}`);
      return body.value.map(({ name }: { name: string }) => name);
    };
    const [one] = (await list(GROUP)).body.value;
    assert.deepEqual(
      [one.id, one.type, one.location, one.provisioningState],
      [`${SERVICES}/one`, 'microsoft.communication/communicationservices', 'global', 'Succeeded'],
    );
    assert.match(one.createdTime, /^\d{4}-.*Z$/);
    assert.equal(one.properties, undefined, 'what all resources have in common');

    assert.deepEqual((await names()).sort(), ['dev', 'one']);
    assert.deepEqual((await names('')).sort(), ['dev', 'one'], 'as az sends it');
    assert.deepEqual(await names("name eq 'DEV'", GROUP), []);
    for (const [filter, expected] of [
      ["resourceGroup eq 'SHOP'", ['one']],
      ["resourceGroup eq 'dev' and name eq 'one'", []],
      ["resourceType eq 'Microsoft.Communication/CommunicationServices' and location eq 'Global'", ['dev', 'one']],
      ["resourceType eq 'Microsoft.Compute/virtualMachines'", []],
      ["tagName eq 'team' and tagValue eq 'o''neil'", ['one']],
      ["tagname eq 'more' and tagvalue eq 'and name'", ['one']],
      ["tagname eq 'team' and tagvalue eq 'others'", []],
      ["tagname eq 'toString'", []],
    ] as const)
      assert.deepEqual((await names(filter)).sort(), expected, filter);

    for (const filter of [
      'name',
      "name ne 'x'",
      "startswith(tagname, 'x')",
      "owner eq 'x'",
      "name eq 'x' or name eq 'y'",
    ]) {
      const { status, body } = await list(`/subscriptions/${SUBSCRIPTION}`, filter);
      assert.deepEqual([status, body.error?.code], [400, 'InvalidFilterInQueryString'], filter);
    }
    for (const [path, filter] of [
      [`${GROUP}x`, undefined],
      [`/subscriptions/${SUBSCRIPTION}`, "resourceGroup eq 'nowhere'"],
    ] as const) {
      const { status, body } = await list(path, filter);
      assert.deepEqual([status, body.error?.code], [404, 'ResourceGroupNotFound'], path);
    }
  });

  test('says of e-mail in words that there is none', async (t) => {
    const server = await startTestServer(t);
    const email = `${GROUP}/providers/Microsoft.Communication/emailServices`;
    for (const at of [
      `GET /subscriptions/${SUBSCRIPTION}/providers/microsoft.communication/emailservices`,
      `GET ${email}`,
      `PUT ${email}/mail`,
      `DELETE ${email}/mail`,
      `PUT ${email}/mail/domains/AzureManagedDomain`,
      `POST ${email}/mail/domains/example.org/initiateVerification`,
    ]) {
      const { status, body } = await asOperator(server, at, at.startsWith('P') ? { location: 'global' } : undefined);
      assert.deepEqual([status, body.error.code], [404, 'InvalidResourceType'], at);
      assert.match(body.error.message, /does not offer e-mail/, at);
    }
    const other = await asOperator(server, `GET ${email}Other`);
    assert.equal(other.body.error.code, 'NotFound');
  });

  test('answers each of two calls at once as if one had come after the other', async (t) => {
    const server = await startTestServer(t);
    await asOperator(server, `PUT ${GROUP}`, { location: 'global' });
    const wish = { location: 'global', properties: { dataLocation: 'Europe' } };
    assert.equal((await asOperator(server, `PUT ${SERVICES}/twice`, wish)).status, 201);
    const regenerate = () => asOperator(server, `POST ${SERVICES}/twice/regenerateKey`, { keyType: 'Primary' });
    const keys = (await Promise.all([regenerate(), regenerate()])).map(({ body }) => body.primaryKey);
    const { body } = await asOperator(server, `POST ${SERVICES}/twice/listKeys`);
    assert.equal(new Set(keys).size, 2);
    assert.ok(keys.includes(body.primaryKey));

    const remove = () => asOperator(server, `DELETE ${SERVICES}/twice`);
    const statuses = (await Promise.all([remove(), remove()])).map(({ status }) => status);
    assert.deepEqual(statuses.sort(), [200, 204]);
  });

  test('is closed to access keys, user tokens and callers without credentials', async (t) => {
    const server = await startTestServer(t);
    const target = `${SERVICES}?api-version=2023-04-01`;
    assert.equal((await server.asService(`GET ${target}`)).status, 401);
    assert.equal(
      (await server.asUser(await server.givenToken(await server.givenIdentity()), `GET ${target}`)).status,
      401,
    );
    assert.equal((await server.send({ target })).status, 401);
  });
});
