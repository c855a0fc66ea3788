import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DIRECTORY_TENANT } from '../../src/planes/sign-in/directory.ts';
import { ALICE, APP, CLIENTS, userToken, withBearer } from '../harness/dev-tokens.ts';
import { STORES } from '../harness/postgres.ts';
import { givenResource, inPath } from '../harness/resources.ts';
import { startTestServer } from '../harness/server.ts';

for (const store of STORES) {
  describe(`tokensValidFrom on ${store}`, () => {
    test('set again to an earlier instant brings nobody back', async (t) => {
      const server = await startTestServer(t, { store });
      const id = await server.givenIdentity();
      const token = await server.givenToken(id);
      const at = `PATCH /identities/${encodeURIComponent(id)}?api-version=2020-07-20-preview2`;
      const hours = (count: number) => ({ tokensValidFrom: new Date(Date.now() + count * 3_600_000).toISOString() });
      assert.equal((await server.asService(at, hours(-1))).status, 204);
      assert.equal((await server.asUser(token)).status, 200, 'it was issued after that');
      assert.equal((await server.asService(at, hours(1))).status, 204);
      assert.equal((await server.asUser(token)).status, 401);
      const later = await server.givenToken(id);
      assert.equal((await server.asUser(later)).status, 401, 'it was issued before the instant');
      assert.equal((await server.asService(at, hours(-2))).status, 204);
      assert.equal((await server.asUser(later)).status, 401);
    });

    test('is recorded when the instant rises, and never otherwise', async (t) => {
      const server = await startTestServer(t, { store });
      const { revocations } = server.server;
      const id = await server.givenIdentity();
      const at = `PATCH /identities/${encodeURIComponent(id)}?api-version=2020-07-20-preview2`;
      const start = Math.floor(Date.now() / 1000) * 1000;
      const recorded = async (hours: number, ms = 0): Promise<number> => {
        const before = revocations.position;
        const tokensValidFrom = new Date(start + hours * 3_600_000 + ms).toISOString();
        assert.equal((await server.asService(at, { tokensValidFrom })).status, 204);
        return revocations.position - before;
      };
      assert.equal(await recorded(-2), 1);
      for (const hours of [-2, -3, -500_000]) assert.equal(await recorded(hours), 0);
      assert.equal(await recorded(-2, 1), 1);
      assert.equal(await recorded(2), 2, 'every token given so far is refused, whatever the clocks say');
      for (const hours of [2, 1, -1]) assert.equal(await recorded(hours), 0);
      assert.equal(await recorded(2, 1), 2);
      assert.equal(await recorded(0, Date.now() - start), 1, 'now ends the tokens so far, as ever');
      const absent = at.replace(/_[^?]*/, '_00000019-5466-0f71-aefa-4e3a0d002539');
      assert.equal((await server.asService(absent, { tokensValidFrom: '2020-01-01T00:00:00Z' })).status, 404);
    });

    test('goes with the identity: one that an exchange makes again is a new one', async (t) => {
      const server = await startTestServer(t, { store });
      const { id: resourceId, key } = await givenResource(server);
      const version = 'api-version=2025-03-02-preview';
      const body = { principalType: 'user', tenantId: DIRECTORY_TENANT, clientIds: [APP] };
      const assigned = await server.asService(`PUT /access/entra/assignments/${ALICE.objectId}?${version}`, body, {
        key,
      });
      assert.equal(assigned.status, 201);
      const presented = await userToken(server, ALICE, `${CLIENTS}/Chat`);
      const headers = { Host: `neighbour.${server.host}` };
      const exchange = async (): Promise<string> => {
        const answer = await withBearer(
          server,
          presented,
          `POST /access/entra/:exchangeAccessToken?${version}`,
          '{}',
          headers,
        );
        assert.equal(answer.status, 200, answer.text);
        return answer.body.accessToken.token;
      };
      const first = await exchange();
      const alice = inPath(`8:acs:${resourceId}_wf_${DIRECTORY_TENANT}_${ALICE.objectId}`);
      const bound = { tokensValidFrom: '2040-01-01T00:00:00Z' };
      const patched = await server.asService(`PATCH ${alice}?api-version=2020-07-20-preview1`, bound, { key });
      assert.equal(patched.status, 204);
      const second = await exchange();
      const refused = await server.asUser(second);
      assert.equal(refused.status, 401);
      assert.match(
        String(refused.headers['x-linarite-reason']),
        /^revoked\.validFrom; valid from 2040-01-01T00:00:00\.000Z on, token issued 20\d\d-/,
      );
      assert.equal((await server.asService(`DELETE ${alice}`, undefined, { key })).status, 204);
      const third = await exchange();
      assert.equal((await server.asUser(third)).status, 200);
      for (const ended of [first, second]) assert.equal((await server.asUser(ended)).status, 401);
    });
  });
}
