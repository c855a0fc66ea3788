// npm run test:<suite>: runs the harnesses of a suite at the size that a release needs. Variables that are set already stay.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';

interface Suite {
  /** Words of {@link file://./test.ts}. */
  readonly words: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

const SUITES: Readonly<Record<string, Suite>> = {
  secrets: {
    words: ['tests/secrets/'],
    env: {
      TEST_SECRETS_ROUNDS: '12',
      TEST_SECRETS_RESOURCES: '40',
      TEST_SECRETS_STARTS: '60',
      TEST_SECRETS_LINES: '20000',
      TEST_SECRETS_KILLS: '150',
    },
  },
  backup: { words: ['tests/backup/'], env: { TEST_BACKUPS: '25' } },
};

const [name = ''] = process.argv.slice(2);
const suite = SUITES[name];
if (!suite) throw new Error(`no suite ${name}: one of ${Object.keys(SUITES).join(', ')}`);
const { status } = spawnSync(process.execPath, [join(import.meta.dirname, 'test.ts'), ...suite.words], {
  cwd: dirname(import.meta.dirname),
  env: { TEST_FILE_TIMEOUT_MS: '3600000', ...suite.env, ...process.env },
  stdio: 'inherit',
});
process.exitCode = status ?? 1;
