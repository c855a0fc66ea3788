// npm run harness -- mutation [words]: changes the modules whose path has one of the words, one small thing at a
// time, and counts how many changes their tests notice (security-and-reliability, U6). Takes minutes per module. A word may end in a range of
// lines, `hmac:100-120`, to look again at a part. Scores are kept in .cache/mutation/, so that the table can be made in parts.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { writeResult } from '../../tests/harness/results.ts';
import { MODULES, SIZES } from './modules.ts';
import { fileOf, type Kept, scoreOf, standing, stateOf } from './scores.ts';
import { loadStryker, type Mutant } from './stryker.ts';

const ROOT = dirname(dirname(import.meta.dirname));
const REPORTS = join(ROOT, '.cache/mutation');
const KEPT = join(REPORTS, 'scores.json');
const LEAST_PERCENT = 90;
/** A module with tests of something else: a run has to report that they notice too little. */
const PLANTED = { module: 'src/lib/bytes.ts', tests: ['lib/recent-map'] } as const;

/** `src/http/hmac.ts` → `http/hmac` */
const nameOf = (module: string): string => module.slice('src/'.length, -'.ts'.length);

process.chdir(ROOT);
Object.assign(process.env, SIZES);
// Thousands of processes load the same sources.
const compiled = mkdtempSync(join(tmpdir(), 'linarite-mutation-'));
process.env.NODE_COMPILE_CACHE = compiled;
process.on('exit', () => rmSync(compiled, { recursive: true, force: true }));
mkdirSync(REPORTS, { recursive: true });

const words = process.argv.slice(2).map((word) => {
  const [name = '', lines] = word.split(':', 2);
  return { name, lines };
});
const chosen = Object.entries(MODULES).flatMap(([module, tests]) => {
  const word = words.find(({ name }) => module.includes(name));
  return words.length === 0 || word ? [{ module, tests, lines: word?.lines }] : [];
});
if (chosen.length === 0) throw new Error(`no module has ${words.map(({ name }) => name).join(' or ')} in its path`);

const Stryker = await loadStryker();
const isForThePage = process.env.HARNESS_RESULTS !== undefined;
delete process.env.HARNESS_RESULTS; // the tests of a mutant have nothing to say on it
const planted = isForThePage ? scoreOf(await mutate(PLANTED.module, PLANTED.tests)) : undefined;
if (planted) console.log(`planted fault: ${PLANTED.module} with the tests of something else: ${planted.percent} %`);

let isEnough = planted === undefined || planted.percent < LEAST_PERCENT;
for (const { module, tests, lines } of chosen) {
  const of = stateOf(ROOT, module, tests);
  const score = scoreOf(await mutate(lines === undefined ? module : `${module}:${lines}`, tests));
  isEnough &&= score.percent >= LEAST_PERCENT;
  if (lines === undefined)
    writeFileSync(KEPT, `${JSON.stringify({ ...kept(), [module]: { ...score, of } }, null, 2)}\n`);
  console.table({ [module]: score });
}
report();
process.exitCode = isEnough ? 0 : 1;

function report(): void {
  const scores = standing(ROOT, kept());
  const measured = scores.flatMap(([module, score]) => (score ? [{ module, ...score }] : []));
  console.table(measured);
  const missing = scores.flatMap(([module, score]) => (score ? [] : [nameOf(module)]));
  if (missing.length > 0) console.log(`Not measured as they are now: ${missing.join(', ')}`);
  const sum = (count: 'mutants' | 'noticed' | 'timedOut' | 'missed'): number =>
    measured.reduce((total, score) => total + score[count], 0);
  writeResult({
    id: 'U6',
    seed: SIZES.TEST_SEED ?? 'none',
    figures: {
      ...Object.fromEntries(measured.map(({ module, percent }) => [`${nameOf(module)} %`, percent])),
      ...(missing.length > 0 && { notMeasured: missing.join(', ') }),
      // The seconds of this result are those of the others only.
      ofEarlierRuns: measured.length - chosen.filter(({ lines }) => lines === undefined).length,
      mutants: sum('mutants'),
      noticed: sum('noticed'),
      timedOut: sum('timedOut'),
      missed: sum('missed'),
    },
    passed: missing.length === 0 && measured.every(({ percent }) => percent >= LEAST_PERCENT),
    planted: planted !== undefined && planted.percent < LEAST_PERCENT,
  });
}

function kept(): Kept {
  try {
    return JSON.parse(readFileSync(KEPT, 'utf8'));
  } catch {
    return {}; // the first run
  }
}

async function mutate(mutated: string, tests: readonly string[]): Promise<Mutant[]> {
  // One process per file without a runner around it; PostgreSQL takes too long to be asked a thousand times.
  const run = (test: string) =>
    `"${process.execPath}" --test --test-isolation=none --test-force-exit --test-reporter=./scripts/mutation/first-failure.ts ${fileOf(test)}`;
  const stryker = new Stryker({
    mutate: [mutated],
    testRunner: 'command',
    commandRunner: { command: tests.map(run).join(' && ') },
    coverageAnalysis: 'off',
    tsconfigFile: 'none', // it would be rewritten by an interface that TypeScript 7 does not have, and nothing here is compiled
    plugins: [],
    ignorePatterns: ['bench', 'dist', 'examples', '.linarite', '.cache'],
    tempDirName: '.cache/stryker',
    reporters: ['json', 'clear-text', 'progress-append-only'],
    clearTextReporter: {
      logTests: false,
      reportTests: false,
      reportMutants: true,
      allowColor: false,
      allowEmojis: false,
    },
    jsonReporter: { fileName: join(REPORTS, `${mutated.replaceAll(/[/:]/g, '-')}.json`) },
    concurrency: Number(process.env.TEST_MUTATION_AT_ONCE ?? 2),
    timeoutMS: 60_000,
    logLevel: 'warn',
  });
  return stryker.runMutationTest();
}
