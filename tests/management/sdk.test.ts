import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { startTestServer } from '../harness/server.ts';

const run = promisify(execFile);

// In a process of its own: the certificate authority to trust is read at the start of Node.js.
const PROGRAM = `
import { CommunicationServiceManagementClient } from '@azure/arm-communication';
import { CommunicationIdentityClient } from '@azure/communication-identity';
const [endpoint, key] = process.argv.slice(1);
const credential = { getToken: async () => ({ token: key, expiresOnTimestamp: Date.now() + 3600000 }) };
const { communicationServices: services } = new CommunicationServiceManagementClient(credential, '5e1f0057-0000-4000-8000-000000000001', { endpoint });
const wish = { location: 'global', dataLocation: 'Europe', tags: { team: 'shop' } };
const made = await services.beginCreateOrUpdateAndWait('dev', 'shop', wish);
const { primaryConnectionString } = await services.listKeys('dev', 'shop');
const identities = new CommunicationIdentityClient(primaryConnectionString);
const { user, token } = await identities.createUserAndToken(['chat']);
const regenerated = await services.regenerateKey('dev', 'shop', { keyType: 'Primary' });
const refused = await identities.createUser().then(() => 'accepted', (error) => error.statusCode);
const again = await new CommunicationIdentityClient(regenerated.primaryConnectionString).getToken(user, ['chat']);
const names = [];
for await (const service of services.listByResourceGroup('dev')) names.push(service.name);
await services.beginDeleteAndWait('dev', 'shop');
const gone = await services.get('dev', 'shop').catch((error) => error.code);
console.log(JSON.stringify({ state: made.provisioningState, tags: made.tags, token, refused, again: again.token, names, gone }));
`;

test('the official management SDK creates, lists, regenerates and deletes over HTTPS', async (t) => {
  const server = await startTestServer(t, { env: { LINARITE_OPERATOR_KEY: 'the-operator-of-this-test-0123456789' } });
  const { stdout } = await run(
    process.execPath,
    [
      '--input-type=module',
      '--eval',
      PROGRAM,
      server.server.endpoint.slice(0, -1),
      'the-operator-of-this-test-0123456789',
    ],
    { env: { ...process.env, NODE_EXTRA_CA_CERTS: server.server.caPath }, timeout: 60_000 },
  );
  const { token, again, ...seen } = JSON.parse(stdout);
  assert.deepEqual(seen, {
    state: 'Succeeded',
    tags: { team: 'shop' },
    refused: 401,
    names: ['dev', 'shop'],
    gone: 'ResourceNotFound',
  });
  assert.equal((await server.asUser(token)).status, 401);
  assert.equal((await server.asUser(again)).status, 401, 'its resource is gone');
});
