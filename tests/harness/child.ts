import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { residentMebibytesOf } from '../../bench/measure.ts';
import { DEV_RESOURCE } from '../../src/resources/resource.ts';
import { send } from './http.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');
const PATIENCE_MS = 60_000;

interface Options {
  /** Settings and other variables. Without a database's address it is SQLite in the folder. */
  env?: Readonly<Record<string, string>>;
  /** Modules that the process loads before the server: how faults are planted, and limits made short. */
  faults?: readonly string[];
}

/** A server in dev mode in a process of its own, to be loaded, measured and stopped. */
export interface Child {
  readonly port: number;
  readonly pid: number;
  readonly folder: string;
  /** Primary access key of the development resource. */
  readonly key: string;
  residentMebibytes(): number;
  /** Open files and sockets. */
  descriptors(): number;
  /** A value from /-/metrics, by name and labels; 0 when it is not there. */
  metric(name: string): Promise<number>;
  /** Sends a signal and waits. @returns the exit code, or null when the signal ended it */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/** Starts a server on a free port with a data folder of its own, both gone after the test. Its log is `log` in there. */
export async function startChild(t: TestContext, { env = {}, faults = [] }: Options = {}): Promise<Child> {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-load-'));
  const inherited = Object.entries(process.env).filter(([name]) => !/^(LINARITE_|NODE_)/.test(name));
  const log = openSync(join(folder, 'log'), 'a');
  const child = spawn(process.execPath, [...faults.flatMap((path) => ['--import', path]), MAIN], {
    env: {
      ...Object.fromEntries(inherited),
      LINARITE_DATA: join(folder, 'data'),
      LINARITE_PORT: '0',
      LINARITE_STOP_SECONDS: '5',
      ...env,
    },
    stdio: ['ignore', 'pipe', log],
  });
  closeSync(log);
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  t.after(async () => {
    kill();
    await exited;
    process.off('exit', kill);
    rmSync(folder, { recursive: true, force: true });
  });

  const { promise, resolve, reject } = Promise.withResolvers<number>();
  if (child.stdout)
    createInterface(child.stdout).on('line', (line) => {
      const port = /^Endpoint: https:\/\/[^:]+:(\d+)\/$/.exec(line)?.[1];
      if (port !== undefined) resolve(Number(port));
    });
  const fail = (): void => reject(new Error(`no server: ${readFileSync(join(folder, 'log'), 'utf8').slice(-2000)}`));
  const patience = setTimeout(fail, PATIENCE_MS);
  child.once('exit', fail);
  const port = await promise.finally(() => {
    clearTimeout(patience);
    child.off('exit', fail);
  });
  const pid = child.pid ?? 0;

  return {
    port,
    pid,
    folder,
    key: DEV_RESOURCE.primaryKey,
    residentMebibytes: () => residentMebibytesOf(pid),
    descriptors: () => readdirSync(`/proc/${pid}/fd`).length,
    async metric(name) {
      const { text } = await send(port, { target: '/-/metrics' });
      const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
      return Number(line?.slice(name.length + 1) ?? 0);
    },
    async end(signal) {
      child.kill(signal);
      return exited;
    },
  };
}

/** Path of a module beside the caller's, for {@link Options.faults}. */
export const beside = (folder: string, ...names: readonly string[]): string[] =>
  names.map((name) => join(folder, name));
