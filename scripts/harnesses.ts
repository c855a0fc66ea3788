/** A harness: tests at the size that a release needs, or a program of its own. */
export interface Harness {
  /** What it does, in half a line. */
  readonly does: string;
  /** Words that choose test files, see {@link file://./test.ts}. */
  readonly words?: readonly string[];
  /** Sizes for a release, by their variables. Sizes on the command line replace them in this order. */
  readonly sizes?: Readonly<Record<string, string>>;
  /** Instead of tests: a program, which gets all arguments. */
  readonly program?: string;
}

// biome-ignore format: a table
export const HARNESSES: Readonly<Record<string, Harness>> = {
  crash:        { does: 'kills the server at random moments and looks for confirmed work', words: ['durability/crash'], sizes: { TEST_CRASH_CYCLES: '1000' } },
  'sync-order': { does: 'compares answers with the system calls that sync the disk', words: ['durability/sync-order'], sizes: { TEST_SYNC_ORDER_WRITES: '10000' } },
  'power-cut':  { does: 'starts the server on files as a power cut leaves them', words: ['durability/power-cut'], sizes: { TEST_POWER_CUT_STATES: '2000' } },
  'disk-full':  { does: 'fills the disk, and lets writes and syncs fail', words: ['durability/disk-full'], sizes: { TEST_DISK_FULL_CYCLES: '50' } },
  damage:       { does: 'changes bytes of a store and starts the server on it', words: ['durability/damage'], sizes: { TEST_DAMAGE_FILES: '500' } },
  start:        { does: 'starts the server with very many revocations in its log', words: ['durability/start'], sizes: { TEST_START_REVOCATIONS: '1000000' } },
  pg:           { does: 'kills PostgreSQL under load', words: ['durability/postgres'], sizes: { TEST_PG_KILLS: '200' } },
  backup:       { does: 'makes backups under load, restores and compares them', words: ['tests/backup/'], sizes: { TEST_BACKUPS: '25' } },
  revocation:   { does: 'loops, readers, sequences and the randomised model of revocation', words: ['tests/revocation/'], sizes: { TEST_REVOCATION_LOOPS: '10000', TEST_REVOCATION_READERS: '2000', TEST_REVOCATION_SEQUENCES: '1000', TEST_MODEL_SCHEDULES: '5000', TEST_CROSSING_ROUNDS: '200', TEST_HISTORIES: '1000' } },
  revocations:  { does: 'loads millions of revocations with bounded memory', words: ['load/revocations'], sizes: { TEST_REVOCATIONS: '10000000' } },
  revoking:     { does: 'many clients that revoke, one identity in each call', words: ['load/revoking'], sizes: { TEST_REVOKING_SECONDS: '60' } },
  clock:        { does: 'moves the clock of a running server', words: ['load/clock'], sizes: { TEST_CLOCK_ROUNDS: '50' } },
  tokens:       { does: 'forged tokens, changed claims, rotations of keys', words: ['tests/tokens/', 'tables/capabilities', 'tables/routes'], sizes: { TEST_FORGERIES: '100000', TEST_CLAIMS: '50000', TEST_ROTATIONS: '60', TEST_KEY_KILLS: '20' } },
  signatures:   { does: 'changed signed requests, and the time that a comparison takes', words: ['http/signature'], sizes: { TEST_SIGNATURE_MUTATIONS: '20000', TEST_TIMING: '1' } },
  fuzz:         { does: 'random requests made from the OpenAPI document', words: ['http/fuzz'], sizes: { TEST_FUZZ_CASES: '200000' } },
  framing:      { does: 'random bytes instead of HTTP', words: ['http/framing'], sizes: { TEST_FRAMING_CASES: '100000' } },
  model:        { does: 'random sequences of operations against a model', words: ['sequences/'], sizes: { TEST_SEQUENCES: '10000' } },
  secrets:      { does: 'looks for secrets in everything that the server writes; keys replaced under kills', words: ['tests/secrets/'], sizes: { TEST_SECRETS_ROUNDS: '12', TEST_SECRETS_RESOURCES: '40', TEST_SECRETS_STARTS: '60', TEST_SECRETS_LINES: '20000', TEST_SECRETS_KILLS: '150' } },
  overload:     { does: 'four times the load that the server can serve', words: ['load/overload'], sizes: { TEST_OVERLOAD_SECONDS: '600', TEST_OVERLOAD_ROUNDS: '20' } },
  slow:         { does: 'slow clients by the thousand', words: ['load/slow'], sizes: { TEST_SLOW_CONNECTIONS: '5000' } },
  held:         { does: 'thousands of parked requests and idle sockets beside the issuing of tokens', words: ['load/held'], sizes: { TEST_HELD: '5000' } },
  bodies:       { does: 'large, compressed and deep bodies at the same time', words: ['load/bodies'], sizes: { TEST_BODIES_EACH: '250' } },
  fairness:     { does: 'one resource over its share beside a quiet one', words: ['load/fairness'], sizes: { TEST_FAIRNESS_SECONDS: '60', TEST_FAIRNESS_ROUNDS: '20' } },
  costs:        { does: 'costly requests beside cheap ones', words: ['load/costs'], sizes: { TEST_COSTS_ROUNDS: '10' } },
  patterns:     { does: 'every pattern and parser with text that makes it slow', words: ['load/patterns'], sizes: { TEST_PATTERNS: 'thorough' } },
  import:       { does: 'imports identities by the command line, twice', words: ['load/import'], sizes: { TEST_IMPORT_IDS: '1000000' } },
  stops:        { does: 'stops the server under load', words: ['load/stopping'], sizes: { TEST_STOPS: '50' } },
  facts:        { does: 'facts to the sessions of three nodes, with hints lost, doubled, late and invented', words: ['cluster/fact', 'cluster/following', 'cluster/killed'], sizes: { TEST_FACTS: '100000', TEST_FACTS_STOPPED_SECONDS: '60', TEST_FOLLOWED: '5000' } },
  forgetting:   { does: 'removes what belongs to deleted identities and resources, in steps', words: ['chores/forgetting'], sizes: { TEST_FORGOTTEN: '100000' } },
  soak:         { does: 'an hour of steady load; prints memory and descriptors', program: 'tests/harness/load/soak.ts' },
  clients:      { does: 'every client that the documents name, oldest and newest release [--write] [words]', program: 'tests/harness/clients/run.ts' },
  mutation:     { does: 'changes modules in small ways and counts what their tests notice [words]', program: 'scripts/mutation/mutation.ts' },
};
