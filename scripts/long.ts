// npm run test:<name>: a harness at the size that a release needs. A size that is set in the environment holds; so does
// TEST_SEED. HARNESS_RESULTS=<folder> keeps the figures.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** Test file by the name of the harness, and its size. */
const HARNESSES: Readonly<Record<string, { file: string; size: Readonly<Record<string, string>> }>> = {
  overload: { file: 'load/overload', size: { TEST_OVERLOAD_SECONDS: '600' } },
  slow: { file: 'load/slow', size: { TEST_SLOW_CONNECTIONS: '5000' } },
  bodies: { file: 'load/bodies', size: { TEST_BODIES_EACH: '250' } },
  fairness: { file: 'load/fairness', size: { TEST_FAIRNESS_SECONDS: '60' } },
  patterns: { file: 'load/patterns', size: { TEST_PATTERNS: 'thorough' } },
  revocations: { file: 'load/revocations', size: { TEST_REVOCATIONS: '10000000' } },
  clock: { file: 'load/clock', size: { TEST_CLOCK_ROUNDS: '50' } },
  stops: { file: 'load/stopping', size: { TEST_STOPS: '50' } },
};

const HOURS_MS = 6 * 3_600_000;

const [name = '', ...flags] = process.argv.slice(2);
const harness = HARNESSES[name];
if (!harness) {
  console.error(`There is no harness ${name}. There are: ${Object.keys(HARNESSES).join(', ')}`);
  process.exit(2);
}
const { status } = spawnSync(process.execPath, [join(import.meta.dirname, 'test.ts'), harness.file, ...flags], {
  env: { TEST_FILE_TIMEOUT_MS: String(HOURS_MS), ...harness.size, ...process.env },
  stdio: 'inherit',
});
process.exitCode = status ?? 1;
