import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { cli, cliBeside, cliJson } from '../harness/cli.ts';
import { accessKeyOf, unusedId } from '../harness/resources.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

const ID = /^8:acs:5e1f0057-ed00-4acc-8000-000000007417_[0-9a-f-]{36}$/;
const SEVEN_DIGITS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00$/;

let server: TestServer;
shareServer((started) => {
  server = started;
});

const statusOf = async (token: string): Promise<number> => (await server.asUser(token)).status;

test("user create prints az's JSON, and the user is there", async () => {
  const made = await cliJson(server, ['identity', 'user', 'create']);
  assert.match(made.rawId, ID);
  assert.deepEqual(made, { properties: { id: made.rawId }, rawId: made.rawId });
  assert.equal((await server.asService(`GET /identities/${encodeURIComponent(made.rawId)}`)).status, 200);
});

test('user create with a custom id gives the same user again', async () => {
  const one = await cliJson(server, ['identity', 'user', 'create', '--custom-id', 'anna']);
  const other = await cliJson(server, ['identity', 'user', 'create', '--custom-id', 'anna']);
  assert.equal(other.rawId, one.rawId);
  const shown = await cliJson(server, ['identity', 'user', 'show', '--custom-id', 'anna']);
  assert.deepEqual([shown.id, shown.customId], [one.rawId, 'anna']);
});

test("token issue prints az's JSON; several scopes follow one --scope", async () => {
  const issued = await cliJson(server, ['identity', 'token', 'issue', '--scope', 'chat', 'voip']);
  assert.deepEqual(Object.keys(issued), ['expires_on', 'token', 'user_id']);
  assert.match(issued.user_id, ID);
  assert.match(issued.expires_on, SEVEN_DIGITS);
  assert.deepEqual((await server.asUser(issued.token)).body.scopes, ['chat', 'voip']);
});

test('token issue for a user, with a lifetime; token revoke ends it', async () => {
  const id = await server.givenIdentity();
  const life = ['--minutes', '60'];
  const issued = await cliJson(server, ['identity', 'token', 'issue', '--user', id, '--scope', 'chat.join', ...life]);
  assert.equal(issued.user_id, id);
  assert.ok(Math.abs(Date.parse(issued.expires_on) - Date.now() - 3_600_000) < 60_000, issued.expires_on);
  assert.equal(await statusOf(issued.token), 200);
  assert.equal(await cliJson(server, ['identity', 'token', 'revoke', '--user', id, '--yes']), undefined);
  assert.equal(await statusOf(issued.token), 401);
});

test('user delete ends the user and the tokens', async () => {
  const id = await server.givenIdentity();
  const token = await server.givenToken(id);
  assert.equal(await cliJson(server, ['identity', 'user', 'delete', '--user', id, '--yes']), undefined);
  assert.equal(await statusOf(token), 401);
  const { code, stdout, stderr } = await cliBeside(server, ['identity', 'user', 'show', '--user', id]);
  assert.deepEqual([code, stdout], [1, '']);
  assert.equal(stderr, 'linarite: IdentityNotFound: Provided identity does not exist. (IdentityNotFound)\n');
});

test('user list goes page by page; a table says how to go on', async () => {
  for (let made = 0; made < 3; made += 1) await server.givenIdentity();
  const first = await cliJson(server, ['identity', 'user', 'list', '--max-items', '2']);
  assert.deepEqual([first.value.length, first.continuation], [2, first.value[1].id]);
  const rest = await cliJson(server, ['identity', 'user', 'list', '--continuation', first.continuation]);
  assert.ok(rest.value.every(({ id }: { id: string }) => id > first.continuation));
  assert.equal(rest.continuation, undefined);

  const { stdout, stderr } = await cliBeside(server, ['identity', 'user', 'list', '--max-items', '2', '-o', 'table']);
  const [head, rule, ...rows] = stdout.trimEnd().split('\n');
  assert.match(head ?? '', /^Id +CustomId +CreatedAt +LastTokenIssuedAt$/);
  assert.match(rule ?? '', /^-+ {2}-+ {2}-+ {2}-+$/);
  assert.deepEqual(
    rows.map((row) => row.split(' ')[0]),
    first.value.map(({ id }: { id: string }) => id),
  );
  assert.equal(stderr, `More: --continuation ${first.continuation}\n`);
});

test("a refusal is one line with the server's code and message, and exit code 1", async () => {
  const { code, stdout, stderr } = await cliBeside(server, [
    'identity',
    'token',
    'revoke',
    '--user',
    unusedId(),
    '--yes',
  ]);
  assert.deepEqual([code, stdout], [1, '']);
  assert.match(stderr, /^linarite: IdentityNotFound: .*\n$/);
  const wrong = `endpoint=https://localhost:${server.server.port}/;accesskey=${Buffer.alloc(64).toString('base64')}`;
  const refused = await cliBeside(server, ['identity', 'user', 'create', '--connection-string', wrong]);
  assert.equal(refused.code, 1);
  assert.equal(refused.stderr, 'linarite: Denied: Denied by the resource provider. (signature.key)\n');
});

test('the option goes before AZURE_COMMUNICATION_CONNECTION_STRING, that before the samples’ variable', async () => {
  const good = `endpoint=https://localhost:${server.server.port}/;accesskey=${accessKeyOf(server, 'secondary')}`;
  const bad = good.replace(/accesskey=.*/, `accesskey=${Buffer.alloc(64).toString('base64')}`);
  const code = async (args: string[], env: Record<string, string>) =>
    (await cliBeside(server, ['identity', 'user', 'create', ...args], { env })).code;
  const [azure, samples] = ['AZURE_COMMUNICATION_CONNECTION_STRING', 'COMMUNICATION_SAMPLES_CONNECTION_STRING'];
  assert.deepEqual(
    await Promise.all([
      code([], { [samples]: good }),
      code([], { [azure]: good, [samples]: bad }),
      code([], { [azure]: bad, [samples]: good }),
      code(['--connection-string', good], { [azure]: bad }),
    ]),
    [0, 0, 1, 0],
  );
});

describe('a connection string that no list of processes shows', () => {
  const good = () => `endpoint=https://localhost:${server.server.port}/;accesskey=${server.key}\n`;
  const create = (file: string, more: { input?: string; args?: string[] } = {}) =>
    cliBeside(server, ['identity', 'user', 'create', '--connection-string-file', file, ...(more.args ?? [])], {
      ...more,
      // What is named by an option goes before it.
      env: { AZURE_COMMUNICATION_CONNECTION_STRING: 'endpoint=https://localhost:1/;accesskey=AAAA' },
    });
  const fileWith = (t: TestContext, text: string, mode = 0o600): string => {
    const folder = mkdtempSync(join(tmpdir(), 'linarite-test-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    writeFileSync(join(folder, 'connection'), text);
    chmodSync(join(folder, 'connection'), mode); // whatever the umask
    return join(folder, 'connection');
  };

  test('is read from a file and from standard input', async (t) => {
    for (const { code, stdout, stderr } of [await create(fileWith(t, good())), await create('-', { input: good() })]) {
      assert.deepEqual([code, stderr], [0, '']);
      assert.match(JSON.parse(stdout).rawId, /^8:acs:/);
    }
  });

  test('is refused in one line that does not show it', async (t) => {
    const WRONG: [file: string, more: { input?: string; args?: string[] }, complaint: RegExp][] = [
      ['/nonexistent', {}, /--connection-string-file names a file that cannot be read: \/nonexistent$/],
      ['-', { input: '' }, /--connection-string-file has no accesskey in base64$/],
      [fileWith(t, 'accesskey=AAAA'), {}, /--connection-string-file has no endpoint such as/],
      [
        '-',
        { args: ['--connection-string', good().trim()] },
        /cannot be used with option '--connection-string <text>'/,
      ],
    ];
    if (process.platform !== 'win32')
      WRONG.push([
        fileWith(t, good(), 0o640),
        {},
        /--connection-string-file names a file that others can read: chmod 600/,
      ]);
    for (const [file, more, complaint] of WRONG) {
      const { code, stdout, stderr } = await create(file, more);
      assert.deepEqual([code, stdout], [2, '']);
      assert.match(stderr.trimEnd(), complaint);
      assert.ok(stderr.startsWith('linarite: ') && stderr.split('\n').length === 2 && !stderr.includes(server.key));
    }
  });
});

test('elsewhere, without the data folder, it takes a connection string and --ca', async () => {
  const env = {
    LINARITE_DATA: '/nonexistent/linarite',
    AZURE_COMMUNICATION_CONNECTION_STRING: `Endpoint=https://localhost:${server.server.port}/;AccessKey=${server.key}`,
  };
  const distrusted = await cli(['identity', 'user', 'create'], { env });
  assert.equal(distrusted.code, 1);
  assert.match(
    distrusted.stderr,
    /^linarite: the certificate of localhost is not trusted \(\w+\): give its certificate authority with --ca\n$/,
  );
  const { code, stderr } = await cli(['identity', 'user', 'create', '--ca', server.server.caPath ?? ''], { env });
  assert.deepEqual([code, stderr], [0, '']);
});
