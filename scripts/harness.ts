// npm run harness -- <name> [size…] [flags]: a harness at the size that a release needs, or at the sizes given. A size that
// is set in the environment holds, too; so does TEST_SEED. HARNESS_RESULTS=<folder> keeps the figures.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { HARNESSES, type Harness } from './harnesses.ts';

const ROOT = dirname(import.meta.dirname);
const HOURS_MS = 6 * 3_600_000;

const [name, ...args] = process.argv.slice(2);
const harness = name === undefined ? undefined : HARNESSES[name];
process.exitCode = harness ? run(harness, args) : help(name);

function run(harness: Harness, args: readonly string[]): number {
  if (harness.program !== undefined) return start([harness.program, ...args], {});
  const flags = args.filter((arg) => arg.startsWith('-'));
  const given = args.filter((arg) => !arg.startsWith('-'));
  const variables = Object.entries(harness.sizes ?? {});
  if (given.length > variables.length) {
    console.error(`${name} has ${variables.length} sizes: ${variables.map(([variable]) => variable).join(' ')}`);
    return 2;
  }
  const sizes = Object.fromEntries(
    variables.map(([variable, release], index) => [variable, given[index] ?? process.env[variable] ?? release]),
  );
  return start(['scripts/test.ts', ...(harness.words ?? []), ...flags], sizes);
}

function start([program = '', ...args]: readonly string[], sizes: Readonly<Record<string, string>>): number {
  const { status } = spawnSync(process.execPath, [join(ROOT, program), ...args], {
    env: { TEST_FILE_TIMEOUT_MS: String(HOURS_MS), ...process.env, ...sizes },
    stdio: 'inherit',
  });
  return status ?? 1;
}

/** @returns the exit code: to ask for the list is no mistake, a name that is not in it is one */
function help(name: string | undefined): number {
  if (name !== undefined) console.error(`There is no harness ${name}.`);
  const print = name === undefined ? console.log : console.error;
  print('npm run harness -- <name> [size…]    without a size: as a release needs it\n');
  for (const [one, { does, sizes = {} }] of Object.entries(HARNESSES)) {
    const variables = Object.entries(sizes).map(([variable, release]) => `${variable}=${release}`);
    print(`  ${one.padEnd(12)} ${does}${variables.length > 0 ? `\n  ${''.padEnd(12)} ${variables.join(' ')}` : ''}`);
  }
  return name === undefined ? 0 : 2;
}
