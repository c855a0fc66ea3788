import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { applicationToken, asOperator, OPERATOR_KEY, OTHER_APP, SERVICE, withBearer } from '../harness/dev-tokens.ts';
import type { Answer } from '../harness/http.ts';
import { freshDatabase, POSTGRES_URL } from '../harness/postgres.ts';
import { accessKeyOf, DEV_ID, givenResource } from '../harness/resources.ts';
import { API_VERSION, startTestServer, type TestServer } from '../harness/server.ts';

// What opens a resource is remembered by every server: what one of them takes back the others must not go on taking.

describe('two servers on one database', { skip: !POSTGRES_URL && 'needs PostgreSQL' }, () => {
  async function given(t: TestContext): Promise<[one: TestServer, other: TestServer]> {
    const env = { LINARITE_DATABASE_URL: await freshDatabase(t), LINARITE_OPERATOR_KEY: OPERATOR_KEY };
    return [await startTestServer(t, { env }), await startTestServer(t, { env })];
  }

  test('take back together what one of them takes back, before it is answered', async (t) => {
    const [one, other] = await given(t);
    const create = async (key: string): Promise<number> =>
      (await other.asService('POST /identities', {}, { key })).status;

    const former = accessKeyOf(other, 'secondary');
    assert.equal(await create(former), 201);
    await one.server.resources.regenerateKey(DEV_ID, 'secondary');
    assert.equal(await create(former), 401, 'a regenerated key');
    assert.equal(await create(accessKeyOf(other, 'secondary')), 201, 'the key that took its place');

    const { id, key } = await givenResource(one);
    assert.equal(await create(key), 201);
    await one.server.resources.delete(id);
    assert.equal(await create(key), 401, 'a key of a deleted resource');

    const proof = await applicationToken(other, SERVICE);
    const byTrust = (): Promise<Answer> => withBearer(other, proof, `POST /identities?api-version=${API_VERSION}`, {});
    assert.equal((await byTrust()).status, 201);
    await asOperator(one, 'POST /-/trusts/dev/:disable');
    assert.equal((await byTrust()).status, 401, 'a disabled trust');
  });

  test('come to know before it is answered what ends no tokens', async (t) => {
    const [one, other] = await given(t);
    const proof = await applicationToken(other, SERVICE);
    const byTrust = (): Promise<Answer> => withBearer(other, proof, `POST /identities?api-version=${API_VERSION}`, {});
    assert.equal((await byTrust()).status, 201);
    await asOperator(one, 'DELETE /-/trusts/dev/grants/service-data');
    assert.equal((await byTrust()).status, 403, 'a grant that is gone');
    const data = { kind: 'applicationId', value: OTHER_APP };
    await asOperator(one, 'PUT /-/trusts/dev/grants/again', { principal: data, right: 'data', resource: '*' });
    assert.equal((await byTrust()).status, 201, 'a new grant');
    await asOperator(one, 'POST /-/trusts/dev/:disable');
    await asOperator(one, 'POST /-/trusts/dev/:enable');
    assert.equal((await byTrust()).status, 201, 'an enabled trust');

    const create = async (key?: string): Promise<number> =>
      (await other.asService('POST /identities', {}, key === undefined ? {} : { key })).status;
    await one.server.resources.setKeysDisabled(DEV_ID, true);
    assert.equal(await create(), 401, 'keys switched off');
    await one.server.resources.setKeysDisabled(DEV_ID, false);
    assert.equal(await create(), 201, 'keys switched on');
    const { key } = await givenResource(one);
    assert.equal(await create(key), 201, 'a new resource');

    const published = async (): Promise<string> =>
      (await other.send({ target: '/.well-known/jwks.json' })).body.keys.map(({ kid }: { kid: string }) => kid);
    await one.server.keys.rotateNow();
    assert.ok((await published()).includes(one.server.keys.active.kid), 'a new signing key');
    assert.equal(other.server.keys.active.kid, one.server.keys.active.kid);
  });
});
