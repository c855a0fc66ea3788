import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const MAIN = join(import.meta.dirname, '../../src/main.ts');
const PATIENCE_MS = 30_000;

/** A server in a process of its own, to be killed. */
export interface ChildServer {
  readonly port: number;
  readonly pid: number;
  /** Ends it at once, as a power failure of the process would: nothing is flushed, nothing is said. */
  kill(): Promise<void>;
}

/**
 * Starts a server and waits until it answers.
 * @param env settings, by their environment variables; without one for the database it is SQLite in the folder
 */
export async function startChild(folder: string, env: Readonly<Record<string, string>> = {}): Promise<ChildServer> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('LINARITE_'));
  const child = spawn(process.execPath, [MAIN], {
    env: { ...Object.fromEntries(inherited), LINARITE_DATA: folder, LINARITE_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const killed = (): void => void child.kill('SIGKILL');
  process.once('exit', killed);
  child.once('exit', () => process.off('exit', killed));
  return { port: await portOf(child), pid: child.pid ?? 0, kill: () => end(child) };
}

async function portOf(child: ChildProcess): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const last: string[] = [];
  const fail = (): void => reject(new Error(`the server did not start:\n${last.slice(-5).join('\n')}`));
  const patience = setTimeout(fail, PATIENCE_MS);
  if (child.stderr) createInterface(child.stderr).on('line', (line) => last.push(line) > 50 && last.shift());
  if (child.stdout)
    createInterface(child.stdout).on('line', (line) => {
      const port = /^Endpoint: https:\/\/[^:]+:(\d+)\/$/.exec(line)?.[1];
      if (port !== undefined) resolve(Number(port));
    });
  child.once('exit', fail);
  return promise.finally(() => clearTimeout(patience));
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}
