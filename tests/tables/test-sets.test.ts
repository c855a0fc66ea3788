import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { HARNESSES } from '../../scripts/harnesses.ts';
import { PROMISES } from '../../scripts/promise-table.ts';
import { chosen, isSlow, testFiles } from '../../scripts/test-files.ts';

const ROOT = join(import.meta.dirname, '../..');
const textOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const FILES = testFiles();
const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Readonly<Record<string, string>> };

/** Whether a file defines tests, by what it imports; types, hooks and the runner alone are for helpers. */
const definesTests = (text: string): boolean =>
  [...text.matchAll(/^import (?!type )(?:\w+, )?\{([^}]*)\} from 'node:test';/gm)].some(([, names = '']) =>
    names.split(',').some((name) => /^(?:test|it|describe|suite)$/.test(name.trim())),
  );

describe('the test files', () => {
  test('a file that defines tests is known by its imports', () => {
    assert.equal(definesTests("import { after, test } from 'node:test';"), true);
    assert.equal(definesTests("import { describe } from 'node:test';"), true);
    assert.equal(definesTests("import type { TestContext } from 'node:test';"), false);
    assert.equal(definesTests("import { after, before, type TestContext } from 'node:test';"), false);
  });

  test('every file that defines tests is run by test:all', () => {
    const sources = globSync(['{src,tests,scripts,bench}/**/*.{ts,js,mts,mjs}', 'bin/**/*.js'], {
      cwd: ROOT,
      exclude: ['**/node_modules/**', '**/.venv/**', '**/target/**'],
    }).map((path) => path.replaceAll('\\', '/'));
    assert.deepEqual(
      sources.filter((path) => definesTests(textOf(path)) && !FILES.includes(path)),
      [],
    );
    assert.deepEqual(chosen(FILES, { words: [], all: true }), FILES);
  });

  test('npm test leaves out the slow ones and nothing else, and a name runs a file of either kind', () => {
    const files = ['tests/a/one.test.ts', 'tests/a/two.slow.test.ts', 'tests/b/slow.test.ts'];
    assert.deepEqual(chosen(files, { words: [], all: false }), ['tests/a/one.test.ts', 'tests/b/slow.test.ts']);
    assert.deepEqual(chosen(files, { words: ['/two', 'b/'], all: false }), files.slice(1));
    const quick = chosen(FILES, { words: [], all: false });
    assert.deepEqual([...quick, ...FILES.filter(isSlow)].sort(), FILES);
    assert.ok(quick.length > 0 && quick.length < FILES.length);
  });

  test('the pipeline runs all of them', () => {
    assert.equal(scripts['test:all'], `${scripts.test} --all`);
    assert.match(textOf('.ci/run'), /^npm run test:all$/m);
  });
});

describe('the harnesses', () => {
  test('each chooses tests, or is a program that is there', () => {
    for (const [name, { words = [], program }] of Object.entries(HARNESSES)) {
      if (program !== undefined) assert.ok(existsSync(join(ROOT, program)), name);
      else assert.ok(words.length > 0, name);
      for (const word of words) assert.ok(chosen(FILES, { words: [word], all: true }).length > 0, `${name}: ${word}`);
    }
  });

  test('each size is a variable that a chosen test or a helper reads', () => {
    const texts = globSync('tests/**/*.ts', { cwd: ROOT }).map(textOf);
    for (const { sizes = {} } of Object.values(HARNESSES))
      for (const variable of Object.keys(sizes))
        assert.ok(
          texts.some((text) => text.includes(`env.${variable}`)),
          variable,
        );
  });

  test('without a name they are listed; a wrong name, or a size too many, is a mistake', () => {
    const run = (...args: string[]) =>
      spawnSync(process.execPath, [join(ROOT, 'scripts/harness.ts'), ...args], { encoding: 'utf8' });
    const list = run();
    assert.deepEqual([list.status, list.stderr], [0, '']);
    for (const [name, { does }] of Object.entries(HARNESSES))
      assert.ok(list.stdout.includes(`  ${name.padEnd(12)} ${does}`), name);
    const wrong = run('nothing-like-it');
    assert.equal(wrong.status, 2);
    assert.match(wrong.stderr, /^There is no harness nothing-like-it\./);
    assert.deepEqual(
      [run('crash', '1', '2').status, run('crash', '1', '2').stderr],
      [2, 'crash has 1 sizes: TEST_CRASH_CYCLES\n'],
    );
  });
});

describe('the commands that pages name', () => {
  const pages = globSync(['*.md', 'docs/**/*.md', '.ci/run'], { cwd: ROOT });
  for (const page of pages) {
    test(`${page} names scripts and harnesses that there are`, () => {
      const text = textOf(page);
      for (const [command, script = ''] of text.matchAll(/npm run (?:--silent )?([a-z][\w:-]*)/g))
        assert.ok(script in scripts, command);
      for (const [command, name = ''] of text.matchAll(/npm run harness -- ([a-z][\w-]*)/g))
        assert.ok(name in HARNESSES, command);
    });
  }

  test('every promise is measured by a harness, or held by tests, that there are', () => {
    for (const { id, command } of PROMISES) {
      const [, harness, word] = /^npm (?:run harness -- ([\w-]+)|test -- ([\w/-]+))$/.exec(command) ?? [];
      if (harness !== undefined) assert.ok(harness in HARNESSES, `${id}: ${command}`);
      else assert.ok(word !== undefined && chosen(FILES, { words: [word], all: true }).length > 0, `${id}: ${command}`);
    }
  });
});
