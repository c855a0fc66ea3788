import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const MAIN = join(import.meta.dirname, '../../../src/main.ts');
const PATIENCE_MS = 120_000;

/** A server in a process of its own, to be killed. */
export interface ChildServer {
  readonly port: number;
  readonly pid: number;
  /** What it last wrote to standard error, a line each. */
  readonly log: readonly string[];
  /** Settles when the process has ended, with its exit code; null after a signal. */
  readonly exited: Promise<number | null>;
  /** Ends it at once, as a power failure of the process would: nothing is flushed, nothing is said. */
  kill(): Promise<void>;
}

interface Options {
  /** Settings and other variables; without a setting for the database it is SQLite in the folder. */
  env?: Readonly<Record<string, string>>;
  /** Files of `faults/` that the process loads before the server: how faults are planted. */
  faults?: readonly string[];
  /** A program that runs the server, with its arguments: a tracer. It must become the server, or the wrong one is killed. */
  under?: readonly string[];
}

/** Starts a server and waits until it answers. @throws Error with the last log lines when it does not start */
export async function startChild(folder: string, options: Options = {}): Promise<ChildServer> {
  const { env = {}, faults = [], under = [] } = options;
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('LINARITE_'));
  const imports = faults.flatMap((file) => ['--import', join(import.meta.dirname, 'faults', file)]);
  const [program = '', ...args] = [...under, process.execPath, ...imports, MAIN];
  const child = spawn(program, args, {
    env: { ...Object.fromEntries(inherited), LINARITE_DATA: folder, LINARITE_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const killed = (): void => void child.kill('SIGKILL');
  process.once('exit', killed);
  child.once('exit', () => process.off('exit', killed));
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  const log: string[] = [];
  if (child.stderr) createInterface(child.stderr).on('line', (line) => log.push(line) > 1000 && log.shift());
  return { port: await portOf(child, log), pid: child.pid ?? 0, log, exited, kill: () => end(child) };
}

async function portOf(child: ChildProcess, log: readonly string[]): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const fail = (): void => reject(new Error(`the server did not start:\n${log.slice(-5).join('\n')}`));
  const patience = setTimeout(fail, PATIENCE_MS);
  if (child.stdout)
    createInterface(child.stdout).on('line', (line) => {
      const port = /^Endpoint: https:\/\/[^:]+:(\d+)\/$/.exec(line)?.[1];
      if (port !== undefined) resolve(Number(port));
    });
  child.once('close', fail); // not 'exit', so that what it complained of is there
  return promise.finally(() => clearTimeout(patience));
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}
