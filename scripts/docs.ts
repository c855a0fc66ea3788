// npm run docs: writes docs/reference from the tables of the sources. With --check it only compares.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { grantOf } from '../src/capabilities/capabilities.ts';
import { CHAT, type Grant, VOIP } from '../src/capabilities/tables.ts';
import { ERRORS, REASONS } from '../src/errors.ts';
import { apiDocument } from '../src/http/openapi.ts';
import type { Access, Route } from '../src/http/route.ts';
import { API_VERSIONS, type ApiVersion } from '../src/http/versions.ts';
import type { MetricRow } from '../src/monitoring/metrics.ts';
import { METRICS } from '../src/monitoring/server-metrics.ts';
import { type RouteParts, routeList } from '../src/routes.ts';
import { SETTINGS } from '../src/settings.ts';
import { promisesPage } from './promises.ts';

const ROOT = dirname(import.meta.dirname);

type JsonSchema = Readonly<Record<string, unknown>>;

/** Every route of the server. Building the lists calls none of the parts, so it needs none here. */
const ROUTES = routeList({ mode: 'production' } as RouteParts);
const DEV_ROUTES = routeList({ mode: 'dev' } as RouteParts).filter(
  ({ operation }) => !ROUTES.some((route) => route.operation === operation),
);

/** The generated pages: path from the root of the repository → text. */
export const referencePages = (): ReadonlyMap<string, string> =>
  new Map([
    ['docs/reference/settings.md', settingsPage()],
    ['docs/reference/errors.md', errorsPage()],
    ['docs/reference/capabilities.md', capabilitiesPage()],
    ['docs/reference/metrics.md', metricsPage()],
    ['docs/promises.md', promisesPage()],
    ['docs/reference/operations.md', operationsPage(ROUTES, DEV_ROUTES, examples())],
    ['docs/reference/openapi.json', `${JSON.stringify(apiDocument(ROUTES), undefined, 2)}\n`],
  ]);

/** The pages on disk that differ from what the tables say. */
export const outdatedPages = (): string[] =>
  [...referencePages()].filter(([path, text]) => textOf(path) !== text).map(([path]) => path);

function settingsPage(): string {
  const rows = Object.values(SETTINGS).map(({ variable, standard, prose, ...row }) => [
    `\`${variable}\``,
    standard === undefined ? 'none' : standard === '' ? 'empty' : `\`${standard}\``,
    'secret' in row && row.secret ? `${prose} Secret: never shown.` : prose,
  ]);
  return page(
    'Settings',
    'src/settings.ts',
    'All settings are environment variables. The server reads them once, at the start. If a value cannot be used, the start ends with exit code 2 and one line that says what the value must be. An unknown name that begins with `LINARITE_` ends the start, too.',
    table(['Variable', 'Default', 'What it is for'], rows),
  );
}

function errorsPage(): string {
  const errors = Object.entries(ERRORS).map(([name, error]) => [
    `\`${name}\``,
    String(error.status),
    `\`${error.code}\``,
    error.message,
    'target' in error ? `\`${error.target}\`` : '',
  ]);
  const reasons = Object.entries(REASONS).map(([reason, prose]) => [`\`${reason}\``, prose]);
  return page(
    'Errors',
    'src/errors.ts',
    'This is what a client can receive: `{ "error": { "code", "message", "target" } }` with the status. `{names}` in a message stand for values of the request.',
    table(['Name', 'Status', 'Code', 'Message', 'Target'], errors),
    '## Reasons',
    'A reason says more exactly why a request was refused. It is in the field `reason` of log lines, in the label of `linarite_refusals_total`, and in dev mode in the response header `x-linarite-reason`. An error without a reason of its own has its name as the reason.',
    table(['Reason', 'Meaning'], reasons),
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
    'What each scope of an access token permits. A token with several scopes may do what any of them permits.',
    '## Chat',
    grid(CHAT),
    '## Calling',
    grid(VOIP),
  );
}

function metricsPage(): string {
  const rows = Object.values(METRICS).map((row: MetricRow) => [
    `\`${row.name}\``,
    row.kind,
    (row.labels ?? []).map((label) => `\`${label}\``).join(', '),
    row.help,
    row.alarm ?? '',
  ]);
  return page(
    'Metrics',
    'src/monitoring/server-metrics.ts',
    '`GET /-/metrics` answers in the OpenMetrics format. No label names a resource, an identity or a key.',
    table(['Metric', 'Kind', 'Labels', 'Meaning', 'Suggested alarm'], rows),
  );
}

/** A request of an operation and its answer, as text of HTTP; recorded by tests/docs/examples.test.ts. */
interface Example {
  readonly request: string;
  readonly answer: string;
}

const examples = (): Readonly<Record<string, Example>> => JSON.parse(textOf('docs/reference/examples.json') ?? '{}');

/** What the page calls the lists of api-versions. */
const PLANES = { identity: 'Identity', management: 'Management' } as const;

/**
 * The page of operations, in the order of the routes.
 * @param devRoutes those that production mode does not have
 * @param shown operation → its example
 */
export function operationsPage(
  routes: readonly Route[],
  devRoutes: readonly Route[] = [],
  shown: Readonly<Record<string, Example>> = {},
): string {
  return page(
    'Operations',
    'the route lists and docs/reference/examples.json',
    'Every operation of the server. Paths are written as the protocol writes them. For machines there is [openapi.json](openapi.json), and `GET /-/openapi.json` of a running server.',
    'Each example was recorded from a real server. `Host` and the headers that every request has are left out. Values that differ each time are replaced by others, and `…` stands for what was cut.',
    '- `Authorization: HMAC-SHA256 …` is the signature by an access key. The SDKs make it, and send it with `x-ms-date` and `x-ms-content-sha256`.\n- `<operator key>` is the content of `operator.key` in the data folder, or `LINARITE_OPERATOR_KEY`.',
    '## Api-versions',
    'The client names the version in the query: `?api-version=…`. A version that is later than all of these is served as the newest. Operations of our own, most of them under `/-/`, have no version.',
    table(
      ['Plane', 'Api-versions, oldest first'],
      Object.entries(API_VERSIONS).map(([plane, list]) => [
        PLANES[plane as keyof typeof PLANES],
        list.map((version) => `\`${version}\``).join(', '),
      ]),
    ),
    ...[...routes, ...devRoutes].flatMap((route) => [
      `## ${route.operation}`,
      `\`${route.at}\``,
      route.summary,
      [
        ...(devRoutes.includes(route) ? ['- Development mode only.'] : []),
        `- Caller: ${callerWords(route.access)}`,
        `- Api-versions: ${route.versions ? versionWords(route.versions) : 'none'}`,
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

/** Api-versions without the whole list: those of a plane, from one to another. */
function versionWords(versions: readonly ApiVersion[]): string {
  const planes = Object.entries(API_VERSIONS) as [keyof typeof PLANES, readonly ApiVersion[]][];
  const [plane, all] = planes.find(([, list]) => versions.every((version) => list.includes(version))) ?? [];
  const [first, last] = [versions[0], versions.at(-1)];
  if (plane === undefined || all === undefined || first === undefined || last === undefined)
    return versions.map((version) => `\`${version}\``).join(', ');
  if (versions.length === all.length) return `all of ${PLANES[plane]}`;
  const [from, to] = [all.indexOf(first), all.indexOf(last)];
  if (to - from + 1 !== versions.length) return versions.map((version) => `\`${version}\``).join(', ');
  return `${PLANES[plane]}, from \`${first}\` ${to === all.length - 1 ? 'on' : `to \`${last}\``}`;
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
