// npm run harness -- clients [--write] [words]: every client that the documents name, in its oldest and newest release, against
// a real server over HTTPS; with words only the clients whose names contain one. Installs into .cache/. With --write the
// results go into docs/reference and README.md; without, they are compared with what stands there. Last come the READMEs of
// examples/trusted-service and examples/entra-users, and the guide to az, followed word by word (by these words alone too).
import { cpSync, mkdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { AZ_GUIDE, followAzGuide } from './az.ts';
import { README as ENTRA_USERS, followEntraUsers } from './entra-users.ts';
import { type Finding, OPERATIONS, type OperationKey, TOOL_CHECKS } from './operations.ts';
import { type ClientResults, nameOf, readResults, readToolResults, type ToolResults, writeResults } from './page.ts';
import { checkSdkProblems, javaPrograms, javascriptPrograms, pythonPrograms, type SdkProgram } from './sdk-problems.ts';
import {
  CACHE,
  CLIENTS,
  clientEnvironment,
  findingsOf,
  machineEnvironment,
  managedIdentity,
  missing,
  NotRun,
  type Outcome,
  ROOT,
  type Runnable,
  type RunningServer,
  run,
  startServer,
  succeeded,
} from './test-environment.ts';
import { AZ_RELEASE, TOOLS } from './tools.ts';
import { followTrustedService, README as TRUSTED_SERVICE } from './trusted-service.ts';

const HERE = import.meta.dirname;

/** How Maven is run: with a repository of its own. */
const MAVEN = {
  env: { ...machineEnvironment(), MAVEN_OPTS: `-Dmaven.repo.local=${join(CLIENTS, 'm2')}` },
  minutes: 10,
};

type Client = Runnable<OperationKey>;

/** Programs with the newest SDKs, for the problems that the guide describes. */
const programs: SdkProgram[] = [];

/** Pages whose commands are followed: path of the page → what follows it. */
const GUIDES: readonly [path: string, follow: (server: RunningServer) => Promise<string[]>][] = [
  [TRUSTED_SERVICE, followTrustedService],
  [ENTRA_USERS, followEntraUsers],
  [AZ_GUIDE, followAzGuide(AZ_RELEASE)],
];

const isBefore = (release: string, other: string): boolean =>
  release.localeCompare(other, undefined, { numeric: true }) < 0;

const JAVASCRIPT = { language: 'JavaScript', sdk: '@azure/communication-identity' };
const PYTHON = { language: 'Python', sdk: 'azure-communication-identity' };
const JAVA = { language: 'Java', sdk: 'com.azure:azure-communication-identity' };
const DOTNET = { language: '.NET', sdk: 'Azure.Communication.Identity' };

const TABLE: readonly Client[] = [
  javascript('1.0.0', 'acs-identity-1.0.0'),
  javascript('1.1.0', 'acs-identity-1.1.0'),
  javascript('1.2.0', 'acs-identity-1.2.0'),
  javascript('1.3.1', '@azure/communication-identity', 'newest'),
  python('1.0.0', 'blocking'),
  python('1.0.0', 'asyncio'),
  python('1.5.0', 'blocking', 'newest'),
  python('1.5.0', 'asyncio', 'newest'),
  java('1.1.1', '1.5.5'),
  java('1.4.10', '1.18.4', 'newest'),
  // Published, but not in the registry that the project's machines reach.
  java('1.6.10', '1.18.4'),
  {
    ...DOTNET,
    release: '1.3.1',
    async run() {
      throw new NotRun(
        'no .NET on the machine that ran the others; its requests are written out in `tests/wire/dotnet.test.ts`',
      );
    },
  },
];

function javascript(release: string, name: string, age?: 'newest'): Client {
  return {
    ...JAVASCRIPT,
    release,
    async run(server) {
      const env = clientEnvironment({ NODE_EXTRA_CA_CERTS: server.caPath });
      const found = await findings(process.execPath, [join(HERE, 'javascript-client.ts')], name, server, env);
      const folder = freshExample('javascript', release);
      linkPackages(folder, name);
      if (age === 'newest') programs.push(...javascriptPrograms(folder, server));
      const example = (file: string) => run(process.execPath, [file], { cwd: folder, env: withValues(env, server) });
      return [
        ...found,
        shown('example quickstart', await example('quickstart.mjs'), /deleted both/),
        isBefore(release, '1.2.0')
          ? absent('example lifetime', 'lifetimes came with 1.2.0')
          : shown('example lifetime', await example('lifetime.mjs'), /for 60 minutes/),
        shown('example endpoint-and-key', await example('endpoint-and-key.mjs'), /created .+ at https:/),
        await readme('javascript', age, server),
      ];
    },
  };
}

/** Lets a copy of the example find a release that the repository has under another name, with what belongs to it. */
function linkPackages(folder: string, name: string): void {
  const modules = join(folder, 'node_modules/@azure');
  mkdirSync(modules, { recursive: true });
  const sdk = realpathSync(join(ROOT, 'node_modules', name));
  const entry = createRequire(join(sdk, 'package.json')).resolve('@azure/core-auth');
  symlinkSync(sdk, join(modules, 'communication-identity'));
  symlinkSync(entry.slice(0, entry.lastIndexOf('/core-auth/') + '/core-auth'.length), join(modules, 'core-auth'));
}

function python(release: string, kind: 'blocking' | 'asyncio', age?: 'newest'): Client {
  return {
    ...PYTHON,
    release,
    kind,
    async run(server) {
      const program = await pythonWith(release);
      const env = clientEnvironment({
        [kind === 'asyncio' ? 'SSL_CERT_FILE' : 'REQUESTS_CA_BUNDLE']: server.caPath,
        PYTHONDONTWRITEBYTECODE: '1',
      });
      const client = kind === 'asyncio' ? 'async' : 'sync';
      const found = await findings(program, [join(HERE, 'python_client.py')], client, server, env);
      const folder = freshExample('python', `${release}-${kind}`);
      const example = (file: string) => run(program, [file], { cwd: folder, env: withValues(env, server) });
      if (age === 'newest' && kind === 'blocking') programs.push(...pythonPrograms(program, server));
      if (kind === 'asyncio') {
        return [
          ...found,
          shown('example quickstart', await example('quickstart_async.py'), /deleted both/),
          absent('example lifetime', 'there is one for the blocking client'),
          absent('example endpoint-and-key', 'there is one for the blocking client'),
          await readme('python', age, server),
        ];
      }
      return [
        ...found,
        shown('example quickstart', await example('quickstart.py'), /deleted both/),
        isBefore(release, '1.3.0')
          ? absent('example lifetime', 'lifetimes came with 1.3.0')
          : shown('example lifetime', await example('lifetime.py'), /for an hour/),
        isBefore(release, '1.4.0')
          ? absent('example endpoint-and-key', 'AzureKeyCredential came with 1.4.0; before, the key itself')
          : shown('example endpoint-and-key', await example('endpoint_and_key.py'), /created .+ at https:/),
        await readme('python', age, server),
      ];
    },
  };
}

/** A Python that has a release installed. @throws NotRun */
async function pythonWith(release: string): Promise<string> {
  if (missing('python3')) throw new NotRun('python3 is not installed');
  const folder = join(CLIENTS, `python-${release}-venv`);
  const program = join(folder, 'bin/python');
  const wanted = [`azure-communication-identity==${release}`, 'aiohttp', 'azure-identity==1.27.0'];
  if (release === '1.5.0') wanted.push('azure-mgmt-communication==3.0.0');
  // It says so nowhere, but does not load without.
  if (release === '1.0.0') wanted.push('six');
  if ((await run(program, ['-c', 'import azure.communication.identity.aio, azure.identity, aiohttp'])).code === 0)
    return program;
  rmSync(folder, { recursive: true, force: true });
  const env = machineEnvironment();
  const made = await run('python3', ['-m', 'venv', folder], { env });
  if (made.code !== 0) throw new NotRun('python3 has no venv module');
  succeeded(
    await run(program, ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', ...wanted], { env, minutes: 10 }),
  );
  return program;
}

/** @param credentials release of `azure-identity`, of about the same time */
function java(release: string, credentials: string, age?: 'newest'): Client {
  return {
    ...JAVA,
    release,
    async run(server) {
      const lacking = missing('java', 'javac', 'keytool', 'mvn');
      if (lacking) throw new NotRun(`${lacking} is not installed`);
      const folder = freshExample('java', release);
      if (isBefore(release, '1.4.0')) rmSync(join(folder, 'src/main/java/Lifetime.java'));
      const built = await run(
        'mvn',
        ['-q', '-B', `-Dsdk.version=${release}`, 'package', 'dependency:copy-dependencies'],
        { cwd: folder, ...MAVEN },
      );
      if (/Could not find artifact|was not found in/.test(built.output + built.errors)) {
        throw new NotRun('not in the Maven repository of the machine that ran the others');
      }
      succeeded(built);
      copyClient(folder);
      const pom = ['-f', join(HERE, 'pom.xml'), `-Dsdk.version=${release}`, `-Dcredentials.version=${credentials}`];
      const place = `-DoutputDirectory=${join(folder, 'target/with-credentials')}`;
      succeeded(
        await run('mvn', ['-q', '-B', ...pom, 'dependency:copy-dependencies', place], { cwd: folder, ...MAVEN }),
      );
      const withCredentials = 'target/classes:target/with-credentials/*';
      succeeded(
        await run('javac', ['-d', 'target/classes', '-cp', withCredentials, 'JavaClient.java'], { cwd: folder }),
      );
      const classes = 'target/classes:target/dependency/*';
      const trust = await trustStore(folder, server);
      if (age === 'newest') programs.push(...(await javaPrograms(folder, trust)));
      const env = clientEnvironment({ JAVA_TOOL_OPTIONS: trust });
      const command = ['-cp', classes];
      const client = (path: string, kind: string) =>
        findings('java', ['-cp', path, 'JavaClient'], kind, server, env, folder);
      const found = [...(await client(classes, 'key')), ...(await client(withCredentials, 'credentials'))];
      const example = (name: string) => run('java', [...command, name], { cwd: folder, env: withValues(env, server) });
      return [
        ...found,
        shown('example quickstart', await example('Quickstart'), /deleted both/),
        isBefore(release, '1.4.0')
          ? absent('example lifetime', 'lifetimes came with 1.4.0')
          : shown('example lifetime', await example('Lifetime'), /for an hour/),
        shown('example endpoint-and-key', await example('EndpointAndKey'), /created .+ at https:/),
        await readme('java', age, server),
      ];
    },
  };
}

const copyClient = (folder: string): void => cpSync(join(HERE, 'JavaClient.java'), join(folder, 'JavaClient.java'));

/** A store that holds our authority and nothing else. @returns the options that make Java use it */
async function trustStore(folder: string, { caPath }: RunningServer): Promise<string> {
  const store = ['-storetype', 'PKCS12', '-storepass', 'changeit', '-keystore', 'trust.p12'];
  succeeded(
    await run('keytool', ['-importcert', '-noprompt', '-alias', 'ca', ...store, '-file', caPath], { cwd: folder }),
  );
  return [
    '-Djavax.net.ssl.trustStore=trust.p12',
    '-Djavax.net.ssl.trustStoreType=PKCS12',
    '-Djavax.net.ssl.trustStorePassword=changeit',
  ].join(' ');
}

/** An example as somebody has it who has just fetched the repository. */
function freshExample(name: string, release: string): string {
  const folder = join(CLIENTS, `${name}-${release}`);
  rmSync(folder, { recursive: true, force: true });
  const built = /node_modules|\.venv|__pycache__|target|package-lock\.json/;
  cpSync(join(ROOT, 'examples', name), folder, {
    recursive: true,
    filter: (path) => !built.test(path.slice(join(ROOT, 'examples', name).length)),
  });
  return folder;
}

/** The values that the examples ask the environment for. */
function withValues(env: Record<string, string | undefined>, { connectionString, task }: RunningServer) {
  return {
    ...env,
    AZURE_COMMUNICATION_CONNECTION_STRING: connectionString,
    AZURE_COMMUNICATION_ENDPOINT: `https://localhost:${task.port}/`,
    AZURE_COMMUNICATION_KEY: task.key,
  };
}

async function findings(
  command: string,
  args: readonly string[],
  client: string,
  server: RunningServer,
  env: Record<string, string | undefined>,
  cwd = CACHE,
): Promise<Finding[]> {
  const task = JSON.stringify({ client, ...server.task });
  const outcome = await run(command, [...args, task], { env: { ...env, ...managedIdentity(server) }, cwd });
  return findingsOf(outcome);
}

const absent = (operation: OperationKey, how: string): Finding => ({ operation, outcome: 'absent', how });

function shown(operation: OperationKey, { code, output, errors }: Outcome, says: RegExp): Finding {
  if (code === 0 && says.test(output)) return { operation, outcome: 'passed' };
  const how = `ended with ${code}: ${(errors || output).trim().slice(-600).replaceAll(/\s+/g, ' ')}`;
  return { operation, outcome: 'differs', how };
}

const followed = new Map<string, Promise<Outcome>>();

/** Does what the README of an example says: all its commands, with the values that the server printed in their places. */
async function readme(name: string, age: 'newest' | undefined, server: RunningServer): Promise<Finding> {
  if (age !== 'newest') return absent('readme', 'it names the newest release');
  const work = followed.get(name) ?? followReadme(name, server);
  followed.set(name, work);
  return shown('readme', await work, /deleted both[\s\S]+created .+ at https:/);
}

function followReadme(name: string, { caPath, connectionString }: RunningServer): Promise<Outcome> {
  const cwd = freshExample(name, 'readme');
  const text = readFileSync(join(cwd, 'README.md'), 'utf8');
  const script = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)]
    .map(([, commands]) => commands)
    .join('')
    .replaceAll('/path/that/the/server/printed/ca.pem', caPath)
    .replaceAll('the connection string that the server printed', connectionString);
  return run('sh', ['-euc', script], { cwd, ...MAVEN });
}

async function resultsOf<Key extends string>(
  client: Runnable<Key>,
  titles: Record<Key, string>,
  server: RunningServer,
): Promise<ClientResults<Key>> {
  const { language, sdk, release, kind } = client;
  const about = { language, sdk, release, ...(kind !== undefined && { kind }) };
  const differs = (how: string, found: readonly Finding<Key>[] = []): Finding<Key>[] =>
    (Object.keys(titles) as Key[])
      .filter((key) => !found.some(({ operation }) => operation === key))
      .map((operation) => ({ operation, outcome: 'differs', how }));
  try {
    const found = await client.run(server);
    return { ...about, findings: [...found, ...differs('the client said nothing about it', found)] };
  } catch (cause) {
    if (cause instanceof NotRun) return { ...about, notRun: cause.message, findings: [] };
    return { ...about, findings: differs((cause as Error).message) };
  }
}

function say(client: ClientResults<string>, seconds: number): void {
  const count = (outcome: Finding['outcome']) =>
    client.findings.filter((finding) => finding.outcome === outcome).length;
  console.log(
    client.notRun === undefined
      ? `${nameOf(client)}: ${count('passed')} passed, ${count('differs')} differ, ${count('absent')} it does not have (${seconds.toFixed(1)} s)`
      : `${nameOf(client)}: NOT RUN, ${client.notRun}`,
  );
  for (const { operation, outcome, how } of client.findings) {
    if (outcome === 'differs') console.log(`  ✖ ${operation}: ${how}`);
  }
}

/** What stands in the documents and is no longer so. What could not be run here says nothing. */
function outdated<Key extends string>(
  results: readonly ClientResults<Key>[],
  published: readonly ClientResults<Key>[],
): string[] {
  const known = new Map(published.map((client) => [nameOf(client), client]));
  return results
    .filter((client) => {
      const before = known.get(nameOf(client));
      const comparable = client.notRun === undefined && before?.notRun === undefined;
      return comparable && JSON.stringify(before) !== JSON.stringify(client);
    })
    .map(nameOf);
}

/** Runs those of a list whose names contain one of the words, or all when there are none. */
async function runAll<Key extends string>(
  clients: readonly Runnable<Key>[],
  titles: Record<Key, string>,
  words: readonly string[],
  server: RunningServer,
): Promise<ClientResults<Key>[]> {
  const results: ClientResults<Key>[] = [];
  for (const client of clients) {
    if (words.length > 0 && !words.some((word) => nameOf(client).includes(word))) continue;
    const started = performance.now();
    const result = await resultsOf(client, titles, server);
    results.push(result);
    say(result, (performance.now() - started) / 1000);
    const file = `${nameOf(result).replaceAll(/[^\w.]+/g, '-')}.json`;
    writeFileSync(join(CACHE, 'conformance', file), `${JSON.stringify(result, undefined, 1)}\n`);
  }
  return results;
}

async function main(): Promise<number> {
  const words = process.argv.slice(2).filter((word) => !word.startsWith('-'));
  const write = process.argv.includes('--write');
  if (write && words.length > 0) {
    console.error('--write needs all clients');
    return 2;
  }
  mkdirSync(CLIENTS, { recursive: true });
  mkdirSync(join(CACHE, 'conformance'), { recursive: true });

  const complaints: string[] = [];
  let results: ClientResults[] = [];
  let tools: ToolResults[] = [];
  const server = await startServer();
  try {
    results = await runAll(TABLE, OPERATIONS, words, server);
    tools = await runAll(TOOLS, TOOL_CHECKS, words, server);
    for (const complaint of await checkSdkProblems(programs, server))
      complaints.push(`docs/guides/troubleshooting.md: ${complaint}`);
    for (const [path, follow] of GUIDES) {
      if (words.length > 0 && !words.some((word) => path.includes(word))) continue;
      for (const complaint of await follow(server)) complaints.push(`${path}: ${complaint}`);
    }
  } finally {
    await server.stop();
  }

  for (const complaint of complaints) console.error(complaint);
  const differing =
    complaints.length > 0 ||
    [...results, ...tools].some(({ findings }) => findings.some(({ outcome }) => outcome === 'differs'));
  if (write) {
    writeResults(results, tools);
    console.log('wrote the conformance files in docs/reference and the table in README.md');
    return differing ? 1 : 0;
  }
  const old = [...outdated(results, readResults()), ...outdated(tools, readToolResults())];
  for (const name of old)
    console.error(`${name}: the documents say something else; npm run harness -- clients --write`);
  return differing || old.length > 0 ? 1 : 0;
}

process.exitCode = await main();
