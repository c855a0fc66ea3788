import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { cleanEnvironment, cli } from '../harness/cli.ts';
import { givenSmallDisk, whyNoSmallDisk } from '../harness/durability/failing-disk.ts';
import { freshDatabase, POSTGRES_URL } from '../harness/postgres.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');

function givenFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-serve-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts the server as a person does. @returns what it printed until it was ready */
async function started(t: TestContext, args: readonly string[], env: Record<string, string>): Promise<string> {
  const child: ChildProcess = spawn(process.execPath, [MAIN, ...args], {
    env: cleanEnvironment(env),
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.after(async () => {
    child.kill();
    if (child.exitCode === null) await once(child, 'exit');
  });
  const ended = once(child, 'exit').then(([code]) => assert.fail(`the server ended with ${code}`));
  ended.catch(() => undefined); // it does when the test is over
  const [block] = await Promise.race([once(child.stdout?.setEncoding('utf8') ?? child, 'data'), ended]);
  return block;
}

const found = (block: string, pattern: RegExp): string => pattern.exec(block)?.[1] ?? assert.fail(block);

test('serve takes the port and the data folder as options', async (t) => {
  const folder = givenFolder(t);
  const block = await started(t, ['serve', '--port', '0', '--data', folder], { LINARITE_PORT: '1' });
  assert.notEqual(found(block, /^Endpoint: https:\/\/localhost:(\d+)\/$/m), '1');
  assert.ok(existsSync(join(folder, 'operator.key')));
});

test('what a program signs in with is printed so that a shell takes it', {
  skip: process.platform === 'win32',
}, async (t) => {
  const block = await started(t, [], { LINARITE_PORT: '0', LINARITE_DATA: givenFolder(t) });
  const port = found(block, /^Endpoint: https:\/\/localhost:(\d+)\/$/m);
  const script = [found(block, /^Managed identity: (.+)$/m), found(block, /^Service principal: (.+)$/m), 'env'].join(
    '\n',
  );
  const seen = execFileSync('sh', ['-c', script], { env: { PATH: process.env.PATH }, encoding: 'utf8' }).split('\n');
  for (const line of [
    `IDENTITY_ENDPOINT=http://localhost:${port}/msi/token`,
    'IDENTITY_HEADER=published-secret-of-the-development-issuer',
    `AZURE_AUTHORITY_HOST=https://localhost:${port}`,
    'AZURE_TENANT_ID=adfs',
    'AZURE_CLIENT_SECRET=published-secret-of-the-development-issuer',
  ])
    assert.ok(seen.includes(line), line);
});

test('production mode prints where it listens and a next command that works', async (t) => {
  const env = {
    LINARITE_MODE: 'production',
    LINARITE_DATA: givenFolder(t),
    LINARITE_PORT: '0',
    LINARITE_PUBLIC_URL: 'https://acs.invalid',
    LINARITE_KEK: randomBytes(32).toString('base64'),
  };
  const block = await started(t, [], env);
  const port = found(block, /^Listening on: http:\/\/127\.0\.0\.1:(\d+)/m);
  assert.match(block, /^Endpoint: https:\/\/acs\.invalid\/$/m);
  const command = found(block, /^Next, in a shell with the same settings: linarite (.+)$/m);
  assert.ok(command.endsWith(` --endpoint http://localhost:${port}`), command);
  const { code, stderr } = await cli(command.replace('<name>', 'shop').split(' '), { env });
  assert.deepEqual([code, stderr], [0, '']);
});

test('a database on a read-only disk is named, with what is the matter', { skip: whyNoSmallDisk() }, async (t) => {
  const { folder } = givenSmallDisk(t, 8);
  const env = { LINARITE_DATA: folder, LINARITE_PORT: '0' };
  assert.equal((await cli(['migrate'], { env })).code, 0);
  execFileSync('mount', ['-o', 'remount,ro', folder]);
  for (const args of [['serve'], ['migrate']]) {
    const { code, stderr } = await cli(args, { env });
    const file = join(folder, 'linarite.db');
    assert.deepEqual([code, stderr], [1, `linarite: ${file} cannot be opened: ${folder} is on a read-only disk\n`]);
  }
});

test('a PostgreSQL that is not there is named by host and port', async () => {
  for (const [url, place] of [
    ['postgres://me:hunter2@127.0.0.1:1/db', '127.0.0.1 port 1'],
    ['postgres://me:hunter2@db.invalid/db', 'db.invalid port 5432'],
  ] as const) {
    const { code, stderr } = await cli(['migrate'], { env: { LINARITE_DATABASE_URL: url } });
    assert.equal(code, 1);
    assert.match(stderr, /^linarite: PostgreSQL at .+ cannot be reached \(E\w+\): check LINARITE_DATABASE_URL\n$/);
    assert.ok(stderr.includes(`PostgreSQL at ${place} `), stderr);
    assert.ok(!stderr.includes('hunter2'));
  }
});

test('what PostgreSQL refuses is said in its own words', {
  skip: POSTGRES_URL === undefined && 'no PostgreSQL',
}, async (t) => {
  const url = new URL(await freshDatabase(t));
  url.pathname = '/no_such_database';
  const { code, stderr } = await cli(['migrate'], { env: { LINARITE_DATABASE_URL: url.href } });
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^linarite: PostgreSQL at \S+ port \d+ refuses the connection: database "no_such_database" does not exist: check /,
  );
});
