import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertError } from '../harness/envelope.ts';
import { STORES } from '../harness/postgres.ts';
import { givenResource } from '../harness/resources.ts';
import { startTestServer } from '../harness/server.ts';

for (const store of STORES) {
  test(`the pages of the directory have every identity of the resource once, by id, on ${store}`, async (t) => {
    const server = await startTestServer(t, { store });
    const ids = await Promise.all(Array.from({ length: 7 }, () => server.givenIdentity()));
    const neighbour = await givenResource(server);
    await server.asService('POST /identities', undefined, { key: neighbour.key });

    const seen: string[] = [];
    let target = '/-/identities?pageSize=3';
    for (;;) {
      const { status, body } = await server.asService(`GET ${target}`);
      assert.equal(status, 200);
      seen.push(...body.value.map(({ id }: { id: string }) => id));
      if (body.continuation === undefined) break;
      assert.equal(body.value.length, 3);
      target = `/-/identities?pageSize=3&continuation=${encodeURIComponent(body.continuation)}`;
    }
    assert.deepEqual(seen, ids.toSorted());
  });
}

test('an entry has the time it was made, and with a custom id the last token; another resource sees neither', async (t) => {
  const server = await startTestServer(t);
  const id = await server.givenIdentity({ customId: 'anna' });
  await server.givenToken(id);
  const { body } = await server.asService('GET /-/identities?customId=anna');
  const [entry] = body.value;
  assert.deepEqual(Object.keys(entry), ['id', 'customId', 'createdAt', 'lastTokenIssuedAt']);
  assert.ok(Math.abs(Date.parse(entry.createdAt) - Date.now()) < 60_000);
  assert.deepEqual((await server.asService(`GET /-/identities/${encodeURIComponent(id)}`)).body, entry);

  const { key } = await givenResource(server);
  assert.deepEqual((await server.asService('GET /-/identities?customId=anna', undefined, { key })).body, { value: [] });
  const foreign = await server.asService(`GET /-/identities/${encodeURIComponent(id)}`, undefined, { key });
  assertError(foreign, { status: 401, code: 'IdentityNotOwned' });
});

test('a page size or continuation that cannot be is refused', async (t) => {
  const server = await startTestServer(t);
  for (const size of ['0', '1001', '-1', '1.5', 'x', '']) {
    const answer = await server.asService(`GET /-/identities?pageSize=${size}`);
    assertError(answer, { status: 400, code: 'ValidationError', target: 'pageSize' }, size);
  }
  for (const continuation of ['', 'x', '8:%00', "8:acs:'"]) {
    const answer = await server.asService(`GET /-/identities?continuation=${continuation}`);
    assertError(answer, { status: 400, code: 'ValidationError', target: 'continuation' }, continuation);
  }
});
