import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { cleanEnvironment } from '../harness/cli.ts';
import { startTestServer } from '../harness/server.ts';

const ROOT = join(import.meta.dirname, '../..');

/** The lines for a shell below a heading of the README, as one script. */
function shellLines(heading: string): string {
  const section = readFileSync(join(ROOT, 'README.md'), 'utf8')
    .split(/^## /m)
    .find((text) => text.startsWith(heading));
  return [...(section ?? '').matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, lines]) => lines).join('');
}

/** Of what the lines need from elsewhere, the packages are here already. */
function offline(script: string): string {
  const install = 'npm install @azure/communication-identity';
  assert.ok(script.includes(install), script);
  return script.replace(install, `ln -s '${join(ROOT, 'node_modules')}' node_modules`);
}

const missing = ['bash', 'npm', 'curl'].find((program) => spawnSync(program, ['--version']).error);

test('the first token of the README is printed, holds, is revoked and holds no more', {
  skip: (process.platform === 'win32' && 'no POSIX shell') || (missing !== undefined && `no ${missing} here`),
}, async (t: TestContext) => {
  const server = await startTestServer(t);
  const parent = mkdtempSync(join(tmpdir(), 'linarite-readme-'));
  t.after(() => rmSync(parent, { recursive: true, force: true }));
  mkdirSync(join(parent, 'first-token'));
  const script = offline(shellLines('The first token')).replace(
    'mkdir ../first-token && cd ../first-token',
    'cd "$FOLDER"',
  );
  const env = cleanEnvironment({
    LINARITE_DATA: server.folder,
    LINARITE_PORT: String(server.port),
    FOLDER: join(parent, 'first-token'),
    npm_config_cache: join(parent, 'cache'),
    npm_config_offline: 'true',
  });
  const { stdout } = await promisify(execFile)('bash', ['-e', '-c', script], { cwd: ROOT, env });
  assert.match(stdout, /^USER_ID=8:acs:\S+\nTOKEN=eyJ\S+\n/m);
  const [, whoami, refusal] = /^(\{"identity.+\})HTTP\/1\.1 ([\s\S]+)$/m.exec(stdout) ?? assert.fail(stdout);
  assert.ok(whoami?.includes(/^USER_ID=(.+)$/m.exec(stdout)?.[1] ?? 'none'));
  assert.match(refusal ?? '', /^401 [\s\S]*^x-linarite-reason: revoked\.identity;/m);
});

test('what the guides of the examples have people make is not for git', {
  skip: spawnSync('git', ['-C', ROOT, 'status']).status !== 0 && 'no repository',
}, () => {
  for (const file of ['examples/java/trust.p12', 'examples/java/target/x', 'examples/python/.venv/x'])
    assert.equal(spawnSync('git', ['-C', ROOT, 'check-ignore', '-q', file]).status, 0, file);
});
