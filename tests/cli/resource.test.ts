import assert from 'node:assert/strict';
import { test } from 'node:test';
import { beside, cli, cliBeside, cliJson } from '../harness/cli.ts';
import { startProduction } from '../harness/production.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

let server: TestServer;
shareServer((started) => {
  server = started;
});

test('a resource is created, listed, shown and deleted', async () => {
  const wish = ['--name', 'contoso', '--data-location', 'Europe', '--tags', 'stage=test', 'team'];
  const made = await cliJson(server, ['resource', 'create', ...wish]);
  assert.equal(made.name, 'contoso');
  assert.deepEqual(made.tags, { stage: 'test', team: '' });
  assert.equal(made.properties.dataLocation, 'Europe');
  assert.deepEqual(await cliJson(server, ['resource', 'show', '-n', 'contoso', '-g', 'dev']), made);

  const names = (await cliJson(server, ['resource', 'list'])).map(({ name }: { name: string }) => name);
  assert.deepEqual(names.sort(), ['contoso', 'dev']);
  const table = await cliBeside(server, ['resource', 'list', '--resource-group', 'dev', '--output', 'table']);
  assert.match(table.stdout, /^Name +ResourceGroup +Location +DataLocation +ResourceId\n-/);
  assert.match(table.stdout, /^contoso +dev +global +Europe +[0-9a-f-]{36}$/m);

  assert.equal(await cliJson(server, ['resource', 'delete', '--name', 'contoso', '--yes']), undefined);
  const gone = await cliBeside(server, ['resource', 'show', '--name', 'contoso']);
  assert.equal(gone.code, 1);
  assert.match(gone.stderr, /^linarite: ResourceNotFound: .*\n$/);
});

test('a group that is not there is made with the resource', async () => {
  const made = await cliJson(server, [
    'resource',
    'create',
    '-n',
    'fabrikam',
    '-g',
    'fresh',
    '--data-location',
    'Canada',
  ]);
  assert.match(made.id, /\/resourceGroups\/fresh\//);
});

test('key regenerate prints the new key alone, and the tokens of the former one end', async () => {
  const { id, connect } = await givenResource('northwind');
  const issued = await cliJson(server, [
    'identity',
    'token',
    'issue',
    '--scope',
    'chat',
    '--connection-string',
    connect,
  ]);
  const before = await cliJson(server, ['key', 'list', '--name', 'northwind']);
  assert.deepEqual(Object.keys(before).sort(), [
    'primaryConnectionString',
    'primaryKey',
    'secondaryConnectionString',
    'secondaryKey',
  ]);
  const fresh = await cliJson(server, ['key', 'regenerate', '--name', 'northwind', '--key-type', 'Primary', '--yes']);
  assert.deepEqual(Object.keys(fresh).sort(), ['primaryConnectionString', 'primaryKey']);
  assert.notEqual(fresh.primaryKey, before.primaryKey);
  assert.equal((await server.asUser(issued.token)).status, 401);
  assert.match(id, /^[0-9a-f-]{36}$/);
});

test('a resource that is not there cannot be deleted, which is said', async () => {
  const { code, stderr } = await cliBeside(server, ['resource', 'delete', '--name', 'typo', '--yes']);
  assert.equal(code, 1);
  assert.match(stderr, /^linarite: ResourceNotFound: .*typo.*\n$/);
});

test('connection-string prints one bare line that works', async () => {
  const { code, stdout } = await cliBeside(server, ['connection-string', '--key-type', 'secondary']);
  assert.equal(code, 0);
  assert.match(stdout, /^endpoint=https:\/\/localhost:\d+\/;accesskey=[A-Za-z0-9+/]{86}==\n$/);
  const env = { AZURE_COMMUNICATION_CONNECTION_STRING: stdout.trim() };
  assert.match((await cliJson(server, ['identity', 'user', 'create'], { env })).rawId, /^8:acs:/);
});

test('the operator key comes from LINARITE_OPERATOR_KEY, too; a wrong one is refused', async () => {
  const env = { ...beside(server), LINARITE_OPERATOR_KEY: 'not-the-operator-key-of-this-server-at-all' };
  const { code, stderr } = await cli(['resource', 'list'], { env });
  assert.equal(code, 1);
  assert.match(stderr, /^linarite: Denied: .*\(operatorKey\.wrong\)\n$/);
});

test('the operator key of the data folder goes nowhere but to its own server', async () => {
  const { code, stderr } = await cliBeside(server, ['resource', 'list', '--endpoint', 'https://elsewhere.invalid/']);
  assert.equal(code, 1);
  assert.match(stderr, /^linarite: no operator key: set LINARITE_OPERATOR_KEY/);
});

test('it looks after a server in production mode', async (t) => {
  const production = await startProduction(t);
  const endpoint = ['--endpoint', `http://127.0.0.1:${production.server.port}`]; // no TLS there: a proxy ends it in front
  const env = { LINARITE_DATA: production.folder };
  const made = await cli(['resource', 'create', '-n', 'shop', '--data-location', 'Europe', ...endpoint], { env });
  assert.deepEqual([made.code, made.stderr], [0, '']);
  const { stdout } = await cli(['connection-string', '-n', 'shop', ...endpoint], { env });
  assert.match(stdout, /^endpoint=https:\/\/acs\.example\.org\/;accesskey=/);
});

async function givenResource(name: string): Promise<{ id: string; connect: string }> {
  const { properties } = await cliJson(server, ['resource', 'create', '--name', name, '--data-location', 'Europe']);
  const { stdout } = await cliBeside(server, ['connection-string', '--name', name]);
  return { id: properties.immutableResourceId, connect: stdout.trim() };
}
