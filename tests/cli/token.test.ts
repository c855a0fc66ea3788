import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cli, cliBeside, cliJson } from '../harness/cli.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

let server: TestServer;
let token: string;
let ended: string;
shareServer(async (started) => {
  server = started;
  token = await server.givenToken(await server.givenIdentity(), ['chat.join.limited', 'voip.join']);
  const id = await server.givenIdentity();
  ended = await server.givenToken(id);
  await server.asService(`POST /identities/${encodeURIComponent(id)}/:revokeAccessTokens`);
});

const ours = () => `endpoint=http://127.0.0.1:${server.server.port}/;accesskey=${server.key}`;

test('introspect says that a token holds, and to the operator why one does not', async () => {
  const holds = await cliJson(server, ['identity', 'token', 'introspect', '--token', token]);
  assert.deepEqual([holds.active, holds.scope], [true, 'chat.join.limited voip.join']);
  const dead = await cliJson(server, ['identity', 'token', 'introspect', '--token', '-'], { input: `${ended}\n` });
  assert.equal(dead.active, false);
  assert.match(dead.inactive_reason, /^revoked\.identity; event \d+/);
});

test('introspect as a resource tells no reason', async () => {
  const args = ['identity', 'token', 'introspect', '--connection-string', ours(), '--token', ended];
  assert.deepEqual(await cliJson(server, args), { active: false });
});

test('a connection string from standard input asks as that resource, and leaves no room for the token there', async () => {
  const given = ['--connection-string-file', '-'];
  for (const [command, asked] of [
    ['introspect', { active: true }],
    ['explain', { active: true, asked: 'resource' }],
  ] as const) {
    const args = ['identity', 'token', command, ...given];
    const answer = await cliJson(server, [...args, '--token', token], { input: ours() });
    const said = command === 'explain' ? answer.server : { active: answer.active };
    assert.deepEqual(said, asked);
    const { code, stderr } = await cliBeside(server, [...args, '--token', '-'], { input: ours() });
    assert.equal(code, 2);
    assert.match(stderr, /^linarite: --token and --connection-string-file cannot both be read from standard input\n$/);
  }
});

test('explain shows header, claims, what the scopes permit and why the token is refused', async () => {
  const explained = await cliJson(server, ['identity', 'token', 'explain', '--token', ended]);
  assert.equal(explained.header.alg, 'RS256');
  assert.equal(explained.claims.acsScope, 'chat,voip');
  assert.ok(explained.permits.chat.includes('chat.thread.create'));
  assert.ok(explained.permits.voip.includes('call.controlInRoom (by role)'));
  assert.equal(explained.expired, false);
  assert.deepEqual([explained.server.active, explained.server.asked], [false, 'operator']);
  assert.match(explained.server.reason, /^revoked\.identity; /);
});

test('explain never prints the signature', async () => {
  const signature = token.split('.')[2] ?? '?';
  const runs = await Promise.all(
    [
      ['-o', 'json'],
      ['-o', 'table'],
    ].map((format) => cliBeside(server, ['identity', 'token', 'explain', '--token', token, ...format])),
  );
  for (const { code, stdout, stderr } of runs) {
    assert.equal(code, 0);
    assert.ok(!(stdout + stderr).includes(signature.slice(0, 20)));
    assert.match(stdout, /chat\.message\.read/);
  }
});

test('explain does without a server, and says so', async () => {
  const { code, stdout } = await cli(['identity', 'token', 'explain', '--token', token], {
    env: { LINARITE_DATA: '/nonexistent/linarite' },
  });
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(stdout).server, {
    active: null,
    asked: 'nobody',
    problem: 'neither an operator key nor a connection string',
  });
});

test('explain asks the server that the connection string names, and not another one with the operator key', async () => {
  const explained = await cliJson(server, ['identity', 'token', 'explain', '--token', token], {
    env: { AZURE_COMMUNICATION_CONNECTION_STRING: ours() }, // http://127.0.0.1 is not the operator's https://localhost
  });
  assert.deepEqual(explained.server, { active: true, asked: 'resource' });
});

for (const text of ['', 'abc', 'a.b.c', 'eyJ9.eyJ9', 'e30.e30']) {
  test(`explain refuses what is no token: ${JSON.stringify(text)}`, async () => {
    const { code, stdout, stderr } = await cliBeside(server, ['identity', 'token', 'explain', '--token', text]);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^linarite: not a token: .*\n$/);
  });
}
