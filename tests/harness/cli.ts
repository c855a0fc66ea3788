import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { runHere } from './cli-here.ts';
import type { TestServer } from './server.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');

/** What a command said, and its exit code. */
export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Options {
  env?: Readonly<Record<string, string | undefined>>;
  /** What standard input holds. */
  input?: string;
}

/** What a person's shell has that no test may depend on. */
const OURS = /^(?:LINARITE_|AZURE_|COMMUNICATION_|NODE_EXTRA_CA_CERTS$)/;

export const cleanEnvironment = (more: Options['env'] = {}) => ({
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !OURS.test(name))),
  ...more,
});

/** Runs the command line as a process of its own, without a terminal. */
export const cli = (args: readonly string[], options: Options = {}): Promise<Ran> =>
  run(process.execPath, [MAIN, ...args], options);

/** What only a process of its own can be told: what comes in, and variables that Node.js reads. */
const needsProcess = ({ env = {}, input }: Options): boolean =>
  process.env.TEST_CLI !== 'here' ||
  input !== undefined ||
  Object.keys(env).some((name) => !/^(?:LINARITE_|AZURE_|COMMUNICATION_)/.test(name));

/** Settings with which the command line finds a server of this test by itself. */
export const beside = ({ folder, server }: TestServer): Record<string, string> => ({
  LINARITE_DATA: folder,
  LINARITE_PORT: String(server.port),
});

/**
 * Runs a command that ends by itself and holds nothing open: in this process, which takes a tenth of the time, where that
 * makes no difference and TEST_CLI says so, as in `npm test`. Else it has a process of its own.
 */
export const command = (args: readonly string[], options: Options = {}): Promise<Ran> =>
  needsProcess(options) ? cli(args, options) : runHere(args, cleanEnvironment(options.env));

/** Runs a {@link command} beside a server. */
export const cliBeside = (server: TestServer, args: readonly string[], { env, ...options }: Options = {}) =>
  command(args, { env: { ...beside(server), ...env }, ...options });

/** As {@link cliBeside}, for a command that must succeed. @returns its JSON */
// biome-ignore lint/suspicious/noExplicitAny: tests look into whatever came
export async function cliJson(server: TestServer, args: readonly string[], options: Options = {}): Promise<any> {
  const { code, stdout, stderr } = await cliBeside(server, args, options);
  if (code !== 0 || stderr !== '') throw new Error(`linarite ${args.join(' ')}: ${code} ${stderr}`);
  return stdout === '' ? undefined : JSON.parse(stdout);
}

export const SCRIPT = '/usr/bin/script';
export const terminalSkip = { skip: !(process.platform === 'linux' && existsSync(SCRIPT)) && 'no script(1) here' };

/** Runs the command line at a terminal, where somebody types. */
export const cliAtTerminal = (args: readonly string[], { env, input }: Options): Promise<Ran> =>
  run(SCRIPT, ['-qec', [process.execPath, MAIN, ...args].map((word) => `'${word}'`).join(' '), '/dev/null'], {
    ...(env && { env }),
    ...(input !== undefined && { input }),
  });

export function run(file: string, args: readonly string[], { env, input }: Options = {}): Promise<Ran> {
  const { promise, resolve, reject } = Promise.withResolvers<Ran>();
  const child = spawn(file, args, { env: cleanEnvironment(env), stdio: 'pipe' });
  const [out, err] = [child.stdout.setEncoding('utf8').toArray(), child.stderr.setEncoding('utf8').toArray()];
  child.stdin.on('error', () => undefined); // it may end without reading
  child.stdin.end(input ?? '');
  child.on('error', reject);
  child.on('close', async (code) => resolve({ code, stdout: (await out).join(''), stderr: (await err).join('') }));
  return promise;
}
