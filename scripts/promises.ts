// npm run promises -- <folder>: takes the results of harnesses (HARNESS_RESULTS=<folder> npm run harness -- …) into
// docs/reference/promises.json and writes docs/promises.md from it. Without a folder it writes the page alone.
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isPassed, type Measured, PROMISES, type Promised } from './promise-table.ts';

const ROOT = dirname(import.meta.dirname);
const KEPT = join(ROOT, 'docs/reference/promises.json');
const PAGE = join(ROOT, 'docs/promises.md');

type Results = Readonly<Record<string, Measured>>;

const keptResults = (): Results => JSON.parse(readFileSync(KEPT, 'utf8'));

/** The page as the kept results make it. */
export function promisesPage(results: Results = keptResults()): string {
  const rows = PROMISES.map((promise) => ({ promise, found: resultsOf(promise, results) }));
  const measured = rows.filter(({ found }) => found.length > 0);
  const byTests = rows.filter(({ promise, found }) => found.length === 0 && isHeldByTests(promise));
  const holds = measured.filter(({ found }) => found.every(isPassed));
  return `${[
    '<!-- Written by `npm run promises` from docs/reference/promises.json. Changes go to scripts/promise-table.ts. -->',
    '# What is promised, and what was measured',
    'For each promise there is a harness that tries to break it. A harness counts only when it was also run against a **planted fault** and reported it. The figures were measured at the size that a release needs, or at the size that the figure says. The same harness runs at a smaller size in `npm run test:all`. You can run a harness with the command of its row. It prints its seed. Where the row has a seed, `TEST_SEED` repeats it.',
    `${holds.length} of ${PROMISES.length} hold as measured. Do not reach their goal: ${measured.length - holds.length}. Held by tests, without a figure: ${byTests.length}. Not measured here yet: ${PROMISES.length - measured.length - byTests.length}.`,
    ...groups(rows).flatMap(([group, entries]) => [
      `## ${group}`,
      ...entries.map(({ promise, found }) => entry(promise, found)),
    ]),
    '## What is not promised yet',
    'Several nodes at once (a partition between node and database, a rolling upgrade, failover) come with clustering. Its protocol is there already, and the randomised model above tests it. There are no promises about message stores, rooms and calls yet. The server notices damage on a disk only as row D6 says, because SQLite has no checksums of its own.',
  ].join('\n\n')}\n`;
}

function entry(promised: Promised, found: readonly Measured[]): string {
  const { id, promise, how, command } = promised;
  const lines = [`### ${id}. ${promise}`, how];
  if (found.length === 0) {
    const why = isHeldByTests(promised) ? 'Tests hold this promise; there is no figure.' : '**Not measured yet.**';
    return [...lines, `${why} \`${command}\``].join('\n\n');
  }
  return [
    ...lines,
    [
      '| | figures | planted fault | seed | measured |',
      '| --- | --- | --- | --- | --- |',
      ...found.map(
        (result) =>
          `| ${verdict(result)} | ${figures(result)} | ${planted(result)} | ${result.seed} | ${when(result)} |`,
      ),
    ].join('\n'),
    `\`${command}\``,
  ].join('\n\n');
}

const isHeldByTests = ({ command }: Promised): boolean => command.startsWith('npm test');

const verdict = (result: Measured): string => `${isPassed(result) ? 'holds' : 'misses its goal'}${variantOf(result)}`;
const variantOf = ({ id }: Measured): string => (id.endsWith('-postgres') ? ', PostgreSQL' : '');
const planted = ({ plantedFaultCaught }: Measured): string => (plantedFaultCaught ? 'reported' : 'not run');
const when = ({ date, commit, seconds }: Measured): string =>
  `${date.slice(0, 10)}, ${commit === null ? 'no commit' : `\`${commit.slice(0, 10)}\``}, ${Math.round(seconds)} s`;

const figures = ({ figures: all }: Measured): string =>
  Object.entries(all)
    .map(([name, value]) => `${words(name)} **${typeof value === 'number' ? value.toLocaleString('en') : value}**`)
    .join(', ');

/** `recoveryMsMost` → `recovery ms most`. */
const words = (name: string): string =>
  name.replaceAll(/([a-z\d])([A-Z])/g, (_, one, two) => `${one} ${two.toLowerCase()}`);

const resultsOf = ({ id }: Promised, results: Results): Measured[] =>
  [results[id], results[`${id}-postgres`]].filter((result) => result !== undefined);

function groups<T extends { promise: Promised }>(rows: readonly T[]): [string, T[]][] {
  const names = [...new Set(rows.map(({ promise }) => promise.group))];
  return names.map((name) => [name, rows.filter(({ promise }) => promise.group === name)]);
}

/** Takes what a folder has; a result of nothing that is promised is a mistake. */
function take(folder: string): void {
  const results = { ...keptResults() };
  for (const file of globSync('*.json', { cwd: folder })) {
    const result: Measured = JSON.parse(readFileSync(join(folder, file), 'utf8'));
    const id = basename(file, '.json');
    if (!PROMISES.some((promise) => id === promise.id || id === `${promise.id}-postgres`))
      throw new Error(`${file}: nothing of that id is promised in scripts/promise-table.ts`);
    results[id] = result;
    console.log(`${id}: ${isPassed(result) ? 'holds' : 'misses its goal'}`);
  }
  const sorted = Object.fromEntries(Object.entries(results).sort(([one], [other]) => one.localeCompare(other)));
  writeFileSync(KEPT, `${JSON.stringify(sorted, undefined, 2)}\n`);
}

if (import.meta.main) {
  const [folder] = process.argv.slice(2);
  if (folder !== undefined) take(folder);
  writeFileSync(PAGE, promisesPage());
}
