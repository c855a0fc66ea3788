import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { cli, cliBeside, cliJson } from '../harness/cli.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

let server: TestServer;
shareServer((started) => {
  server = started;
});
const folder = mkdtempSync(join(tmpdir(), 'linarite-import-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(text: string, mode = 0o600): string {
  const path = join(folder, randomUUID());
  writeFileSync(path, text, { mode });
  chmodSync(path, mode);
  return path;
}

const key = (): string => randomBytes(64).toString('base64');
const create = (id: string, name: string): string[] => [
  ...['resource', 'create', '--name', name, '--data-location', 'Europe', '--resource-id', id],
];

describe('resource create --resource-id', () => {
  test('takes the GUID and the keys from files, and finds its work done the second time', async () => {
    const [id, primary, secondary] = [randomUUID(), key(), key()];
    const files = ['--primary-key-file', file(`${primary}\n`), '--secondary-key-file', file(secondary)];
    const made = await cliJson(server, [...create(id, 'contoso'), '-g', 'moved', ...files]);
    assert.equal(made.properties.immutableResourceId, id);
    const keys = await cliJson(server, ['key', 'list', '--name', 'contoso', '-g', 'moved']);
    assert.deepEqual([keys.primaryKey, keys.secondaryKey], [primary, secondary]);
    assert.deepEqual(await cliJson(server, [...create(id, 'contoso'), '-g', 'moved', ...files]), made);
  });

  test('takes keys from standard input, a line each', async () => {
    const [id, primary, secondary] = [randomUUID(), key(), key()];
    const both = ['--primary-key-file', '-', '--secondary-key-file', '-'];
    await cliJson(server, [...create(id, 'piped'), ...both], { input: `${primary}\r\n${secondary}\n` });
    const keys = await cliJson(server, ['key', 'list', '--name', 'piped']);
    assert.deepEqual([keys.primaryKey, keys.secondaryKey], [primary, secondary]);

    const second = await cliBeside(server, [...create(randomUUID(), 'one'), ...both], { input: key() });
    assert.deepEqual([second.code, second.stdout], [2, '']);
    assert.equal(second.stderr, 'linarite: --secondary-key-file: there is no key in standard input\n');
    const much = await cliBeside(server, [...create(randomUUID(), 'one'), ...both], { input: 'x\n'.repeat(5000) });
    assert.deepEqual([much.code, much.stderr], [2, 'linarite: standard input has more than two keys\n']);
  });

  test('takes no key as an argument, says why, and repeats none', async () => {
    const secret = key();
    for (const option of ['--primary-key', '--secondary-key']) {
      const { code, stdout, stderr } = await cliBeside(server, [...create(randomUUID(), 'plain'), option, secret]);
      assert.deepEqual([code, stdout], [2, '']);
      assert.match(stderr, /^linarite: a key cannot be an argument, because the list of processes .*\n$/);
      assert.ok(stderr.includes(`${option}-file <file>`) && !stderr.includes(secret));
    }
    const { code, stderr } = await cliBeside(server, [...create(randomUUID(), 'plain'), '--primary-key-file', secret]);
    assert.deepEqual([code, stderr], [2, 'linarite: --primary-key-file names a file that does not exist\n']);
  });

  test('takes no file that others can read, and no keys without the id', {
    skip: process.platform === 'win32',
  }, async () => {
    const open = ['--primary-key-file', file(key(), 0o644)];
    const others = await cliBeside(server, [...create(randomUUID(), 'open'), ...open]);
    assert.equal(others.code, 2);
    assert.match(others.stderr, /^linarite: --primary-key-file names a file that others can read: chmod 600 /);
    const alone = ['resource', 'create', '--name', 'x', '--data-location', 'Europe', '--primary-key-file', file(key())];
    const { code, stderr } = await cliBeside(server, alone);
    assert.equal(code, 2);
    assert.match(stderr, /add --resource-id\n$/);
  });
});

describe('identity import', () => {
  const into = async (name: string): Promise<(suffix: string) => string> => {
    const id = randomUUID();
    await cliJson(server, create(id, name));
    return (suffix) => `8:acs:${id}_${suffix}`;
  };

  test('takes ids, CSV and JSON, from a file or standard input, again and again', async () => {
    const id = await into('formats');
    const run = (input: string) => cliJson(server, ['identity', 'import', '-', '--name', 'formats'], { input });
    assert.deepEqual(await run(`${id('1')}\r\n\n${id('2')}`), {
      lines: 2,
      imported: 2,
      unchanged: 0,
      refused: 0,
      refusals: [],
    });
    const csv = `created_at,other,ID,Custom_Id\n2021-01-02T03:04:05Z,x,${id('3')},"says ""hi"", twice"\n,,${id('4')},\n`;
    assert.equal((await run(csv)).imported, 2);
    const json = [{ id: id('5'), customId: 7, createdAt: null, x: {} }, { id: id('1') }].map((one) =>
      JSON.stringify(one),
    );
    const path = file(`\ufeff${json.join('\n')}\n`);
    const done = await cliJson(server, ['identity', 'import', path, '-n', 'formats']);
    assert.deepEqual([done.imported, done.unchanged], [1, 1]);

    const { stdout } = await cliBeside(server, ['connection-string', '--name', 'formats']);
    const env = { AZURE_COMMUNICATION_CONNECTION_STRING: stdout.trim() };
    const { value } = await cliJson(server, ['identity', 'user', 'list'], { env });
    assert.deepEqual(
      value.map((entry: { id: string; customId?: string }) => [entry.id, entry.customId]),
      [
        [id('1'), undefined],
        [id('2'), undefined],
        [id('3'), 'says "hi", twice'],
        [id('4'), undefined],
        [id('5'), '7'],
      ],
    );
    assert.equal(value[2].createdAt, '2021-01-02T03:04:05+00:00');
    const again = value.map((entry: object) => JSON.stringify(entry)).join('\n');
    assert.equal((await run(again)).unchanged, 5, 'what the directory lists can be imported');
  });

  test('goes on after lines that are refused, tells of each in the report, and fails in the end', async () => {
    const id = await into('refusals');
    const lines = [
      'id,customId',
      `${id('1')},anna`,
      `${id('2')},anna`,
      'nonsense',
      ...Array.from({ length: 1500 }, (_, index) => id(`more-${index}`)),
      `${id('3')},"open`,
      `${id('3')},a,b`,
      `8:acs:${randomUUID()}_1`,
      `{"id":7`,
      `{"id":${JSON.stringify(id('4'))},"customId":["x"]}`,
      ',nobody',
      'x'.repeat(20_000),
      id('5'),
    ];
    const report = join(folder, 'report.ndjson');
    const args = ['identity', 'import', file(lines.join('\n')), '--name', 'refusals'];
    const { code, stdout, stderr } = await cliBeside(server, [...args, '--report', report]);
    const { refusals, ...counts } = JSON.parse(stdout);
    assert.deepEqual(counts, { lines: 1511, imported: 1502, unchanged: 0, refused: 9 });
    assert.deepEqual([code, stderr], [1, `linarite: 9 of 1511 lines were refused: see ${report}\n`]);
    const told = readFileSync(report, 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line)); // biome-ignore format: one line
    assert.deepEqual(
      told.map(({ line, reason }) => [line, reason]),
      [
        [3, 'Another identity has that customId.'],
        [4, 'Provided identity id has invalid format.'],
        [1505, 'The line is not CSV: a quotation mark is not closed.'],
        [1506, 'The line has more than 2 fields.'],
        [1507, "Provided identity doesn't belong to the resource."],
        [1508, 'The line is not JSON.'],
        [1509, 'id, customId and createdAt must be text.'],
        [1510, 'The line has no id.'],
        [1511, 'The line is longer than 8192 characters.'],
      ],
    );
    assert.equal(told[0].id, id('2'));
    assert.deepEqual(refusals[0], { reason: 'Another identity has that customId.', count: 1, lines: [3] });

    const other = await cliBeside(server, args);
    assert.equal(other.code, 1);
    assert.match(
      other.stderr,
      /^linarite: 9 of 1511 lines were refused: line 3: .* Add --report <file> for all of them\n$/,
    );
    const kept = await cliBeside(server, [...args, '--report', report]);
    assert.deepEqual([kept.code, kept.stdout], [2, '']);
    assert.match(kept.stderr, /report\.ndjson cannot be created \(EEXIST\): --report takes a new file\n$/);
  });

  test('asks a server again that is overloaded or was away for a moment, and gives up on other answers', async (t) => {
    const answers: ('away' | (() => [number, object]))[] = [];
    const lists: string[][] = [];
    const stub = createServer(async (request, response) => {
      const text = Buffer.concat(await request.toArray()).toString();
      if (request.method === 'GET') return response.end('{"properties":{"immutableResourceId":"x"}}');
      lists.push(JSON.parse(text).identities.map(({ id }: { id: string }) => id));
      const answer = answers.shift() ?? 'away';
      if (answer === 'away') return request.socket.destroy();
      const [status, body] = answer();
      return response.writeHead(status).end(JSON.stringify(body));
    });
    t.after(() => stub.close());
    await once(stub.listen(0, '127.0.0.1'), 'listening');
    const { port } = stub.address() as AddressInfo;
    const run = (input: string) =>
      cli(['identity', 'import', '-', '--name', 'x', '--endpoint', `http://127.0.0.1:${port}`, '-o', 'table'], {
        env: { LINARITE_OPERATOR_KEY: 'x'.repeat(40) },
        input,
      });
    const done = (): [number, object] => [200, { imported: 2, unchanged: 0, refused: [] }];
    answers.push(() => [503, { error: { code: 'ServiceUnavailable', message: 'Try again.' } }], 'away', done);
    const again = await run('a\nb\n');
    const list = ['a', 'b'];
    assert.deepEqual([again.code, again.stderr, lists], [0, '', [list, list, list]]);
    assert.match(again.stdout, /^Lines +Imported.*\n-.*\n2 +2 +0 +0\n$/);

    answers.push(done, () => [
      500,
      { error: { code: 'InternalError', message: 'The server met an unexpected condition.' } },
    ]);
    const thousand = 'a\n'.repeat(1000);
    const failed = await run(`${thousand}b\n`);
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /^linarite: InternalError: .*; 1?0*0 lines are done: run the command again, .*\n$/);
  });

  test('says what cannot be begun', async () => {
    const missing = await cliBeside(server, ['identity', 'import', '/nonexistent', '--name', 'dev']);
    assert.deepEqual([missing.code, missing.stderr], [2, 'linarite: /nonexistent cannot be read (ENOENT)\n']);
    const nobody = await cliBeside(server, ['identity', 'import', '-', '--name', 'nobody'], { input: 'x' });
    assert.equal(nobody.code, 1);
    assert.match(nobody.stderr, /^linarite: ResourceNotFound: /);
    const columns = await cliBeside(server, ['identity', 'import', '-', '--name', 'dev'], { input: 'user,acs\n1,2\n' });
    assert.equal(columns.code, 2);
    assert.match(columns.stderr, /^linarite: the first line has no column 'id': /);
    const empty = await cliJson(server, ['identity', 'import', '-', '--name', 'dev'], { input: '' });
    assert.deepEqual([empty.lines, empty.imported], [0, 0]);
  });
});
