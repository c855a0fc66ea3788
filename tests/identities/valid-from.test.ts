import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { STORES } from '../harness/postgres.ts';
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
  });
}
