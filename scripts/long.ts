// npm run test:<name>: a harness at the size that a release needs. A size that is set in the environment holds; so does
// TEST_SEED. HARNESS_RESULTS=<folder> keeps the figures.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** Test file by the name of the harness, and its size. */
const HARNESSES: Readonly<Record<string, { file: string; size: Readonly<Record<string, string>> }>> = {
  crash: { file: 'durability/crash', size: { TEST_CRASH_CYCLES: '1000' } },
  'sync-order': { file: 'durability/sync-order', size: { TEST_SYNC_ORDER_WRITES: '10000' } },
  'power-cut': { file: 'durability/power-cut', size: { TEST_POWER_CUT_STATES: '2000' } },
  'disk-full': { file: 'durability/disk-full', size: { TEST_DISK_FULL_CYCLES: '50' } },
  damage: { file: 'durability/damage', size: { TEST_DAMAGE_FILES: '500' } },
  pg: { file: 'durability/postgres', size: { TEST_PG_KILLS: '200' } },
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
