// npm run test:<name>: harnesses at the size that a release needs. A size that is set in the environment holds; so does
// TEST_SEED. HARNESS_RESULTS=<folder> keeps the figures.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

interface Harness {
  /** Words of {@link file://./test.ts}. */
  readonly words: readonly string[];
  readonly size: Readonly<Record<string, string>>;
}

const HARNESSES: Readonly<Record<string, Harness>> = {
  crash: { words: ['durability/crash'], size: { TEST_CRASH_CYCLES: '1000' } },
  'sync-order': { words: ['durability/sync-order'], size: { TEST_SYNC_ORDER_WRITES: '10000' } },
  'power-cut': { words: ['durability/power-cut'], size: { TEST_POWER_CUT_STATES: '2000' } },
  'disk-full': { words: ['durability/disk-full'], size: { TEST_DISK_FULL_CYCLES: '50' } },
  damage: { words: ['durability/damage'], size: { TEST_DAMAGE_FILES: '500' } },
  start: { words: ['durability/start'], size: { TEST_START_REVOCATIONS: '1000000' } },
  pg: { words: ['durability/postgres'], size: { TEST_PG_KILLS: '200' } },
  revocation: {
    words: ['tests/revocation/'],
    size: {
      TEST_REVOCATION_LOOPS: '10000',
      TEST_REVOCATION_READERS: '2000',
      TEST_REVOCATION_SEQUENCES: '1000',
      TEST_MODEL_SCHEDULES: '5000',
      TEST_CROSSING_ROUNDS: '200',
      TEST_HISTORIES: '1000',
    },
  },
  sessions: { words: ['tests/sessions/'], size: { TEST_SESSIONS_LOOPS: '10000', TEST_SESSIONS_LOOPS_OF_TWO: '1000' } },
  secrets: {
    words: ['tests/secrets/'],
    size: {
      TEST_SECRETS_ROUNDS: '12',
      TEST_SECRETS_RESOURCES: '40',
      TEST_SECRETS_STARTS: '60',
      TEST_SECRETS_LINES: '20000',
      TEST_SECRETS_KILLS: '150',
    },
  },
  fuzz: { words: ['http/fuzz'], size: { TEST_FUZZ_CASES: '200000' } },
  framing: { words: ['http/framing'], size: { TEST_FRAMING_CASES: '100000' } },
  model: { words: ['sequences/'], size: { TEST_SEQUENCES: '10000' } },
  tokens: {
    words: ['tests/tokens/', 'tables/capabilities', 'tables/routes'],
    size: { TEST_FORGERIES: '100000', TEST_CLAIMS: '50000', TEST_ROTATIONS: '60', TEST_KEY_KILLS: '20' },
  },
  signatures: { words: ['http/signature'], size: { TEST_SIGNATURE_MUTATIONS: '20000', TEST_TIMING: '1' } },
  backup: { words: ['tests/backup/'], size: { TEST_BACKUPS: '25' } },
  facts: {
    words: ['cluster/fact', 'cluster/following', 'cluster/killed'],
    size: { TEST_FACTS: '100000', TEST_FACTS_STOPPED_SECONDS: '60', TEST_FOLLOWED: '5000' },
  },
  overload: { words: ['load/overload'], size: { TEST_OVERLOAD_SECONDS: '600', TEST_OVERLOAD_ROUNDS: '20' } },
  slow: { words: ['load/slow'], size: { TEST_SLOW_CONNECTIONS: '5000' } },
  bodies: { words: ['load/bodies'], size: { TEST_BODIES_EACH: '250' } },
  fairness: { words: ['load/fairness'], size: { TEST_FAIRNESS_SECONDS: '60', TEST_FAIRNESS_ROUNDS: '20' } },
  costs: { words: ['load/costs'], size: { TEST_COSTS_ROUNDS: '10' } },
  patterns: { words: ['load/patterns'], size: { TEST_PATTERNS: 'thorough' } },
  revocations: { words: ['load/revocations'], size: { TEST_REVOCATIONS: '10000000' } },
  revoking: { words: ['load/revoking'], size: { TEST_REVOKING_SECONDS: '60' } },
  import: { words: ['load/import'], size: { TEST_IMPORT_IDS: '1000000' } },
  clock: { words: ['load/clock'], size: { TEST_CLOCK_ROUNDS: '50' } },
  forgetting: { words: ['chores/forgetting'], size: { TEST_FORGOTTEN: '100000' } },
  stops: { words: ['load/stopping'], size: { TEST_STOPS: '50' } },
};

const HOURS_MS = 6 * 3_600_000;

const [name = '', ...flags] = process.argv.slice(2);
const harness = HARNESSES[name];
if (!harness) {
  console.error(`There is no harness ${name}. There are: ${Object.keys(HARNESSES).join(', ')}`);
  process.exit(2);
}
const { status } = spawnSync(process.execPath, [join(import.meta.dirname, 'test.ts'), ...harness.words, ...flags], {
  env: { TEST_FILE_TIMEOUT_MS: String(HOURS_MS), ...harness.size, ...process.env },
  stdio: 'inherit',
});
process.exitCode = status ?? 1;
