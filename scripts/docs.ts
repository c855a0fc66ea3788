// npm run docs: writes docs/reference from the tables of the sources. With --check it only compares.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { grantOf } from '../src/capabilities/capabilities.ts';
import { CHAT, type Grant, VOIP } from '../src/capabilities/tables.ts';
import { CHORES } from '../src/chores/table.ts';
import type { ErrorShape } from '../src/errors/shape.ts';
import { ERROR_GROUPS, REASON_GROUPS } from '../src/errors.ts';
import type { Api } from '../src/http/dialect.ts';
import { apiDocument } from '../src/http/openapi.ts';
import type { Access, Route } from '../src/http/route.ts';
import { serviceDialect } from '../src/http/service-dialect.ts';
import type { MetricTable } from '../src/monitoring/metric-set.ts';
import { METRIC_GROUPS } from '../src/monitoring/server-metrics.ts';
import type { SettingTable } from '../src/settings/setting.ts';
import { SETTING_GROUPS } from '../src/settings.ts';
import { describedPlanes } from '../src/start/planes.ts';
import { promisesPage } from './promises.ts';

const ROOT = dirname(import.meta.dirname);

type JsonSchema = Readonly<Record<string, unknown>>;

const PLANES = describedPlanes('production');
/** What dev mode has beside them. */
const DEV_PLANES = describedPlanes('dev').map((plane) => ({
  ...plane,
  routes: plane.routes.filter(({ operation }) => !operationsOf(PLANES).includes(operation)),
}));

function operationsOf(planes: readonly Api[]): string[] {
  return planes.flatMap(({ routes }) => routes.map(({ operation }) => operation));
}

/** The generated pages: path from the root of the repository → text. */
export const referencePages = (): ReadonlyMap<string, string> =>
  new Map([
    ['docs/reference/settings.md', settingsPage()],
    ['docs/reference/errors.md', errorsPage()],
    ['docs/reference/capabilities.md', capabilitiesPage()],
    ['docs/reference/metrics.md', metricsPage()],
    ['docs/reference/chores.md', choresPage()],
    ['docs/promises.md', promisesPage()],
    ['docs/reference/operations.md', operationsPage(PLANES, DEV_PLANES, examples())],
    ['docs/reference/openapi.json', `${JSON.stringify(apiDocument(PLANES, serviceDialect), undefined, 2)}\n`],
  ]);

/** The pages on disk that differ from what the tables say. */
export const outdatedPages = (): string[] =>
  [...referencePages()].filter(([path, text]) => textOf(path) !== text).map(([path]) => path);

/** Title → table, where each group has a heading of its own. */
type Groups<Table> = Readonly<Record<string, Table>>;

/** @param groups title → table, in the order of the page */
export function settingsPage(groups: Groups<SettingTable> = SETTING_GROUPS): string {
  return page(
    'Settings',
    'src/settings.ts and src/settings/',
    'All settings are environment variables. The server reads them once, at the start. If the server cannot use a value, it ends with exit code 2 and prints one line that says what the value must be. It does the same for an unknown name that begins with `LINARITE_`.',
    ...sections(groups, '##', ['Variable', 'Default', 'What it is for'], (settings) =>
      Object.values(settings).map(({ variable, standard, prose, secret }) => [
        `\`${variable}\``,
        standard === undefined ? 'none' : standard === '' ? 'empty' : `\`${standard}\``,
        secret ? `${prose} Secret: never shown.` : prose,
      ]),
    ),
  );
}

type ErrorTable = Readonly<Record<string, ErrorShape>>;
type ReasonTable = Readonly<Record<string, string>>;

/** @param groups title → table, in the order of the page; likewise the reasons */
export function errorsPage(
  groups: Groups<ErrorTable> = ERROR_GROUPS,
  reasons: Groups<ReasonTable> = REASON_GROUPS,
): string {
  return page(
    'Errors',
    'src/errors.ts and src/errors/',
    'A client can receive these errors: `{ "error": { "code", "message", "target", "details", "innererror" } }` with the status. `{names}` in a message stand for values of the request. `target` is there when the error concerns one thing. `details` is a list of errors, and `innererror` one error, of the same shape; most errors have neither.',
    ...sections(groups, '##', ['Name', 'Status', 'Code', 'Message', 'Target'], (errors) =>
      Object.entries(errors).map(([name, { status, code, message, target }]) => [
        `\`${name}\``,
        String(status),
        `\`${code}\``,
        message,
        target === undefined ? '' : `\`${target}\``,
      ]),
    ),
    '## Reasons',
    'A reason says more exactly why a request was refused. It is in the field `reason` of log lines, in the label of `linarite_refusals_total`, and in dev mode in the response header `x-linarite-reason`. If an error has no separate reason, its name is the reason.',
    ...sections(reasons, '###', ['Reason', 'Meaning'], (rows) =>
      Object.entries(rows).map(([reason, prose]) => [`\`${reason}\``, prose]),
    ),
  );
}

const GRANT_WORDS: Readonly<Record<Grant, string>> = { granted: 'yes', denied: 'no', byRole: 'by room role' };

function capabilitiesPage(): string {
  const grid = ({ scopes, grants }: typeof CHAT | typeof VOIP) =>
    table(
      ['Capability', ...scopes.map((scope) => `\`${scope}\``)],
      (Object.keys(grants) as (keyof typeof CHAT.grants | keyof typeof VOIP.grants)[]).map((capability) => [
        `\`${capability}\``,
        ...scopes.map((scope) => GRANT_WORDS[grantOf(scope, capability)]),
      ]),
    );
  return page(
    'Capabilities',
    'src/capabilities/tables.ts',
    'The tables show what each scope of an access token permits. A token with several scopes permits everything that one of them permits.',
    '## Chat',
    grid(CHAT),
    '## Calling',
    grid(VOIP),
  );
}

/** @param groups title → table, in the order of the page */
export function metricsPage(groups: Groups<MetricTable> = METRIC_GROUPS): string {
  return page(
    'Metrics',
    'src/monitoring/server-metrics.ts and src/monitoring/tables/',
    '`GET /-/metrics` answers in the OpenMetrics format. No label names a resource, an identity or a key.',
    ...sections(groups, '##', ['Metric', 'Kind', 'Labels', 'Meaning', 'Suggested alarm'], (metrics) =>
      Object.values(metrics).map(({ name, kind, labels = [], help, alarm = '' }) => [
        `\`${name}\``,
        kind,
        labels.map((label) => `\`${label}\``).join(', '),
        help,
        alarm,
      ]),
    ),
  );
}

function choresPage(): string {
  const rows = Object.values(CHORES).map(({ name, where, periodMs, help }) => [
    name,
    where === 'oneNode' ? 'one node' : 'every node',
    periodWords(periodMs),
    help,
  ]);
  return page(
    'Chores',
    'src/chores/table.ts',
    'A chore is work that the server does again and again by itself. The first run is about a second after the start. Each chore has a timer of its own, so a slow chore delays no other one. A chore that failed is tried again after a minute at most.',
    'A chore of one node runs on one of the nodes that share a database, in each period. A lease in the database says which node that is. When that node is gone, its lease ends after a minute, and another node takes it.',
    'The metrics `linarite_chore_runs_total`, `linarite_chore_failures_total` and `linarite_chore_last_success_timestamp_seconds` have the name of the chore as their label, see [metrics](metrics.md).',
    table(['Chore', 'Runs on', 'Longest time between two runs', 'What it does'], rows),
  );
}

const UNITS = [
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1000],
] as const;

/** `1 hour`, `10 minutes`. */
function periodWords(ms: number): string {
  const [unit, unitMs] = UNITS.find(([, length]) => ms % length === 0) ?? ['millisecond', 1];
  return `${ms / unitMs} ${unit}${ms === unitMs ? '' : 's'}`;
}

/** A request of an operation and its answer, as text of HTTP; recorded by tests/docs/examples.test.ts. */
interface Example {
  readonly request: string;
  readonly answer: string;
}

const examples = (): Readonly<Record<string, Example>> => JSON.parse(textOf('docs/reference/examples.json') ?? '{}');

/** What the pages call a plane. */
const titleOf = ({ name }: Pick<Api, 'name'>): string => name.charAt(0).toUpperCase() + name.slice(1);

/**
 * The page of operations, in the order of the planes and their routes.
 * @param devPlanes those that production mode does not have
 * @param shown operation → its example
 */
export function operationsPage(
  planes: readonly Api[],
  devPlanes: readonly Api[] = [],
  shown: Readonly<Record<string, Example>> = {},
): string {
  return page(
    'Operations',
    'the route lists and docs/reference/examples.json',
    'This page lists every operation of the server. Paths have the spelling of the protocol. For programs there is [openapi.json](openapi.json), and `GET /-/openapi.json` of a running server.',
    'Each example was recorded from a real server. `Host` and the headers that every request has are left out. Values that differ each time are replaced by fixed ones, and `…` stands for text that was left out.',
    '- `Authorization: HMAC-SHA256 …` is the signature by an access key. The SDKs make it, and send it with `x-ms-date` and `x-ms-content-sha256`.\n- `<operator key>` is the content of `operator.key` in the data folder, or `LINARITE_OPERATOR_KEY`.',
    '## Api-versions',
    'The client names the version in the query: `?api-version=…`. The server treats a version that is later than all of these as the newest one. Our own operations, most of them under `/-/`, have no version.',
    table(
      ['Plane', 'Api-versions, oldest first'],
      planes
        .filter(({ versions }) => versions)
        .map((plane) => [titleOf(plane), (plane.versions ?? []).map((version) => `\`${version}\``).join(', ')]),
    ),
    ...[...planes, ...devPlanes]
      .flatMap((plane) => plane.routes.map((route) => ({ plane, route })))
      .flatMap(({ plane, route }) => [
        `## ${route.operation}`,
        `\`${route.at}\``,
        route.summary,
        [
          ...(devPlanes.includes(plane) ? ['- Development mode only.'] : []),
          `- Plane: ${plane.name}`,
          `- Caller: ${callerWords(route.access)}`,
          `- Api-versions: ${route.versions ? versionWords(route.versions, plane) : 'none'}`,
          ...Object.entries(route.query ?? {}).map(
            ([name, { json }]) => `- Query \`${name}\`: ${json.description ?? 'text'}`,
          ),
          ...(route.body ? [`- Body (${route.body.kind}): ${fields(route.body.schema.json)}`] : []),
          ...Object.entries(route.answers).map(([status, answer]) => `- ${status}: ${answerWords(answer)}`),
        ].join('\n'),
        ...exampleParts(shown[route.operation]),
      ]),
  );
}

const exampleParts = (example: Example | undefined): string[] =>
  example ? [`\`\`\`http\n${example.request}\n\`\`\``, `\`\`\`http\n${example.answer}\n\`\`\``] : [];

/** Api-versions without the whole list: those of the plane, from one to another. */
function versionWords(versions: readonly string[], plane: Api): string {
  const all = plane.versions ?? [];
  const [first = '', last = ''] = [versions[0], versions.at(-1)];
  if (versions.length === all.length) return `all of ${titleOf(plane)}`;
  const [from, to] = [all.indexOf(first), all.indexOf(last)];
  if (to - from + 1 !== versions.length) return versions.map((version) => `\`${version}\``).join(', ');
  return `${titleOf(plane)}, from \`${first}\` ${to === all.length - 1 ? 'on' : `to \`${last}\``}`;
}

function callerWords(access: Access): string {
  switch (access.caller) {
    case 'nobody':
      return access.from === 'loopback' ? 'anybody on this machine' : 'anybody';
    case 'service':
      return 'a service, by access key or trusted token';
    case 'operator':
      return access.scoped ? 'the operator, or a principal with the right to manage the resource' : 'the operator';
    case 'entraUser':
      return 'a user of a trusted directory, by its access token';
    case 'serviceOrOperator':
      return 'a service, by access key or trusted token, or the operator';
    case 'user':
      return `a user, by an access token ${access.requires === 'anyScope' ? 'with any scope' : `that grants \`${access.requires}\``}`;
  }
}

const answerWords = (answer: Route['answers'][number]): string =>
  answer === 'nothing' ? 'no body' : typeof answer === 'string' ? answer : fields(answer.json);

/** The first level of an object schema in words: `scopes` (array), `customId` (string or null, optional). */
function fields(schema: JsonSchema): string {
  const { properties = {}, required = [] } = schema as {
    properties?: Record<string, JsonSchema>;
    required?: readonly string[];
  };
  const words = Object.entries(properties).map(
    ([name, property]) => `\`${name}\` (${typeWords(property)}${required.includes(name) ? '' : ', optional'})`,
  );
  return words.join(', ') || typeWords(schema);
}

function typeWords(schema: JsonSchema): string {
  const { type, anyOf } = schema as { type?: string; anyOf?: readonly JsonSchema[] };
  return type ?? anyOf?.map(typeWords).join(' or ') ?? 'any';
}

function page(title: string, source: string, ...parts: readonly string[]): string {
  const notice = `<!-- Written by \`npm run docs\` from ${source}. Changes go there. -->`;
  return `${[notice, `# ${title}`, ...parts].join('\n\n')}\n`;
}

/** A heading and a table for each group. */
const sections = <Table>(
  groups: Groups<Table>,
  level: '##' | '###',
  head: readonly string[],
  rowsOf: (group: Table) => readonly (readonly string[])[],
): string[] => Object.entries(groups).flatMap(([title, group]) => [`${level} ${title}`, table(head, rowsOf(group))]);

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|${' --- |'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(join(ROOT, path), 'utf8');
  } catch {
    return undefined;
  }
}

function check(): void {
  const outdated = outdatedPages();
  for (const path of outdated) console.error(`${path} is out of date: npm run docs`);
  process.exitCode = outdated.length === 0 ? 0 : 1;
}

function writePages(): void {
  for (const path of outdatedPages()) {
    mkdirSync(dirname(join(ROOT, path)), { recursive: true });
    writeFileSync(join(ROOT, path), referencePages().get(path) ?? '');
    console.log(`wrote ${path}`);
  }
}

if (import.meta.main) {
  if (process.argv.includes('--check')) check();
  else writePages();
}
