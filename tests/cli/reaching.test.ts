import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { beside, cli, cliBeside } from '../harness/cli.ts';
import { startProduction } from '../harness/production.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

const KEY = 'an-operator-key-for-messages-0123456789';
const CREATE = ['identity', 'user', 'create'];

let server: TestServer;
shareServer((started) => {
  server = started;
});

function givenFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-reaching-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('in another folder than the server, the missing operator.key is named, and LINARITE_DATA', async (t) => {
  const folder = givenFolder(t);
  const { code, stderr } = await cli(CREATE, { env: { LINARITE_DATA: folder } });
  assert.equal(code, 2);
  assert.match(stderr, /^linarite: no connection string: .* set LINARITE_DATA to its data folder \(there is no /);
  assert.ok(stderr.includes(`there is no ${folder}/operator.key)`), stderr);
});

test('a server that keeps nothing writes no operator key, which is said', async () => {
  const { stderr } = await cli(CREATE, { env: { LINARITE_DATA: ':memory:' } });
  assert.match(stderr, /\(a server with LINARITE_DATA=:memory: writes none\)\n$/);
});

test('where nobody listens, the message says what named the address and how to name another', async () => {
  for (const [env, args, source] of [
    [{ LINARITE_PORT: '1' }, [], 'LINARITE_PORT'],
    [{}, ['--endpoint', 'http://localhost:1'], '--endpoint'],
    [
      { AZURE_COMMUNICATION_CONNECTION_STRING: 'endpoint=https://localhost:1/;accesskey=AAAA' },
      [],
      'AZURE_COMMUNICATION_CONNECTION_STRING',
    ],
  ] as const) {
    const { code, stderr } = await cli([...CREATE, ...args], { env: { LINARITE_OPERATOR_KEY: KEY, ...env } });
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^linarite: no server answers at https?:\/\/localhost:1 \(from \S+\): .* set LINARITE_PORT or give --endpoint\n$/,
    );
    assert.ok(stderr.includes(`(from ${source})`), stderr);
  }
});

test('a public name that this machine does not know comes with the address that works here', async () => {
  const env = { LINARITE_OPERATOR_KEY: KEY, LINARITE_PUBLIC_URL: 'https://acs.invalid', LINARITE_PORT: '7001' };
  const { code, stderr } = await cli(['resource', 'list'], { env });
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^linarite: the name acs\.invalid \(from LINARITE_PUBLIC_URL\) cannot be resolved on this machine \(E\w+\): .* --endpoint http:\/\/localhost:7001\n$/,
  );
});

test('HTTPS to a server without a certificate is told on both sides', async (t) => {
  const production = await startProduction(t);
  const { port, folder } = production;
  const { code, stderr } = await cli(['resource', 'list'], {
    env: { LINARITE_DATA: folder, LINARITE_PORT: `${port}` },
  });
  assert.deepEqual(
    [code, stderr],
    [
      1,
      `linarite: the server at https://localhost:${port} (from LINARITE_PORT) does not speak HTTPS: on its own machine use --endpoint http://localhost:${port}\n`,
    ],
  );
  const said = production.server && production.log.lines.filter(({ message }) => message.includes('spoke HTTPS'));
  assert.deepEqual(
    said.map(({ level, message }) => [level, message]),
    [['warn', 'a client spoke HTTPS, but this server has no certificate: see LINARITE_TLS_CERT']],
  );
});

test('identity commands go where --endpoint says, as the operator or by a connection string', async (t) => {
  const elsewhere = await startTestServer(t);
  const endpoint = ['--endpoint', `http://localhost:${elsewhere.port}`];
  const asOperator = await cli([...CREATE, ...endpoint], { env: { LINARITE_DATA: elsewhere.folder } });
  assert.deepEqual([asOperator.code, asOperator.stderr], [0, '']);
  // A name that nobody knows here, as in production; the requests are signed for the address that is used.
  const connect = `endpoint=https://acs.invalid/;accesskey=${elsewhere.key}`;
  const env = { COMMUNICATION_SAMPLES_CONNECTION_STRING: connect };
  const asResource = await cli([...CREATE, ...endpoint], { env });
  assert.deepEqual([asResource.code, asResource.stderr], [0, '']);
  const { code, stderr } = await cliBeside(server, [...CREATE, '--endpoint', 'http://acs.example.org']);
  assert.equal(code, 2);
  assert.match(stderr, /--endpoint has an endpoint with http:\/\//);
});

test('a key that is only sent to its own server is not called missing', async () => {
  const { stderr } = await cli(['resource', 'list', '--endpoint', 'https://acs.invalid'], { env: beside(server) });
  assert.match(stderr, /operator\.key is only sent to this machine and to LINARITE_PUBLIC_URL\)\n$/);
});
