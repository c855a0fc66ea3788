import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SHELL_NAMES, SHELLS } from '../../src/lib/shells.ts';
import { cli, cliBeside, cliJson, run } from '../harness/cli.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

const posix = { skip: process.platform === 'win32' && 'no POSIX shell' };
const FISH = ['/usr/bin/fish', '/usr/local/bin/fish'].find(existsSync);

let server: TestServer;
shareServer((started) => {
  server = started;
});

/** Values with everything in them that a shell could act on. */
const HARD = ['', 'plain', `a b`, `o'neil "x" \\`, '$HOME `id` $(id) !! %PATH%', 'ü;&|<>*?#~\n', '~', '-n', "\\\\'"];

for (const [name, command] of [
  ['posix', ['sh', '-c']],
  ['fish', [FISH ?? 'fish', '--no-config', '-c']],
] as const) {
  const skip = name === 'fish' ? { skip: FISH === undefined && 'no fish here' } : posix;
  test(`any value arrives in a program that ${name} starts`, skip, () => {
    const [shell, ...flags] = command;
    for (const value of HARD) {
      const script = `${SHELLS[name].set({ FIRST: 'x', SECOND: value })}\n'${process.execPath}' -e 'process.stdout.write(JSON.stringify([process.env.FIRST, process.env.SECOND]))'`;
      const seen = execFileSync(shell, [...flags, script], { encoding: 'utf8' });
      assert.deepEqual(JSON.parse(seen), ['x', value]);
    }
  });
}

describe('env', () => {
  const folder = mkdtempSync(join(tmpdir(), `linarite o'neil $HOME `));
  before(() => cpSync(server.folder, folder, { recursive: true })); // the operator's key and the authority, at a hard path
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** What a shell has in its environment after it took the lines. */
  async function seenBy(args: readonly string[]): Promise<Record<string, string>> {
    const { code, stdout, stderr } = await cliBeside(server, ['env', ...args], { env: { LINARITE_DATA: folder } });
    assert.deepEqual([code, stderr], [0, '']);
    const script = `eval "$LINES"\n'${process.execPath}' -e 'console.log(JSON.stringify(process.env))'`;
    const ran = spawnSync('sh', ['-c', script], { env: { PATH: process.env.PATH, LINES: stdout }, encoding: 'utf8' });
    assert.equal(ran.stderr, '');
    return JSON.parse(ran.stdout);
  }

  test('sets what the SDKs, the quickstarts and az read, and the trust of Node.js', posix, async () => {
    const env = await seenBy([]);
    for (const name of ['AZURE_COMMUNICATION', 'COMMUNICATION_SERVICES', 'COMMUNICATION_SAMPLES'])
      assert.equal(env[`${name}_CONNECTION_STRING`], server.connectionString);
    assert.equal(env.AZURE_COMMUNICATION_ENDPOINT, `https://localhost:${server.port}`);
    assert.equal(env.NODE_EXTRA_CA_CERTS, join(folder, 'ca.pem'));
    assert.equal(env.REQUESTS_CA_BUNDLE, undefined);
    const program =
      'fetch(process.env.AZURE_COMMUNICATION_ENDPOINT + "/-/health/live").then(({ status }) => console.log(status))';
    const { stdout } = await run(process.execPath, ['-e', program], { env });
    assert.equal(stdout, '200\n');
  });

  test('sets what makes another client trust, when it is named', posix, async () => {
    const env = await seenBy(['--client', 'python']);
    assert.deepEqual(
      [env.REQUESTS_CA_BUNDLE, env.SSL_CERT_FILE, env.NODE_EXTRA_CA_CERTS],
      [join(folder, 'ca.pem'), join(folder, 'ca.pem'), undefined],
    );
  });

  test('names another resource, and writes for other shells', async () => {
    await cliJson(server, ['resource', 'create', '--name', 'enviable', '--data-location', 'Europe']);
    const bare = (await cliBeside(server, ['connection-string', '--name', 'enviable'])).stdout.trim();
    for (const name of SHELL_NAMES) {
      const { stdout } = await cliBeside(server, ['env', '--name', 'enviable', '--shell', name]);
      const line = SHELLS[name].set({ COMMUNICATION_SERVICES_CONNECTION_STRING: bare });
      assert.ok(stdout.split('\n').includes(line), stdout);
    }
  });

  test('prints nothing that a shell could take when it fails', async () => {
    const { code, stdout } = await cliBeside(server, ['env', '--name', 'typo']);
    assert.deepEqual([code, stdout], [1, '']);
  });
});

test('the connection string of the quickstarts is taken, too', async () => {
  const env = { COMMUNICATION_SERVICES_CONNECTION_STRING: server.connectionString, NODE_EXTRA_CA_CERTS: '' };
  const made = await cli(['identity', 'user', 'create', '--ca', join(server.folder, 'ca.pem')], { env });
  assert.deepEqual([made.code, made.stderr], [0, '']);
});
