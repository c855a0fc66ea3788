import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { PUBLISHED_SECRET } from '../../src/planes/sign-in/directory.ts';
import { withBearer } from '../harness/dev-tokens.ts';
import { DEV_ID } from '../harness/resources.ts';
import { API_VERSION, startTestServer, type TestServer } from '../harness/server.ts';

const run = promisify(execFile);
const missing = spawnSync('az', ['--version']).status === 0 ? false : 'the az command line is not installed';

const SUBSCRIPTION = '5e1f0057-0000-4000-8000-000000000001';
const SOMEBODY = '5e1f0057-0000-4000-8000-00000000007e';

/** The az command line with a folder of its own, in a cloud that is this server. */
async function azFor(server: TestServer, more: Record<string, string> = {}) {
  const url = server.server.endpoint.slice(0, -1);
  const env = {
    ...process.env,
    AZURE_CONFIG_DIR: join(server.folder, 'az'),
    AZURE_CORE_COLLECT_TELEMETRY: '0',
    REQUESTS_CA_BUNDLE: server.server.caPath,
    ...more,
  };
  const az = async (...args: string[]) => {
    const { stdout } = await run('az', [...args, '--only-show-errors', '--output', 'json'], { env, timeout: 60_000 });
    return stdout.trim() === '' ? undefined : JSON.parse(stdout);
  };
  await az('cloud', 'register', '-n', 'Local', '--endpoint-resource-manager', url);
  await az('cloud', 'set', '-n', 'Local');
  return { url, env, az };
}

test('the real az signs in with the operator key and manages groups and services', { skip: missing }, async (t) => {
  const server = await startTestServer(t);
  const { url, az } = await azFor(server);

  const signIn = (secret: string) =>
    az('login', '--service-principal', '-u', SOMEBODY, '-p', secret, '--tenant', SOMEBODY);
  await assert.rejects(signIn('not-the-operator-key-of-this-server'), /client secret/);
  const [subscription] = await signIn(readFileSync(join(server.folder, 'operator.key'), 'utf8').trim());
  assert.deepEqual([subscription.id, subscription.state], [SUBSCRIPTION, 'Enabled']);

  assert.equal((await az('group', 'create', '-n', 'shop', '-l', 'westeurope')).name, 'shop');
  const service = `${url}/subscriptions/${SUBSCRIPTION}/resourceGroups/shop/providers/Microsoft.Communication/communicationServices/shop`;
  const rest = (method: string, path: string, ...more: string[]) =>
    az('rest', '--method', method, '--url', `${path}?api-version=2023-04-01`, ...more);
  const body = JSON.stringify({ location: 'global', properties: { dataLocation: 'Europe' } });
  assert.equal((await rest('put', service, '--body', body)).properties.provisioningState, 'Succeeded');
  assert.equal((await az('provider', 'show', '-n', 'Microsoft.Communication')).registrationState, 'Registered');
  assert.deepEqual(
    (await az('resource', 'list', '-g', 'shop')).map(({ name }: { name: string }) => name),
    ['shop'],
  );
  const { primaryKey } = await rest('post', `${service}/listKeys`);
  const { accessToken } = (
    await server.asService('POST /identities', { createTokenWithScopes: ['chat'] }, { key: primaryKey })
  ).body;
  assert.equal((await server.asUser(accessToken.token)).status, 200);

  assert.equal(await az('group', 'exists', '-n', 'shop'), true);
  await az('group', 'delete', '-n', 'shop', '--yes');
  assert.equal(await az('group', 'exists', '-n', 'shop'), false);
  assert.equal((await server.asUser(accessToken.token)).status, 401, 'deleting the group ended its tokens');
});

/** Creates and deletes an identity with the user whom az has signed in; says in which resource. */
const PROGRAM = `
import { AzureCliCredential } from '@azure/identity';
import { CommunicationIdentityClient } from '@azure/communication-identity';
const client = new CommunicationIdentityClient(process.argv[1], new AzureCliCredential());
const { user, token } = await client.createUserAndToken(['chat']);
console.log(JSON.stringify({ id: user.communicationUserId, token }));
`;

test('az login --identity signs the managed identity in: for management, and as AzureCliCredential for services', {
  skip: missing,
}, async (t) => {
  const server = await startTestServer(t);
  const address = `http://localhost:${server.port}/msi/token`;
  // The first for az of 2023, the others for later ones.
  const variables = { MSI_ENDPOINT: address, IDENTITY_ENDPOINT: address, IDENTITY_HEADER: PUBLISHED_SECRET };
  const { url, env, az } = await azFor(server, variables);
  const [subscription] = await az('login', '--identity');
  assert.deepEqual([subscription.id, subscription.tenantId], [SUBSCRIPTION, SOMEBODY]);
  assert.deepEqual([subscription.user.type, subscription.user.assignedIdentityInfo], ['servicePrincipal', 'MSI']);

  const groups = `${url}/subscriptions/${SUBSCRIPTION}/resourceGroups?api-version=2021-04-01`;
  assert.equal((await az('rest', '--method', 'get', '--url', groups)).value[0].name, 'dev');
  for (const asked of [
    ['--resource', 'https://communication.azure.com/'],
    ['--scope', 'https://communication.azure.com//.default'],
  ]) {
    const { accessToken, tokenType } = await az('account', 'get-access-token', ...asked);
    assert.equal(tokenType, 'Bearer');
    const created = await withBearer(server, accessToken, `POST /identities?api-version=${API_VERSION}`);
    assert.equal(created.status, 201, created.text);
  }

  const cli = { ...env, NODE_EXTRA_CA_CERTS: server.server.caPath };
  const args = ['--input-type=module', '--eval', PROGRAM, server.server.endpoint];
  const { stdout } = await run(process.execPath, args, { env: cli, timeout: 60_000 });
  const { id, token } = JSON.parse(stdout);
  assert.ok(id.startsWith(`8:acs:${DEV_ID}_`), id);
  assert.equal((await server.asUser(token)).status, 200);
});
