// npm test [-- words and flags]: runs the quick tests, or all whose path contains one of the words; flags go to
// `node --test`. npm run test:all: runs every test.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { findPostgres, type Postgres, startPostgres } from './postgres.ts';
import { chosen, isSlow, testFiles } from './test-files.ts';

const ROOT = dirname(import.meta.dirname);
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const args = process.argv.slice(2);
const words = args.filter((word) => !word.startsWith('-'));
const flags = args.filter((word) => word.startsWith('-') && word !== '--all');
process.exitCode = await runTests(wantedFiles(words, args.includes('--all')), flags);

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

async function runTests(files: readonly string[], flags: readonly string[]): Promise<number> {
  let stopping: NodeJS.Signals | undefined;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      stopping = signal;
    });
  }
  const postgres = await database();
  try {
    return stopping ? 1 : await runNode(files, flags, postgres.url);
  } finally {
    await postgres.server?.stop();
  }
}

/** Where the PostgreSQL suites find their database, said in one line. */
async function database(): Promise<{ url?: string; server?: Postgres }> {
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
  const server = await startPostgres(binaries);
  console.log(`PostgreSQL suites: run, on a throwaway server from ${binaries}.`);
  return { url: server.url, server };
}

async function runNode(files: readonly string[], flags: readonly string[], url: string | undefined): Promise<number> {
  const options = [
    '--test-concurrency=2',
    `--import=${import.meta.resolve('./file-timeout.ts')}`,
    '--test-reporter=spec',
    ...flags,
  ];
  // Settings of whoever runs the tests must not decide what the tests see.
  const clean = Object.entries(process.env).filter(([name]) => !name.startsWith('LINARITE_'));
  const env = { ...Object.fromEntries(clean), ...(url && { TEST_POSTGRES_URL: url }) };
  const runner = spawn(process.execPath, ['--test', ...options, ...files.map((file) => join(ROOT, file))], {
    cwd: ROOT,
    env,
    stdio: 'inherit',
  });
  for (const signal of SIGNALS) process.on(signal, () => runner.kill(signal));
  const [code] = (await once(runner, 'exit')) as [number | null];
  return code ?? 1;
}
