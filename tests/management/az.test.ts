import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { startTestServer } from '../harness/server.ts';

const run = promisify(execFile);
const missing = spawnSync('az', ['--version']).status === 0 ? false : 'the az command line is not installed';

const SUBSCRIPTION = '5e1f0057-0000-4000-8000-000000000001';
const SOMEBODY = '5e1f0057-0000-4000-8000-00000000007e';

test('the real az signs in with the operator key and manages groups and services', { skip: missing }, async (t) => {
  const server = await startTestServer(t);
  const url = server.server.endpoint.slice(0, -1);
  const env = {
    ...process.env,
    AZURE_CONFIG_DIR: join(server.folder, 'az'),
    AZURE_CORE_COLLECT_TELEMETRY: '0',
    REQUESTS_CA_BUNDLE: server.server.caPath,
  };
  const az = async (...args: string[]) => {
    const { stdout } = await run('az', [...args, '--only-show-errors', '--output', 'json'], { env, timeout: 60_000 });
    return stdout.trim() === '' ? undefined : JSON.parse(stdout);
  };
  const endpoints = { 'resource-manager': url, management: url, 'active-directory': `${url}/adfs` };
  const ids = { 'active-directory-resource-id': `${url}/`, 'active-directory-graph-resource-id': `${url}/` };
  const named = Object.entries({ ...endpoints, ...ids }).flatMap(([name, value]) => [`--endpoint-${name}`, value]);
  await az('cloud', 'register', '-n', 'Local', ...named);
  await az('cloud', 'set', '-n', 'Local');

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
