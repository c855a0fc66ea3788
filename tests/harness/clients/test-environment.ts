import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { APPLICATIONS, PUBLISHED_SECRET, USERS } from '../../../src/planes/sign-in/directory.ts';
import { Provider } from '../provider.ts';
import type { Finding, Task } from './operations.ts';
import type { ClientResults } from './page.ts';
import { makeTrusted, signedIn, teamsUserToken } from './teams-users.ts';

export const ROOT = join(import.meta.dirname, '../../..');
/** Installed packages and raw results; ignored by git. */
export const CACHE = join(ROOT, '.cache');
export const CLIENTS = join(CACHE, 'clients');

const SUBSCRIPTION = '/subscriptions/5e1f0057-0000-4000-8000-000000000001';
const VERSION = '2025-05-01';

/** A client that cannot be had here. Anything else that goes wrong is a failure. */
export class NotRun extends Error {}

/** A release of a client, and how it is run. */
export interface Runnable<Key extends string> extends Omit<ClientResults<Key>, 'notRun' | 'findings'> {
  /** @throws NotRun */
  run(server: RunningServer): Promise<Finding<Key>[]>;
}

/** A server process and what a client has to be told of it. */
export interface RunningServer {
  readonly connectionString: string;
  readonly caPath: string;
  readonly operatorKey: string;
  readonly task: Omit<Task, 'client'>;
  /** Where nobody listens. */
  readonly unusedPort: number;
  stop(): Promise<void>;
}

/** Starts the server as its users do, with a data folder of its own, on any free port. */
export async function startServer(): Promise<RunningServer> {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-clients-'));
  const child = spawn(process.execPath, [join(ROOT, 'src/main.ts')], {
    env: { ...machineEnvironment(), LINARITE_DATA: folder, LINARITE_PORT: '0', LINARITE_LOG_LEVEL: 'error' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const provider = await Provider.start();
  const stop = async (): Promise<void> => {
    await provider.stop();
    if (child.exitCode === null) {
      child.kill();
      await once(child, 'exit');
    }
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const said = await readyBlock(child);
    const found = (pattern: RegExp): string => pattern.exec(said)?.[1] ?? '';
    const port = Number(found(/^Endpoint: https:\/\/localhost:(\d+)\/$/m));
    const operatorKey = readFileSync(join(folder, 'operator.key'), 'utf8').trim();
    return {
      connectionString: found(/^Connection string: (.+)$/m),
      caPath: found(/^CA certificate: (.+)$/m),
      operatorKey,
      task: await taskOf(port, operatorKey, provider),
      unusedPort: await unusedPort(),
      stop,
    };
  } catch (cause) {
    await stop();
    throw cause;
  }
}

async function unusedPort(): Promise<number> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  listener.close();
  return port;
}

function readyBlock(child: ChildProcess): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let said = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    if (/^\s*curl .+\n/m.test(said)) resolve(said); // the last line of the block
  });
  child.on('exit', (code) => reject(new Error(`the server ended with ${code}:\n${said}`)));
  return promise;
}

/** Asks the management plane for both keys, and for a second resource; makes the provider trusted, and signs a user in. */
async function taskOf(port: number, operatorKey: string, provider: Provider): Promise<Omit<Task, 'client'>> {
  const asOperator = async (method: string, path: string, body?: object) => {
    const response = await fetch(`http://localhost:${port}${SUBSCRIPTION}${path}?api-version=${VERSION}`, {
      method,
      headers: { Authorization: `Bearer ${operatorKey}`, 'Content-Type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.json() as Promise<Record<string, string> & { properties: Record<string, string> }>;
  };
  const services = '/providers/Microsoft.Communication/communicationServices';
  const dev = `/resourceGroups/dev${services}/dev`;
  const neighbour = `/resourceGroups/dev${services}/neighbour`;
  const keys = await asOperator('POST', `${dev}/listKeys`);
  const place = { location: 'global', properties: { dataLocation: 'Europe' } };
  const other = (await asOperator('PUT', neighbour, place)).properties.immutableResourceId;
  const { immutableResourceId: resourceId = '' } = (await asOperator('GET', dev)).properties;
  await makeTrusted(provider, port, operatorKey);
  const { app, service } = APPLICATIONS;
  const nowhere = '00000000-0000-0000-0000-000000000000';
  return {
    port,
    key: keys.primaryKey ?? '',
    connectionString: keys.primaryConnectionString ?? '',
    secondaryConnectionString: keys.secondaryConnectionString ?? '',
    foreignIds: [`8:acs:${nowhere}_${nowhere}`, `8:acs:${other}_00000019-5466-0f71-aefa-4e3a0d002539`],
    resourceId,
    application: { tenant: 'adfs', id: service.clientId, secret: PUBLISHED_SECRET },
    teamsUser: {
      token: await signedIn(port),
      expiredToken: teamsUserToken(provider, -60),
      appId: app.clientId,
      userId: USERS[0]?.objectId ?? '',
    },
  };
}

/** The shell commands of a README, with the values that the server printed in their places. */
export const shellBlocks = (text: string, { caPath, task }: Pick<RunningServer, 'caPath' | 'task'>): string[] =>
  [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, commands = '']) =>
    commands
      .replaceAll('/path/that/the/server/printed/ca.pem', caPath)
      .replaceAll('localhost:7417', `localhost:${task.port}`),
  );

/** This machine's environment, without what would change servers or say that npm is at work. */
export function machineEnvironment(): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(LINARITE_|AZURE_|NODE_OPTIONS$|JAVA_TOOL_OPTIONS$|npm_)/.test(name),
    ),
  );
}

/** What a machine with a managed identity has in its environment: all that `DefaultAzureCredential` needs. */
export const managedIdentity = ({ task }: RunningServer): Record<string, string> => ({
  IDENTITY_ENDPOINT: `http://localhost:${task.port}/msi/token`,
  IDENTITY_HEADER: PUBLISHED_SECRET,
});

/** What a client finds in its environment: where programs are, and whom to trust. */
export const clientEnvironment = (trust: Record<string, string> = {}): Record<string, string | undefined> => ({
  PATH: process.env.PATH,
  HOME: process.env.HOME,
  LANG: 'C.UTF-8',
  ...trust,
});

export interface Outcome {
  code: number | null;
  output: string;
  errors: string;
}

interface Run {
  cwd?: string;
  env?: Record<string, string | undefined>;
  minutes?: number;
}

export async function run(
  command: string,
  args: readonly string[],
  { cwd = CACHE, env = clientEnvironment(), minutes = 3 }: Run = {},
): Promise<Outcome> {
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: minutes * 60_000 });
  const outcome: Outcome = { code: null, output: '', errors: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    outcome.output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    outcome.errors += text;
  });
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  child.on('error', (cause) => resolve({ ...outcome, errors: cause.message }));
  child.on('close', (code) => resolve({ ...outcome, code }));
  return promise;
}

/** @throws Error with what a program said before it failed */
export function succeeded({ code, output, errors }: Outcome): void {
  if (code !== 0) throw new Error(`ended with ${code}: ${(output + errors).trim().slice(-2000)}`);
}

/** The findings that a client program printed, one a line. @throws Error when it failed */
export function findingsOf<Key extends string>({ code, output, errors }: Outcome): Finding<Key>[] {
  if (code !== 0) throw new Error(`the client ended with ${code}: ${errors.slice(-2000)}`);
  return output
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Finding<Key>);
}

/** The first of these programs that this machine does not have. */
export const missing = (...programs: readonly string[]): string | undefined =>
  programs.find(
    (program) => !(process.env.PATH ?? '').split(delimiter).some((folder) => isProgram(join(folder, program))),
  );

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
