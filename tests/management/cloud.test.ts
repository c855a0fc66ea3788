import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startProduction } from '../harness/production.ts';
import { startTestServer } from '../harness/server.ts';

/** As Azure's command line and HashiCorp's client read it, in any version and for every caller. */
test('a client learns from one document where a cloud of its own is and where its operator signs in', async (t) => {
  const dev = await startTestServer(t);
  const production = await startProduction(t);
  for (const [server, origin] of [
    [dev, dev.server.endpoint.slice(0, -1)],
    [production, 'https://acs.example.org'],
  ] as const) {
    for (const query of ['?api-version=2022-09-01', '?api-version=1.0', '']) {
      const { status, body } = await server.send({ target: `/metadata/endpoints${query}` });
      assert.equal(status, 200);
      assert.deepEqual(body, {
        name: 'Linarite',
        resourceManager: `${origin}/`,
        authentication: {
          loginEndpoint: `${origin}/adfs`,
          audiences: [`${origin}/`],
          tenant: 'common',
          identityProvider: 'AAD',
        },
        microsoftGraphResourceId: `${origin}/`,
        graphEndpoint: `${origin}/`,
        suffixes: {},
      });
    }
  }
});
