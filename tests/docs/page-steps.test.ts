import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { applyStep, type Files, type Step, stepsOf } from '../harness/docs/page-steps.ts';

const ROOT = join(import.meta.dirname, '../..');
const PAGE = readFileSync(join(ROOT, 'docs/internals/add-a-plane.md'), 'utf8');

/** The files of the repository, with changes that are kept in memory. */
function filesInMemory(changed = new Map<string, string>()): Files {
  return {
    read: (path) =>
      changed.get(path) ?? (existsSync(join(ROOT, path)) ? readFileSync(join(ROOT, path), 'utf8') : undefined),
    write: (path, text) => changed.set(path, text),
  };
}

/** What of a page does not fit the repository as it is. */
function misfits(page: string): string[] {
  const files = filesInMemory();
  return stepsOf(page).flatMap((step) => {
    try {
      if (step.kind !== 'run') applyStep(step, files);
      return [];
    } catch (cause) {
      return [String(cause)];
    }
  });
}

// After somebody has done what the page says, it cannot be done again.
const skip = existsSync(join(ROOT, 'src/planes/pins')) && 'the plane of the page is here';

describe('add-a-plane.md', { skip }, () => {
  test('names files and places that are there (add-a-plane.slow.test.ts runs its commands)', () => {
    assert.deepEqual(misfits(PAGE), []);
    const kinds = stepsOf(PAGE).map(({ kind }) => kind);
    for (const kind of ['file', 'edit', 'run'] as const) assert.ok(kinds.includes(kind), kind);
  });

  for (const [fault, from, to] of [
    ['a place that is not there', " import type { Plane } from '../planes/plane.ts';", ' import type { Plain };'],
    ['a place that is there twice', ' export type PlaneName =', ' '],
    ['a file that is there already', '`src/planes/pins/versions.ts`\n', '`src/planes/identity/versions.ts`\n'],
    ['an edit of a file that is not there', '`src/settings.ts`\n', '`src/setting.ts`\n'],
  ] as const)
    test(`with ${fault} is reported`, () => {
      assert.ok(PAGE.includes(from));
      assert.equal(misfits(PAGE.replace(from, () => to)).length, 1);
    });
});

describe('the steps of a page', () => {
  test('are its files, edits and commands, in order', () => {
    const page = [
      'A `word` in a line.\n',
      '`a/b.ts`\n\n```ts\nexport {};\n```\n',
      '`c.ts`\n\n```diff\n one\n-two\n+three\n@@\n \n+four\n```\n',
      '```sh\nnpm run x\n\nA=1 npm test -- y\n```\n',
    ].join('\n');
    assert.deepEqual(stepsOf(page), [
      { kind: 'file', path: 'a/b.ts', text: 'export {};\n' },
      {
        kind: 'edit',
        path: 'c.ts',
        places: [
          { before: ['one', 'two'], after: ['one', 'three'] },
          { before: [''], after: ['', 'four'] },
        ],
      },
      { kind: 'run', command: 'npm run x' },
      { kind: 'run', command: 'A=1 npm test -- y' },
    ] satisfies Step[]);
  });

  test('cannot be read where a block says not which file it is', () => {
    assert.throws(() => stepsOf('```ts\nexport {};\n```\n'), /has no path/);
  });
});
