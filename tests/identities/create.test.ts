import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { STORES } from '../harness/postgres.ts';
import { startTestServer } from '../harness/server.ts';

for (const store of STORES) {
  describe(`creating identities on ${store}`, () => {
    test('answers 201 with an id and nothing else to every way of asking for nothing more', async (t) => {
      const server = await startTestServer(t, { store });
      for (const body of [
        undefined,
        {},
        { createTokenWithScopes: [] },
        { expiresInMinutes: null },
        { createTokenWithScopes: null },
        'null',
      ]) {
        const { status, body: answer } = await server.asService('POST /identities', body);
        assert.equal(status, 201);
        assert.deepEqual(Object.keys(answer), ['identity']);
        assert.deepEqual(Object.keys(answer.identity), ['id']);
        assert.match(
          answer.identity.id,
          /^8:acs:5e1f0057-ed00-4acc-8000-000000007417_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/,
        );
      }
    });

    test('gives a token in the same call, whose expiry has seven digits and an offset', async (t) => {
      const server = await startTestServer(t, { store });
      const { status, body } = await server.asService('POST /identities', {
        createTokenWithScopes: ['chat'],
        expiresInMinutes: 60,
      });
      assert.equal(status, 201);
      assert.match(body.accessToken.expiresOn, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00$/);
      const { exp } = JSON.parse(Buffer.from(body.accessToken.token.split('.')[1], 'base64url').toString());
      assert.equal(exp, Math.floor(Date.parse(body.accessToken.expiresOn) / 1000));
      assert.equal((await server.asUser(body.accessToken.token)).status, 200);
    });

    test('gives the same identity for the same custom id, 201 both times, and shows when it last had a token', async (t) => {
      const server = await startTestServer(t, { store });
      const first = await server.asService('POST /identities', { customId: 'alice@contoso.example' });
      const second = await server.asService('POST /identities', {
        customId: 'alice@contoso.example',
        createTokenWithScopes: ['voip'],
      });
      assert.deepEqual([first.status, second.status], [201, 201]);
      assert.equal(first.body.identity.id, second.body.identity.id);
      assert.deepEqual(Object.keys(first.body.identity), ['customId', 'id']);
      assert.deepEqual(Object.keys(second.body.identity), ['customId', 'lastTokenIssuedAt', 'id']);
      assert.match(second.body.identity.lastTokenIssuedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$/);

      const got = await server.asService(`GET /identities/${encodeURIComponent(first.body.identity.id)}`);
      assert.equal(got.status, 200);
      assert.deepEqual(got.body, second.body.identity);
    });

    test('gives one identity to twenty callers who ask for a custom id at once', async (t) => {
      const server = await startTestServer(t, { store });
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => server.asService('POST /identities', { customId: 'bob' })),
      );
      assert.deepEqual([...new Set(answers.map(({ status }) => status))], [201]);
      assert.equal(new Set(answers.map(({ body }) => body.identity.id)).size, 1);
    });
  });
}
