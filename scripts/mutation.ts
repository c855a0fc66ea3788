// npm run test:mutation [-- words]: changes the modules whose path has one of the words, one small thing at a time, and counts
// how many changes their tests notice (security-and-reliability, U6). Takes minutes per module.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { MutantResult } from '@stryker-mutator/api/core';
import { Stryker } from '@stryker-mutator/core';

const ROOT = dirname(import.meta.dirname);
const REPORTS = join(ROOT, '.cache/mutation');
const LEAST_PERCENT = 90;

/** Module → test files, the quickest first: the first that fails ends the attempt. */
// biome-ignore format: a table
const MODULES: Readonly<Record<string, readonly string[]>> = {
  'src/lib/bytes.ts':                    ['lib/bytes'],
  'src/capabilities/capabilities.ts':    ['tables/capabilities'],
  'src/capabilities/tables.ts':          ['tables/capabilities'],
  'src/secrets/envelope.ts':             ['stores/key-ring'],
  'src/secrets/key-ring.ts':             ['secrets/key-rotation', 'stores/key-ring'],
  'src/secrets/kek.ts':                  ['secrets/kek', 'secrets/kek-time-limit'],
  'src/tokens/jws.ts':                   ['tokens/wycheproof', 'tokens/jws', 'tokens/forgery'],
  'src/tokens/claims.ts':                ['tokens/claims', 'tokens/forgery'],
  'src/tokens/token.ts':                 ['tokens/token', 'tokens/issue'],
  'src/tokens/access-tokens.ts':         ['tokens/whoami', 'tokens/introspection', 'tokens/issue', 'tokens/claims'],
  'src/http/hmac.ts':                    ['http/signatures', 'http/signature-mutations'],
  'src/http/pipeline.ts':                ['tables/capabilities', 'tables/errors', 'http/signatures', 'tables/routes', 'http/bodies', 'http/routing', 'http/versions'],
  'src/trusts/trust.ts':                 ['trusts/definitions', 'cli/trust'],
  'src/trusts/foreign-token.ts':         ['trusts/foreign-tokens'],
  'src/trusts/principals.ts':            ['trusts/grants', 'tables/routes'],
  'src/resources/resource.ts':           ['resources/resource', 'stores/resources'],
  'src/revocation/event.ts':             ['revocation/state', 'revocation/combinations'],
  'src/revocation/position-table.ts':    ['revocation/position-table'],
  'src/revocation/revocation-state.ts':  ['revocation/state', 'revocation/combinations', 'revocation/model'],
};

/** The random suites small and always the same: a score that depends on chance is none. */
const SIZES = {
  TEST_SEED: '1',
  TEST_REVOCATION_SEED: '1',
  TEST_MODEL_SEED: '1',
  TEST_FORGERIES: '400',
  TEST_CLAIMS: '400',
  TEST_SIGNATURE_MUTATIONS: '200',
  TEST_MODEL_SCHEDULES: '3',
  TEST_REVOCATION_SEQUENCES: '5',
};
Object.assign(process.env, SIZES);

const words = process.argv.slice(2);
const chosen = Object.entries(MODULES).filter(
  ([path]) => words.length === 0 || words.some((word) => path.includes(word)),
);
if (chosen.length === 0) throw new Error(`no module has ${words.join(' or ')} in its path`);

mkdirSync(REPORTS, { recursive: true });
const scores = [];
for (const [module, tests] of chosen) {
  const score = scoreOf(await mutate(module, tests));
  scores.push({ module, ...score });
  console.table(scores);
  writeFileSync(join(REPORTS, 'scores.json'), `${JSON.stringify(scores, null, 2)}\n`);
}
process.exitCode = scores.every(({ percent }) => percent >= LEAST_PERCENT) ? 0 : 1;

async function mutate(module: string, tests: readonly string[]): Promise<MutantResult[]> {
  // One process per file without a runner around it; PostgreSQL takes too long to be asked a thousand times.
  const run = (test: string) =>
    `"${process.execPath}" --test --test-isolation=none --test-force-exit --test-reporter=dot tests/${test}.test.ts`;
  const stryker = new Stryker({
    mutate: [module],
    testRunner: 'command',
    commandRunner: { command: tests.map(run).join(' && ') },
    coverageAnalysis: 'off',
    tsconfigFile: 'none', // it would be rewritten by an interface that TypeScript 7 does not have, and nothing here is compiled
    plugins: [],
    ignorePatterns: ['bench', 'dist', 'examples', '.linarite', '.cache'],
    tempDirName: '.cache/stryker',
    reporters: ['json', 'clear-text'],
    clearTextReporter: {
      logTests: false,
      reportTests: false,
      reportMutants: true,
      allowColor: false,
      allowEmojis: false,
    },
    jsonReporter: { fileName: join(REPORTS, `${module.replaceAll('/', '-')}.json`) },
    concurrency: Number(process.env.TEST_MUTATION_AT_ONCE ?? 2),
    timeoutMS: 60_000,
    logLevel: 'warn',
  } as unknown as ConstructorParameters<typeof Stryker>[0]);
  return stryker.runMutationTest();
}

function scoreOf(results: readonly MutantResult[]) {
  const count = (...statuses: MutantResult['status'][]): number =>
    results.filter(({ status }) => statuses.includes(status)).length;
  const [noticed, missed] = [count('Killed', 'Timeout'), count('Survived', 'NoCoverage')];
  return {
    mutants: noticed + missed,
    noticed,
    missed,
    percent: Math.round((1000 * noticed) / (noticed + missed)) / 10,
  };
}
