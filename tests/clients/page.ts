// The pages about which client works how well, made from what the last run of the clients found. No cell is typed by hand.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Finding, OPERATIONS, type OperationKey, TOOL_CHECKS, type ToolCheck } from './operations.ts';

const ROOT = join(import.meta.dirname, '../..');
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
    `<!-- Written by \`npm run test:clients -- --write\` from ${RESULTS} and ${TOOL_RESULTS}. -->`,
    '# Conformance',
    'What unmodified SDKs see when nothing but their connection string and the trusted certificate authority is changed: over HTTPS, each in a process of its own, against a server started the way `npm start` does. The operations are those that the SDKs’ own suites assert, and a few more. Where Entra stands in place of the key, `DefaultAzureCredential` has the two environment variables of a managed identity that the server prints at its start.',
    '**passed**: as it should be. **–**: this release has no such thing, or does not let it happen; the notes say why. **not run**: the notes say why.',
    findingsTable(results, OPERATIONS),
    '## Notes',
    notes(results, OPERATIONS),
    '## Management and other clients',
    'What else was run against the same server: tools and libraries of the management plane, which sign in with the operator key as a client secret, and a library that signs requests with an access key, sent over plain HTTP.',
    findingsTable(tools, TOOL_CHECKS),
    '### Notes on these',
    notes(tools, TOOL_CHECKS),
  ].join('\n\n')}\n`;
}

function findingsTable<Key extends string>(
  results: readonly ClientResults<Key>[],
  titles: Record<Key, string>,
): string {
  const rows = (Object.entries(titles) as [Key, string][]).map(([key, title]) => [
    title,
    ...results.map((client) => cell(client, key)),
  ]);
  return table(['Operation', ...results.map(nameOf)], rows);
}

function cell<Key extends string>({ notRun, findings }: ClientResults<Key>, key: Key): string {
  if (notRun !== undefined) return 'not run';
  switch (findings.find(({ operation }) => operation === key)?.outcome) {
    case 'passed':
      return 'passed';
    case 'absent':
      return '–';
    case 'differs':
      return '**differs**';
    case undefined:
      return 'not run';
  }
}

/** Everything that is not plainly passed: each reason once for the operations and the clients that have it in common. */
function notes<Key extends string>(results: readonly ClientResults<Key>[], all: Record<Key, string>): string {
  const clientsOf = new Map<string, { why: string; title: string; names: string[] }>();
  const add = (why: string, title: string, client: ClientResults<Key>): void => {
    const entry = clientsOf.get(`${why}\n${title}`) ?? { why, title, names: [] };
    entry.names.push(nameOf(client));
    clientsOf.set(`${why}\n${title}`, entry);
  };
  for (const client of results) {
    if (client.notRun !== undefined) add(`not run: ${client.notRun}`, 'everything', client);
    for (const { operation, outcome, how = '' } of client.findings) {
      if (outcome !== 'passed') add(outcome === 'differs' ? `**differs**: ${how}` : how, all[operation], client);
    }
  }
  const titlesOf = new Map<string, string[]>();
  for (const { why, title, names } of clientsOf.values()) {
    const note = `${names.join(', ')}: ${why}`;
    titlesOf.set(note, [...(titlesOf.get(note) ?? []), title]);
  }
  return [...titlesOf].map(([note, titles]) => `- ${note} (${titles.join('; ')})`).join('\n');
}

function summary(results: readonly ClientResults[]): string {
  const rows = results.map((client) => [
    `${client.language}${client.kind === undefined ? '' : ` (${client.kind})`} \`${client.sdk}\``,
    client.release,
    client.notRun === undefined ? counted(client) : `not run: ${client.notRun}`,
  ]);
  return table(['SDK', 'Release', 'Operations'], rows);
}

function counted({ findings }: ClientResults): string {
  const count = (outcome: Finding['outcome']) => findings.filter((finding) => finding.outcome === outcome).length;
  const [passed, differs] = [count('passed'), count('differs')];
  return differs === 0 ? `all ${passed} that it has` : `${passed} of the ${passed + differs} that it has`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|${' --- |'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}
