import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { MODULES } from '../../scripts/mutation/modules.ts';
import { fileOf, type Kept, scoreOf, standing, stateOf } from '../../scripts/mutation/scores.ts';

const ROOT = join(import.meta.dirname, '../..');
const MODULE = 'src/lib/bytes.ts';

describe('the table of mutation testing', () => {
  test('names modules and tests that are there', () => {
    for (const [module, tests] of Object.entries(MODULES)) {
      assert.ok(tests.length > 0, module);
      for (const path of [module, ...tests.map(fileOf)]) assert.ok(existsSync(join(ROOT, path)), path);
    }
  });

  test('counts what was noticed, a test that did not end included, and leaves out what was not tried', () => {
    const statuses = ['Killed', 'Killed', 'Timeout', 'Survived', 'NoCoverage', 'Ignored', 'CompileError'] as const;
    assert.deepEqual(scoreOf(statuses.map((status) => ({ status }))), {
      mutants: 5,
      noticed: 3,
      timedOut: 1,
      missed: 2,
      percent: 60,
    });
  });

  test('keeps a score as long as neither the module nor a test of it was changed', (t) => {
    const root = mkdtempSync(join(tmpdir(), 'linarite-scores-'));
    t.after(() => rmSync(root, { recursive: true }));
    for (const path of Object.entries(MODULES).flatMap(([module, tests]) => [module, ...tests.map(fileOf)])) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      cpSync(join(ROOT, path), join(root, path));
    }
    const score = scoreOf([{ status: 'Killed' }]);
    const tests = MODULES[MODULE] ?? [];
    const kept: Kept = { [MODULE]: { ...score, of: stateOf(root, MODULE, tests) } };
    const found = () => standing(root, kept).filter(([, one]) => one !== undefined);
    assert.deepEqual(found(), [[MODULE, score]]);
    for (const path of [MODULE, ...tests.map(fileOf)]) {
      writeFileSync(join(root, path), '//');
      assert.deepEqual(found(), [], path);
      cpSync(join(ROOT, path), join(root, path));
    }
    assert.deepEqual(found(), [[MODULE, score]]);
  });
});
