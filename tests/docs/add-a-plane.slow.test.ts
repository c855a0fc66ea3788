import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
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
import { basename, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { applyStep, type Files, type Step, stepsOf } from '../harness/docs/page-steps.ts';
import { POSTGRES_URL } from '../harness/postgres.ts';

const ROOT = join(import.meta.dirname, '../..');
const PAGE = readFileSync(join(ROOT, 'docs/internals/add-a-plane.md'), 'utf8');

/** What git ignores, or builds leave behind. */
const LEFT_OUT = ['node_modules', '.git', '.cache', '.linarite', '.venv', 'dist', 'target', 'sbom.cdx.json'];

/** A copy of the repository, which uses the packages of this one; gone after the test. */
function givenCopy(t: TestContext): string {
  const copy = mkdtempSync(join(tmpdir(), 'linarite-plane-'));
  t.after(() => rmSync(copy, { recursive: true, force: true }));
  for (const name of readdirSync(ROOT).filter((one) => !LEFT_OUT.includes(one)))
    cpSync(join(ROOT, name), join(copy, name), {
      recursive: true,
      filter: (path) => !LEFT_OUT.includes(basename(path)),
    });
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

const filesIn = (folder: string): Files => ({
  read: (path) => (existsSync(join(folder, path)) ? readFileSync(join(folder, path), 'utf8') : undefined),
  write(path, content) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  },
});

/** Runs a command as a person would, not as a part of this test. @returns what it printed, where it failed */
async function failureOf(command: string, cwd: string): Promise<string | undefined> {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const shell = spawn('sh', ['-c', command], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const [output, errors] = [text(shell.stdout), text(shell.stderr)];
  const [status] = await once(shell, 'close');
  return status === 0 ? undefined : `${command}\n${await output}\n${await errors}`;
}

/** Does what the steps say, up to the first command that fails. @returns what that one printed */
async function firstFailure(steps: readonly Step[], folder: string): Promise<string | undefined> {
  const files = filesIn(folder);
  for (const step of steps) {
    const failure = step.kind === 'run' ? await failureOf(step.command, folder) : applyStep(step, files);
    if (failure !== undefined) return failure;
  }
  return undefined;
}

const isDone = existsSync(join(ROOT, 'src/planes/pins')) && 'the plane of the page is here';
const skip = isDone || (POSTGRES_URL === undefined && 'needs PostgreSQL');

test('the steps of add-a-plane.md give a plane, and every check passes', { skip }, async (t) => {
  assert.equal(await firstFailure(stepsOf(PAGE), givenCopy(t)), undefined);
});

test('the plane is complete without the optional step', { skip }, async (t) => {
  const sections = PAGE.split(/^(?=## )/m);
  const needed = sections.filter((section) => !section.includes('\nThis step is optional'));
  assert.equal(needed.length, sections.length - 1);
  assert.equal(await firstFailure(stepsOf(needed.join('')), givenCopy(t)), undefined);
});

for (const [forgotten, check, report] of [
  ['tests/tables/imports.test.ts', 'npm test -- tables/imports', /planes\/pins has no row in this table/],
  ['src/errors.ts', 'npm run types', /"PinInvalid"' is not assignable/],
] as const)
  test(`a page that forgets the edit of ${forgotten} is reported`, { skip }, async (t) => {
    const rest = stepsOf(PAGE).filter((step) => step.kind !== 'run' && step.path !== forgotten);
    assert.match((await firstFailure([...rest, { kind: 'run', command: check }], givenCopy(t))) ?? '', report);
  });
