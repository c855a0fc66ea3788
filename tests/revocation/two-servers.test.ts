import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { applicationToken, asOperator, OPERATOR_KEY, SERVICE, withBearer } from '../harness/dev-tokens.ts';
import type { Answer } from '../harness/http.ts';
import { freshDatabase, POSTGRES_URL } from '../harness/postgres.ts';
import { accessKeyOf, DEV_ID, givenResource } from '../harness/resources.ts';
import { API_VERSION, startTestServer, type TestServer } from '../harness/server.ts';

// What opens a resource is remembered by every server: what one of them takes back the others must not go on taking.

const PATIENCE_MS = 10_000;

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
    await until(async () => (await create(key)) === 201);
    await one.server.resources.delete(id);
    assert.equal(await create(key), 401, 'a key of a deleted resource');

    const proof = await applicationToken(other, SERVICE);
    const byTrust = (): Promise<Answer> => withBearer(other, proof, `POST /identities?api-version=${API_VERSION}`, {});
    assert.equal((await byTrust()).status, 201);
    await asOperator(one, 'POST /-/trusts/dev/:disable');
    assert.equal((await byTrust()).status, 401, 'a disabled trust');
  });

  test('come to know within the lease what ends no tokens', async (t) => {
    const [one, other] = await given(t);
    const proof = await applicationToken(other, SERVICE);
    const byTrust = (): Promise<Answer> => withBearer(other, proof, `POST /identities?api-version=${API_VERSION}`, {});
    assert.equal((await byTrust()).status, 201);
    await asOperator(one, 'DELETE /-/trusts/dev/grants/service-data');
    await until(async () => (await byTrust()).status === 403);
    await one.server.resources.setKeysDisabled(DEV_ID, true);
    await until(async () => (await other.asService('POST /identities', {})).status === 401);
    await one.server.resources.setKeysDisabled(DEV_ID, false);
    await until(async () => (await other.asService('POST /identities', {})).status === 201);
  });
});

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const started = Date.now(); !(await holds()); await sleep(20))
    assert.ok(Date.now() - started < PATIENCE_MS, 'the other server has not come to know');
}
