import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { TestServer } from '../server.ts';

export const ROOT = join(import.meta.dirname, '../../..');
export const EXAMPLE = join(ROOT, 'examples/trusted-service');

/** An example as somebody has it who has just fetched the repository. */
export function copyExample(folder: string, example = EXAMPLE): void {
  const made = /^\/(?:node_modules|data|page\/dist|package-lock\.json)/;
  cpSync(example, folder, { recursive: true, filter: (path) => !made.test(path.slice(example.length)) });
}

/** Puts the page together by the command in the example's package.json, with this repository's packages. */
export function buildCopy(folder: string): void {
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const { scripts } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const [, ...args] = (scripts.build as string).split(' ');
  execFileSync(process.execPath, args, { cwd: folder });
}

/** What the README has its reader export. */
export const environmentFor = ({ server, port }: TestServer): Record<string, string | undefined> => ({
  PATH: process.env.PATH,
  NODE_EXTRA_CA_CERTS: server.caPath,
  AZURE_COMMUNICATION_ENDPOINT: server.endpoint,
  IDENTITY_ENDPOINT: `http://localhost:${port}/msi/token`,
  IDENTITY_HEADER: 'published-secret-of-the-development-issuer',
  TOKEN_CACHE_KEY: Buffer.alloc(32, 7).toString('base64'),
  PORT: '0',
});

export interface RunningService {
  /** Its address, without a slash behind. */
  readonly origin: string;
  stop(): Promise<void>;
}

type Environment = Record<string, string | undefined>;

/** Runs a command that starts the service, in a group of its own, until the service says where it is. */
export async function startService(
  command: string,
  args: readonly string[],
  cwd: string,
  env: Environment,
): Promise<RunningService> {
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.pid === undefined) return;
    process.kill(-child.pid, 'SIGTERM');
    await once(child, 'exit');
  };
  try {
    return { origin: await originOf(child), stop };
  } catch (cause) {
    await stop();
    throw cause;
  }
}

/** @throws Error with what the process said, when it ends or takes more than five minutes */
function originOf(child: ChildProcess): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let said = '';
  const failed = (how: string) => reject(new Error(`${how}:\n${said.slice(-2000)}`));
  const timer = setTimeout(() => failed('the service did not start'), 5 * 60_000);
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      const origin = /^The trusted service is at (http\S+)\/$/m.exec(said)?.[1];
      if (origin !== undefined) resolve(origin);
    });
  }
  child.on('error', ({ message }) => failed(message));
  child.on('exit', (code) => failed(`the service ended with ${code}`));
  return promise.finally(() => clearTimeout(timer));
}

/** A user of the example, as its README has them in a table. */
export interface DemoUser {
  readonly name: string;
  readonly password: string;
  readonly role: string;
  readonly scopes: readonly string[];
}

export const demoUsers = (readme: string): DemoUser[] =>
  [...readme.matchAll(/^\| `([^`]+)` \| `([^`]+)` \| (\w+) \| [^|]+ \| ([^|]+) \|$/gm)].map(
    ([, name = '', password = '', role = '', scopes = '']) => ({
      name,
      password,
      role,
      scopes: scopes.trim().replaceAll('`', '').split(', '),
    }),
  );
