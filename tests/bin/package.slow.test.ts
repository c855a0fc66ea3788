import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { readLock, runtimePaths } from '../../scripts/sbom.ts';
import { VERSION } from '../../src/version.ts';
import { cleanEnvironment } from '../harness/cli.ts';

const ROOT = join(import.meta.dirname, '../..');
const skip = spawnSync('npx', ['--version']).error !== undefined && 'no npx here';

const folder = mkdtempSync(join(tmpdir(), 'linarite-package-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs npm or npx in a folder, without the network, with a Node.js that is new enough first on the path. */
async function run(cwd: string, file: 'npm' | 'npx', ...args: string[]): Promise<string> {
  const env = {
    ...Object.fromEntries(Object.entries(cleanEnvironment()).filter(([name]) => !/^npm_/i.test(name))),
    PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}`,
    npm_config_cache: join(folder, 'cache'),
    npm_config_offline: 'true',
    npm_config_ignore_scripts: 'true',
    npm_config_update_notifier: 'false',
  };
  const { stdout } = await promisify(execFile)(file, args, { cwd, env });
  return stdout;
}

test('npx linarite runs the working tree in the repository', { skip }, async () => {
  assert.equal(await run(ROOT, 'npx', 'linarite', '--version'), `${VERSION}\n`);
  assert.ok(!existsSync(join(ROOT, 'node_modules/.bin/node')), 'the Node.js of runtime/ hides the launcher');
});

describe('the package', { skip }, () => {
  const elsewhere = join(folder, 'elsewhere');
  const installed = join(elsewhere, 'node_modules/linarite');

  before(async () => {
    // Built in a copy, so that no dist/ appears in the repository.
    const copy = join(folder, 'copy');
    for (const path of ['bin', 'src', 'package.json', 'tsconfig.json', 'tsconfig.build.json', 'README.md', 'LICENSE'])
      cpSync(join(ROOT, path), join(copy, path), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    await promisify(execFile)(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: copy });
    await run(copy, 'npm', 'pack', '--pack-destination', folder);

    // What it needs comes from here instead of a registry: each package packed once more and installed as a copy.
    mkdirSync(elsewhere);
    const dependencies: Record<string, string> = { linarite: `file:${join(folder, `linarite-${VERSION}.tgz`)}` };
    const overrides: Record<string, Record<string, string>> = {};
    for (const path of runtimePaths(readLock())) {
      const [outer = '', inner] = path.replace(/^node_modules\//, '').split('/node_modules/');
      if (inner === undefined) dependencies[outer] = `file:${join(ROOT, path)}`;
      else overrides[outer] = { ...overrides[outer], [inner]: `file:${join(ROOT, path)}` };
    }
    writeFileSync(join(elsewhere, 'package.json'), JSON.stringify({ private: true, dependencies, overrides }));
    await run(elsewhere, 'npm', 'install', '--install-links', '--no-audit', '--no-fund');
  });

  test('runs by npx linarite where it was installed', async () => {
    assert.match(await run(elsewhere, 'npx', 'linarite', '--help'), /^Usage: linarite \[options\] \[command\]\n/);
    assert.equal(await run(elsewhere, 'npx', 'linarite', '--version'), `${VERSION}\n`);
    const migrated = await run(elsewhere, 'npx', 'linarite', 'migrate');
    assert.equal(JSON.parse(migrated).store, 'sqlite');
  });

  test('holds what runs and what is read, and no Node.js', () => {
    assert.deepEqual(readdirSync(installed).sort(), ['LICENSE', 'README.md', 'bin', 'dist', 'package.json']);
    const names = readdirSync(join(elsewhere, 'node_modules'));
    assert.ok(!names.some((name) => /^node-/.test(name)), String(names));
  });

  test('says the truth about the Node.js that it needs', () => {
    const { engines } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
    const oldest = /const OLDEST = '([\d.]+)'/.exec(readFileSync(join(installed, 'bin/launch.js'), 'utf8'))?.[1];
    assert.equal(engines.node, `>=${oldest}`);
  });
});
