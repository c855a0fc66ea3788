import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';

const PATIENCE_MS = 30_000;
export const USER = 'linarite';
export const PASSWORD = 'p%ss/word';

/** Where `nats-server` is: on the PATH, or where Debian puts it. */
export const NATS_SERVER = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/bin']
  .map((folder) => join(folder, 'nats-server'))
  .find(existsSync);

/** For suites that need it: false, or why they are skipped. */
export const NO_NATS = NATS_SERVER === undefined && 'NATS is missing: apt-get install nats-server';

/** A NATS server of our own, on 127.0.0.1, with a password. */
export interface Nats {
  readonly url: string;
  stop(): Promise<void>;
  /** Starts it again at the same address. */
  start(): Promise<void>;
}

/** Starts a server that ends with the test. */
export async function givenNats(t: TestContext): Promise<Nats> {
  const port = await freePort();
  let child: ChildProcess | undefined;
  const kill = (): void => void child?.kill('SIGKILL');
  const nats: Nats = {
    url: `nats://${USER}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}`,
    async start() {
      child = await started(port);
    },
    async stop() {
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      kill();
      await ended;
    },
  };
  process.once('exit', kill);
  t.after(async () => {
    await nats.stop();
    process.off('exit', kill);
  });
  await nats.start();
  return nats;
}

async function started(port: number): Promise<ChildProcess> {
  const args = ['--addr', '127.0.0.1', '--port', String(port), '--user', USER, '--pass', PASSWORD];
  const child = spawn(NATS_SERVER ?? '', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const lines: string[] = [];
  const fail = (): void => reject(new Error(`NATS did not start:\n${lines.join('\n')}`));
  const patience = setTimeout(fail, PATIENCE_MS);
  child.once('error', fail).once('exit', fail);
  createInterface(child.stderr).on('line', (line) => {
    if (lines.length < 50) lines.push(line);
    if (line.includes('Server is ready')) resolve();
  });
  await promise.finally(() => {
    clearTimeout(patience);
    child.off('exit', fail);
  });
  return child;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
