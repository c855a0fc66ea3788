import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { FIRST_SUBSCRIPTION } from '../../src/planes/management/communication-service.ts';
import { DEV_RESOURCE } from '../../src/resources/resource.ts';
import { OPERATOR_KEY, withBearer } from '../harness/dev-tokens.ts';
import { assertError } from '../harness/envelope.ts';
import { STORES } from '../harness/postgres.ts';
import { DEV_ID } from '../harness/resources.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';

const env = { LINARITE_OPERATOR_KEY: OPERATOR_KEY };
const GROUP = `/subscriptions/${FIRST_SUBSCRIPTION}/resourceGroups/shop`;
const SERVICE = `${GROUP}/providers/Microsoft.Communication/communicationServices/contoso?api-version=2023-04-01`;

const base64 = (bytes: number): string => randomBytes(bytes).toString('base64');
const wish = (more: object = {}) => ({
  subscriptionId: FIRST_SUBSCRIPTION,
  resourceGroup: 'shop',
  name: 'contoso',
  location: 'global',
  dataLocation: 'Europe',
  ...more,
});

async function givenServer(t: Parameters<typeof startTestServer>[0], store: 'sqlite' | 'postgres' = 'sqlite') {
  const server = await startTestServer(t, { store, env });
  assert.equal((await withBearer(server, OPERATOR_KEY, `PUT ${GROUP}`, { location: 'global' })).status, 201);
  return server;
}

const put = (server: TestServer, id: string, body: object) =>
  withBearer(server, OPERATOR_KEY, `PUT /-/resources/${id}`, body);

const opens = async (server: TestServer, key: string, id: string): Promise<boolean> => {
  const { status, body } = await server.asService('POST /identities', undefined, { key });
  return status === 201 && body.identity.id.startsWith(`8:acs:${id}_`);
};

for (const store of STORES) {
  describe(`a resource that keeps its GUID and its keys, on ${store}`, () => {
    test('opens with both keys, is found by the management plane, and is made once', async (t) => {
      const server = await givenServer(t, store);
      const id = randomUUID();
      // 63 bytes: what the original has given since the end of 2024.
      const keys = { primaryKey: base64(64), secondaryKey: base64(63) };
      const made = await put(server, id.toUpperCase(), wish({ ...keys, tags: { stage: 'test' } }));
      assert.equal(made.status, 201, made.text);
      assert.deepEqual([made.body.properties.immutableResourceId, made.body.tags], [id, { stage: 'test' }]);
      assert.ok(!made.text.includes(keys.primaryKey), 'an answer that repeats no key');
      assert.deepEqual(
        [await opens(server, keys.primaryKey, id), await opens(server, keys.secondaryKey, id)],
        [true, true],
      );
      const shown = await withBearer(server, OPERATOR_KEY, `GET ${SERVICE}`);
      assert.deepEqual(shown.body, made.body);

      const again = await put(server, id, wish(keys));
      assert.deepEqual([again.status, again.body], [200, made.body]);
      assert.equal((await put(server, id, wish())).status, 200);
    });

    test('is not made of a GUID that another resource has, or had', async (t) => {
      const server = await givenServer(t, store);
      const id = randomUUID();
      await put(server, id, wish({ primaryKey: base64(64) }));
      for (const [what, body] of [
        ['name, group or subscription', wish({ name: 'other' })],
        ['name, group or subscription', wish({ resourceGroup: 'other' })],
        ['dataLocation', wish({ dataLocation: 'Canada' })],
        ['access key', wish({ primaryKey: base64(64) })],
        ['access key', wish({ secondaryKey: base64(64) })],
      ] as const) {
        const message = `A resource with that id exists already, with another ${what}.`;
        assertError(await put(server, id, body), {
          status: 409,
          code: 'ResourceIdTaken',
          target: 'resourceId',
          message,
        });
      }
      assertError(await put(server, randomUUID(), wish()), { status: 409, code: 'NameNotAvailable', target: 'name' });
      assert.equal((await withBearer(server, OPERATOR_KEY, `DELETE ${SERVICE}`)).status, 200);
      const gone = await put(server, id, wish());
      assertError(gone, { status: 409, code: 'ResourceIdDeleted', target: 'resourceId' });
      assert.match(gone.body.error.message, /was deleted here.* into a new store\.$/);
    });
  });
}

test('keys that are none, are known to everybody, or are somebody else’s are refused, and not repeated', async (t) => {
  const server = await givenServer(t);
  const key = base64(64);
  assert.equal((await put(server, randomUUID(), wish({ name: 'first', primaryKey: key }))).status, 201);
  for (const [keys, target, why] of [
    [{ primaryKey: 'short' }, 'primaryKey', /32 to 128 bytes in base64/],
    [{ secondaryKey: base64(31) }, 'secondaryKey', /32 to 128 bytes/],
    [{ primaryKey: base64(129) }, 'primaryKey', /32 to 128 bytes/],
    [{ primaryKey: `${base64(63)}\n` }, 'primaryKey', /in base64/],
    [{ primaryKey: DEV_RESOURCE.primaryKey }, 'primaryKey', /published development key/],
    [{ secondaryKey: key }, 'secondaryKey', /The resource 'first' has this key/],
    [{ primaryKey: base64(64).replace(/.{4}$/, '!!!!') }, 'primaryKey', /in base64/],
  ] as const) {
    const answer = await put(server, randomUUID(), wish(keys));
    assertError(answer, { status: 400, code: 'InvalidAccessKey', target });
    assert.match(answer.body.error.message, why);
    for (const secret of Object.values(keys).filter(({ length }) => length > 20)) {
      assert.ok(!answer.text.includes(secret.slice(0, 20)));
      assert.ok(!JSON.stringify(server.log.lines).includes(secret.slice(0, 20)));
    }
  }
  const twice = base64(64);
  assertError(await put(server, randomUUID(), wish({ primaryKey: twice, secondaryKey: twice })), {
    status: 400,
    code: 'InvalidAccessKey',
    target: 'secondaryKey',
  });
});

test('what a resource cannot be is said', async (t) => {
  const server = await givenServer(t);
  const id = randomUUID();
  assertError(await put(server, 'contoso', wish()), { status: 400, code: 'InvalidResourceId', target: 'resourceId' });
  assertError(await put(server, id, wish({ name: '!' })), { status: 400, code: 'InvalidResourceName', target: 'name' });
  assertError(await put(server, id, wish({ resourceGroup: 'none' })), { status: 404, code: 'ResourceGroupNotFound' });
  assertError(await put(server, id, wish({ dataLocation: '' })), {
    status: 400,
    code: 'RequiredProperty',
    target: 'properties.dataLocation',
  });
  assertError(await put(server, DEV_ID, wish()), { status: 409, code: 'ResourceIdTaken', target: 'resourceId' });
  const denied = await withBearer(server, 'x'.repeat(40), `PUT /-/resources/${id}`, wish());
  assertError(denied, { status: 401, code: 'Denied' });
});
