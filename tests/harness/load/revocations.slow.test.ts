import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { beside } from '../child.ts';
import { writeResult } from '../results.ts';

// R8: events of every kind in memory. The limits of memory hold at the full size; a small run shows the verdicts.

/** 10,000,000 for a release. */
const COUNT = Number(process.env.TEST_REVOCATIONS ?? 200_000);
const FULL = 10_000_000;
const MEBIBYTE = 1024 * 1024;
/** What the server has, made smaller together with the run. */
const CAP_BYTES = Math.round((256 * MEBIBYTE * COUNT) / FULL);
const report = { id: 'R8', seed: 0, figures: {}, passed: false, planted: false };
after(() => writeResult(report));

interface Run {
  revocations: number;
  /** Identities, assignments and bounds among them. */
  distinct: number;
  inMemory: number;
  growthMebibytes: number;
  growthMebibytesMost: number;
  /** Of the tables alone. */
  tableMebibytes: number;
  wrongVerdicts: number;
  leftToRows: number;
}

function run(t: TestContext, count: number, bytesMost: number, ...faults: string[]): Run {
  const imports = beside(join(import.meta.dirname, 'faults'), ...faults).flatMap((path) => ['--import', path]);
  const script = join(import.meta.dirname, 'many-revocations.ts');
  const args = ['--expose-gc', ...imports, script, String(count), String(bytesMost)];
  const text = execFileSync(process.execPath, args, { encoding: 'utf8' });
  t.diagnostic(text.trim());
  return JSON.parse(text);
}

describe('very many revocations', () => {
  /** What making so many events does to the heap of the process, next to none of them remembered. */
  let control: Run;
  let uncapped: Run;
  test('without a cap are all in memory, and each verdict is right', (t) => {
    control = run(t, COUNT, MEBIBYTE);
    uncapped = run(t, COUNT, Number.MAX_SAFE_INTEGER);
    assert.equal(uncapped.wrongVerdicts, 0);
    assert.equal(uncapped.leftToRows, 0);
    assert.equal(uncapped.inMemory, uncapped.distinct);
    if (COUNT < FULL) return;
    const growth = uncapped.growthMebibytes - control.growthMebibytes;
    assert.ok(growth * MEBIBYTE <= 400e6, `${growth} MiB`);
  });

  test('above the cap leave the oldest to the rows of the store, and accept nobody for that', (t) => {
    const capped = run(t, COUNT, CAP_BYTES);
    report.figures = {
      ...capped,
      uncappedMebibytes: uncapped.growthMebibytes,
      controlMebibytes: control.growthMebibytes,
      uncappedTableMebibytes: uncapped.tableMebibytes,
    };
    assert.equal(capped.wrongVerdicts, 0);
    assert.ok(capped.leftToRows > 0 && capped.inMemory < capped.distinct, 'the cap was reached');
    if (COUNT >= FULL) {
      const growth = capped.growthMebibytesMost - control.growthMebibytesMost;
      assert.ok(growth * MEBIBYTE <= 300e6, `${growth} MiB`);
    }
    report.passed = true;
  });

  test('the harness reports a table that forgets', (t) => {
    const { wrongVerdicts } = run(t, 200_000, Number.MAX_SAFE_INTEGER, 'lossy-table.ts');
    assert.ok(wrongVerdicts > 0);
    report.planted = true;
  });
});
