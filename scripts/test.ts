// npm test [-- words and flags]: runs the quick tests, or all whose path contains one of the words; flags go to
// `node --test`. npm run test:all: runs every test.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { findPostgres, type Postgres, startPostgres } from './postgres.ts';
import { chosen, groupsOf, isSlow, testFiles } from './test-files.ts';

const ROOT = dirname(import.meta.dirname);
/** Files at a time. Quick ones wait for disks and timers part of their time; slow ones measure what they are given. */
const QUICK_AT_ONCE = Math.min(availableParallelism() + 1, 4);
const SLOW_AT_ONCE = 2;
/** What npm test does less of than test:all: random cases, processes for commands, and removals of databases. */
const QUICK: Variables = {
  TEST_CLI: 'here',
  TEST_FILE_TIMEOUT_MS: '600000',
  TEST_DATABASES: 'keep',
  TEST_FORGERIES: '1000',
  TEST_CLAIMS: '1000',
};
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const args = process.argv.slice(2);
const words = args.filter((word) => !word.startsWith('-'));
const flags = args.filter((word) => word.startsWith('-') && word !== '--all');
const all = args.includes('--all');
/** All quick files and no others: what is run for every change. */
const isQuickRun = words.length === 0 && !all;
process.exitCode = await runTests(wantedFiles(words, all), flags);

function wantedFiles(words: readonly string[], all: boolean): string[] {
  const files = testFiles();
  const wanted = chosen(files, { words, all });
  if (wanted.length === 0) {
    console.error(
      `No test file has ${words.join(' or ')} in its path. By test name: npm test -- --test-name-pattern=…`,
    );
    process.exit(2);
  }
  const slow = files.filter((file) => isSlow(file) && !wanted.includes(file)).length;
  if (words.length === 0 && slow > 0)
    console.log(`Left out: ${slow} slow files (*.slow.test.ts). npm run test:all runs them, too.`);
  return wanted;
}

type Variables = Readonly<Record<string, string>>;

async function runTests(files: readonly string[], flags: readonly string[]): Promise<number> {
  let stopping: NodeJS.Signals | undefined;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      stopping = signal;
    });
  }
  const database = await findDatabase();
  const folder = mkdtempSync(join(tmpdir(), 'linarite-tests-'));
  try {
    const template = files.length > 1 ? makeTemplate(folder, database) : {};
    const modules = isQuickRun ? groupModules(files, folder) : files.map((file) => join(ROOT, file));
    return stopping ? 1 : await runNode(modules, flags, { ...addressOf(database), ...template });
  } finally {
    rmSync(folder, { recursive: true, force: true });
    await database.server?.stop();
  }
}

interface Database {
  url?: string;
  /** Where it is ours. */
  server?: Postgres;
}

/** Where the PostgreSQL suites find their database, said in one line. */
async function findDatabase(): Promise<Database> {
  const given = process.env.TEST_POSTGRES_URL;
  if (given) {
    console.log('PostgreSQL suites: run, on the server that TEST_POSTGRES_URL names.');
    return { url: given };
  }
  const binaries = findPostgres();
  if (!binaries) {
    console.log(
      'PostgreSQL suites: SKIPPED. Install PostgreSQL 15 or newer (apt-get install postgresql), or set TEST_POSTGRES_URL.',
    );
    return {};
  }
  // Its files are removed at the end, so that it need not write them out before. What depends on syncs is tested by slow files.
  const server = await startPostgres(binaries, [
    'checkpoint_timeout=1h',
    'max_wal_size=8GB',
    ...(isQuickRun ? ['fsync=off'] : []),
  ]);
  console.log(`PostgreSQL suites: run, on a throwaway server from ${binaries}.`);
  return { url: server.url, server };
}

function addressOf({ url }: Database): Variables {
  return url === undefined ? {} : { TEST_POSTGRES_URL: url };
}

/** What a server has after its first start, for the tests to copy: once for a run, not once for a file. */
function makeTemplate(folder: string, database: Database): Variables {
  // A server that somebody named keeps no database of ours.
  const name = database.server === undefined ? [] : ['test_template'];
  const { status } = spawnSync(process.execPath, [join(ROOT, 'tests/harness/template.ts'), folder, ...name], {
    env: { ...environment(), ...addressOf(database) },
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error('no server could be started for the tests to copy; see above');
  return { TEST_TEMPLATE: folder, ...(name[0] !== undefined && { TEST_TEMPLATE_DATABASE: name[0] }) };
}

/** Modules that import a group of test files each, so that the group shares a process. */
function groupModules(files: readonly string[], folder: string): string[] {
  return groupsOf(files).map((group, index) => {
    const module = join(folder, `group-${index + 1}.test.mjs`);
    writeFileSync(module, group.map((file) => `import '${pathToFileURL(join(ROOT, file))}';\n`).join(''));
    return module;
  });
}

/** Settings of whoever runs the tests must not decide what the tests see. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(?:LINARITE_|TEST_TEMPLATE)/.test(name)));
}

async function runNode(modules: readonly string[], flags: readonly string[], variables: Variables): Promise<number> {
  const options = [
    `--test-concurrency=${modules.some(isSlow) ? SLOW_AT_ONCE : QUICK_AT_ONCE}`,
    `--import=${import.meta.resolve('./file-timeout.ts')}`,
    '--test-reporter=spec',
    ...flags,
  ];
  const runner = spawn(process.execPath, ['--test', ...options, ...modules], {
    cwd: ROOT,
    env: { ...(isQuickRun ? QUICK : {}), ...environment(), ...variables },
    stdio: 'inherit',
  });
  for (const signal of SIGNALS) process.on(signal, () => runner.kill(signal));
  const [code] = (await once(runner, 'exit')) as [number | null];
  return code ?? 1;
}
