import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { read } from './load.ts';
import { cpuSecondsOf } from './measure.ts';
import { makeFolder, stop, watchOver } from './workplace.ts';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** What `npm start` runs. */
export const ENTRY = join(ROOT, 'bin', 'linarite.js');

/** A process that serves on a port and prints something once it does. */
export interface ServerProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly port: number;
  /** What the line gave that said so. */
  readonly found: Readonly<Record<string, string>>;
  /** Milliseconds from the spawn to that line. */
  readonly announcedMs: number;
  stop(): Promise<void>;
}

interface Launch {
  node?: string;
  args: readonly string[];
  env: Readonly<Record<string, string | undefined>>;
  /** Has the groups `port` and whatever else is of interest. */
  line: RegExp;
  /** File for standard error: a pipe would make the reader part of the measurement. */
  log: string;
}

/** Starts a process and waits for the line that says it is ready. */
export async function launch({ node = process.execPath, args, env, line, log }: Launch): Promise<ServerProcess> {
  const fd = openSync(log, 'a');
  const started = performance.now();
  const child = watchOver(spawn(node, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', fd] }));
  closeSync(fd);
  const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>();
  let said = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    const match = line.exec(said);
    if (match) resolve(match);
  });
  child.on('error', reject);
  child.on('exit', (code) => {
    const last = readFileSync(log, 'utf8').trimEnd().split('\n').slice(-5).join('\n');
    reject(new Error(`${args.join(' ')} ended with ${code} before it was ready:\n${last}`));
  });
  const { groups = {} } = await promise;
  const announcedMs = performance.now() - started;
  if (child.pid === undefined) throw new Error('a process without an id');
  return {
    child,
    pid: child.pid,
    port: Number(groups.port),
    found: groups,
    announcedMs,
    stop: () => stop(child),
  };
}

const CONNECTION = /^Connection string: endpoint=https:\/\/localhost:(?<port>\d+)\/;accesskey=(?<key>\S+)$/m;

/** This environment without what would make one machine's servers differ from another's. */
export function plainEnvironment(): Record<string, string | undefined> {
  const mine = Object.entries(process.env).filter(
    ([name]) => !/^(LINARITE_|UV_THREADPOOL_SIZE$|NODE_OPTIONS$)/.test(name),
  );
  return Object.fromEntries(mine);
}

interface Linarite {
  folder?: string;
  settings?: Readonly<Record<string, string>>;
  node?: string;
  args?: readonly string[];
  env?: Readonly<Record<string, string>>;
}

/** Starts the server the way `npm start` does: any free port, a data folder of its own, usual settings. */
export function startLinarite({
  folder = makeFolder('data'),
  settings = {},
  node,
  args = [ENTRY],
  env = {},
}: Linarite = {}): Promise<ServerProcess> {
  return launch({
    ...(node !== undefined && { node }),
    args,
    env: { ...plainEnvironment(), ...env, LINARITE_DATA: folder, LINARITE_PORT: '0', ...settings },
    line: CONNECTION,
    log: join(folder, 'bench.log'),
  });
}

/** Threads for signing, as bin/linarite.js chooses them; a peer gets as many. */
export const poolSize = (): string => String(Math.max(2, availableParallelism()));

/** A counter of the server. */
export async function counterOf({ port }: ServerProcess, name: string): Promise<number> {
  const value = new RegExp(`^${name} (\\S+)$`, 'm').exec(await read(port, '/-/metrics'))?.[1];
  if (value === undefined) throw new Error(`/-/metrics has no ${name}`);
  return Number(value);
}

/** Processor seconds that a process used while something was done. */
export async function cpuWhile({ pid }: { pid: number }, work: () => Promise<unknown>): Promise<number> {
  const before = cpuSecondsOf(pid);
  await work();
  return cpuSecondsOf(pid) - before;
}

/** What a server does once after its start (first chores, the next signing key) must not count as load. */
export const settle = (): Promise<void> => sleep(2000);
