// The pages about which client works how well, made from what the last run of the clients found. No cell is typed by hand.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Finding, OPERATIONS, type OperationKey, TOOL_CHECKS, type ToolCheck } from './operations.ts';

const ROOT = join(import.meta.dirname, '../../..');
const RESULTS = 'docs/reference/conformance.json';
const TOOL_RESULTS = 'docs/reference/conformance-tools.json';
const PAGE = 'docs/reference/conformance.md';
const README = 'README.md';
const MARKERS = /(<!-- conformance -->\n)[\s\S]*?(<!-- \/conformance -->)/;

/** What was found out about one release of one SDK, or of another client. */
export interface ClientResults<Key extends string = OperationKey> {
  language: string;
  /** Name of the package in its registry. */
  sdk: string;
  release: string;
  /** Where an SDK has several clients: which. */
  kind?: string;
  /** Why nothing was found out. */
  notRun?: string;
  findings: readonly Finding<Key>[];
}

export type ToolResults = ClientResults<ToolCheck>;

const read = (path: string) => JSON.parse(readFileSync(join(ROOT, path), 'utf8'));
export const readResults = (): ClientResults[] => read(RESULTS);
export const readToolResults = (): ToolResults[] => read(TOOL_RESULTS);

export function writeResults(results: readonly ClientResults[], tools: readonly ToolResults[]): void {
  for (const [path, found] of [
    [RESULTS, results],
    [TOOL_RESULTS, tools],
  ] as const)
    writeFileSync(join(ROOT, path), `${JSON.stringify(found, undefined, 1)}\n`);
  for (const [path, text] of conformancePages(results, tools)) writeFileSync(join(ROOT, path), text);
}

/** Every file that tells of the results: path from the root of the repository → the whole text. */
export const conformancePages = (
  results: readonly ClientResults[],
  tools: readonly ToolResults[],
): ReadonlyMap<string, string> =>
  new Map([
    [PAGE, page(results, tools)],
    [README, readFileSync(join(ROOT, README), 'utf8').replace(MARKERS, `$1${summary(results)}\n$2`)],
  ]);

export const nameOf = ({ language, release, kind }: Omit<ClientResults<string>, 'findings'>): string =>
  [language, kind && `(${kind})`, release].filter(Boolean).join(' ');

function page(results: readonly ClientResults[], tools: readonly ToolResults[]): string {
  return `${[
    `<!-- Written by \`npm run harness -- clients --write\` from ${RESULTS} and ${TOOL_RESULTS}. -->`,
    '# Conformance',
    'This page shows what unmodified clients see. Only the connection string and the trusted certificate authority were changed. Each client ran over HTTPS, in a separate process, against a server that was started in the same way as by `npm start`. The operations are those that the SDKs’ own suites test, and a few more. In the checks that use Entra instead of a key, `DefaultAzureCredential` has the two environment variables of a managed identity that the server prints at its start.',
    '**passed**: the client got the expected result. **–**: this release does not have the operation, or does not allow it. **differs**: the client got another result. A number in brackets names a note below the table.',
    '## SDKs',
    ...sections(results, OPERATIONS),
    '## Management and other clients',
    'These clients ran against the same server. Tools and libraries of the management plane sign in with the operator key as a client secret. One library signs requests with an access key and sends them over plain HTTP.',
    ...sections(tools, TOOL_CHECKS),
  ].join('\n\n')}\n`;
}

/** The clients, by language in the order of their first result. */
function byLanguage<Key extends string>(
  results: readonly ClientResults<Key>[],
): [language: string, clients: ClientResults<Key>[]][] {
  const languages = new Map<string, ClientResults<Key>[]>();
  for (const client of results) languages.set(client.language, [...(languages.get(client.language) ?? []), client]);
  return [...languages];
}

const sections = <Key extends string>(results: readonly ClientResults<Key>[], titles: Record<Key, string>): string[] =>
  byLanguage(results).flatMap(([language, clients]) => [`### ${language}`, ...section(clients, titles)]);

/** A language's packages, the table of the releases that were run, and notes on everything that is not plainly passed. */
function section<Key extends string>(clients: readonly ClientResults<Key>[], titles: Record<Key, string>): string[] {
  const reasons: string[] = [];
  const noteOf = (reason: string): number => {
    if (!reasons.includes(reason)) reasons.push(reason);
    return reasons.indexOf(reason) + 1;
  };
  const run = clients.filter(({ notRun }) => notRun === undefined);
  const rows = (Object.entries(titles) as [Key, string][]).map(([key, title]) => [
    title,
    ...run.map((client) => cell(client, key, noteOf)),
  ]);
  return [
    packagesOf(clients),
    ...(run.length > 0 ? [table(['Operation', ...run.map(columnOf)], rows)] : []),
    ...(reasons.length > 0 ? [reasons.map((reason, at) => `${at + 1}. ${reason}`).join('\n')] : []),
    ...clients.flatMap(({ notRun, ...client }) =>
      notRun === undefined ? [] : `Not run: ${columnOf(client)}, ${notRun}.`,
    ),
  ];
}

const packagesOf = (clients: readonly ClientResults<string>[]): string =>
  [...new Set(clients.map(({ sdk }) => `\`${sdk}\``))].join(', ');

const columnOf = ({ release, kind }: Pick<ClientResults<string>, 'release' | 'kind'>): string =>
  kind === undefined ? release : `${release} (${kind})`;

function cell<Key extends string>(
  { findings }: ClientResults<Key>,
  key: Key,
  noteOf: (reason: string) => number,
): string {
  const finding = findings.find(({ operation }) => operation === key);
  if (finding === undefined) return 'not run';
  const { outcome, how } = finding;
  if (outcome === 'passed') return 'passed';
  const word = outcome === 'absent' ? '–' : '**differs**';
  return how ? `${word} (${noteOf(how)})` : word;
}

/** The table of the README: a row for each language. */
function summary(results: readonly ClientResults[]): string {
  const rows = byLanguage(results).map(([language, clients]) => {
    const run = clients.filter(({ notRun }) => notRun === undefined);
    return [
      language,
      packagesOf(clients),
      [...new Set(run.map(({ release }) => release))].join(', ') || 'none',
      run.length > 0 ? counted(run) : '–',
      clients.flatMap(({ release, notRun }) => (notRun === undefined ? [] : `${release}: ${notRun}`)).join('; '),
    ];
  });
  return table(['Language', 'Package', 'Releases run', 'Checks passed', 'Not run'], rows);
}

function counted(clients: readonly ClientResults[]): string {
  const outcomes = clients.flatMap(({ findings }) => findings.map(({ outcome }) => outcome));
  const count = (outcome: Finding['outcome']) => outcomes.filter((one) => one === outcome).length;
  return `${count('passed')} of ${count('passed') + count('differs')}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|${' --- |'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}
