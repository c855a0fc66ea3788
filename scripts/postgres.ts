import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** The oldest major version the server supports. */
const OLDEST = 15;
const START_ATTEMPTS = 3;
const RESTART_ATTEMPTS = 200;
const PATIENCE_MS = 30_000;

/** A PostgreSQL server of our own, on 127.0.0.1, which nothing but this process keeps alive. */
export interface Postgres {
  /** Address with the password of a superuser, `postgres://…/postgres`. Make databases as needed. */
  readonly url: string;
  /** The server process itself, for tests that stop or kill it. */
  readonly pid: number;
  /** Starts the server again on the same files, after a test has killed it. */
  restart(): Promise<void>;
  /** Stops the server and removes its files. */
  stop(): Promise<void>;
}

/** The newest PostgreSQL ≥ 15 whose server binaries are on the PATH or where distributions put them. */
export function findPostgres(): string | undefined {
  const installed = globSync([
    '/usr/lib/postgresql/*/bin/postgres', // Debian, Ubuntu
    '/usr/pgsql-*/bin/postgres', // Red Hat
    '/opt/homebrew/opt/postgresql@*/bin/postgres',
    '/usr/local/opt/postgresql@*/bin/postgres',
  ]);
  const onPath = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'postgres'));
  return [...onPath, ...installed]
    .filter((binary) => existsSync(binary) && existsSync(join(dirname(binary), 'initdb')))
    .map((binary) => ({ folder: dirname(binary), version: majorVersion(binary) }))
    .filter(({ version }) => version >= OLDEST)
    .sort((one, other) => other.version - one.version)[0]?.folder;
}

const majorVersion = (binary: string): number =>
  Number(/ (\d+)/.exec(execFileSync(binary, ['--version'], { encoding: 'utf8' }))?.[1] ?? 0);

/**
 * Starts a fresh server with fsync on, as production has it.
 * @param binaries folder with `initdb` and `postgres`
 * @param settings further `name=value` settings of the server
 */
export async function startPostgres(binaries = findPostgres(), settings: readonly string[] = []): Promise<Postgres> {
  if (binaries === undefined) throw new Error(`no PostgreSQL ${OLDEST} or newer found: apt-get install postgresql`);
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnce(binaries, await freePort(), settings);
    } catch (error) {
      // Between finding a port and using it, somebody else may have taken it.
      if (attempt === START_ATTEMPTS || !String(error).includes('could not bind')) throw error;
    }
  }
}

async function startOnce(binaries: string, port: number, settings: readonly string[]): Promise<Postgres> {
  const owner = serverOwner();
  const folder = mkdtempSync(join(tmpdir(), 'linarite-pg-'));
  const password = randomBytes(16).toString('hex');
  const keeper = startKeeper(binaries, folder, owner, [`port=${port}`, ...settings], password);
  const output = outputOf(keeper);
  try {
    let pid = await untilReady(keeper, output);
    return {
      url: `postgres://linarite:${password}@127.0.0.1:${port}/postgres`,
      get pid() {
        return pid;
      },
      async restart() {
        for (let attempt = 1; ; attempt++) {
          try {
            keeper.stdin?.write('again\n');
            pid = await untilReady(keeper, output);
            return;
          } catch (error) {
            // Sessions of the one that was killed have not all noticed yet.
            if (attempt === RESTART_ATTEMPTS || !String(error).includes('still in use')) throw error;
            await sleep(50);
          }
        }
      },
      stop: () => endKeeper(keeper, folder),
    };
  } catch (error) {
    await endKeeper(keeper, folder);
    throw error;
  }
}

interface Owner {
  uid?: number;
  gid?: number;
}

/** PostgreSQL refuses to run as root; then it runs as the user that its package made, or as nobody. */
function serverOwner(): Owner {
  if (process.getuid?.() !== 0) return {};
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const user = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody');
  if (!user) throw new Error('PostgreSQL does not run as root, and there is no user postgres or nobody');
  return { uid: Number(user[2]), gid: Number(user[3]) };
}

/**
 * Makes the database and watches over the server from a process of its own: a line on its standard input starts the
 * server again; when the input closes it ends the server and removes the files, so that nothing is left behind even after `kill -9` of the tests. It has a session of
 * its own, which Ctrl-C does not reach, because tests that are being interrupted still want their database.
 * A server that a test has stopped with SIGSTOP hears the interrupt only once it continues.
 */
const KEEPER = `
  "$BINARIES/initdb" -D data --username=linarite --pwfile=password --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync >&2 &&
  { "$BINARIES/postgres" -D data "$@" >&2 & }
  pid=$!
  echo $pid
  while read -r again; do
    wait $pid
    "$BINARIES/postgres" -D data "$@" >&2 &
    pid=$!
    echo $pid
  done
  kill -QUIT $pid
  kill -CONT $pid
  wait $pid
  rm -rf "$FOLDER"`;

function startKeeper(
  binaries: string,
  folder: string,
  owner: Owner,
  settings: readonly string[],
  password: string,
): ChildProcess {
  const passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (owner.uid !== undefined && owner.gid !== undefined) {
    for (const path of [folder, passwordFile]) chownSync(path, owner.uid, owner.gid);
  }
  const all = ['listen_addresses=127.0.0.1', `unix_socket_directories=${folder}`, ...settings];
  return spawn('/bin/sh', ['-c', KEEPER, 'keeper', ...all.flatMap((setting) => ['-c', setting])], {
    ...owner,
    cwd: folder,
    env: { PATH: process.env.PATH, LC_ALL: 'C', BINARIES: binaries, FOLDER: folder },
    stdio: 'pipe',
    detached: true,
  });
}

interface Output {
  /** The process id of the server, a line each time it is started. */
  pids: Interface;
  /** What the server and its maker say. Drained while nobody listens. */
  messages: Interface;
}

function outputOf({ stdout, stderr }: ChildProcess): Output {
  if (!stdout || !stderr) throw new Error('the keeper has no output');
  return { pids: createInterface(stdout), messages: createInterface(stderr) };
}

/** What ends a start; what clients are told does not. */
const FAILS =
  /FATAL:(?!.*(?:starting up|shutting down|recovery|accepting|terminating connection))|initdb: error:|not found/;

/** @returns the process id of the server, once it takes connections */
async function untilReady(keeper: ChildProcess, { pids, messages }: Output): Promise<number> {
  const lines: string[] = [];
  const { promise: pid, resolve: started } = Promise.withResolvers<number>();
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
  const fail = () => reject(new Error(`PostgreSQL did not start:\n${lines.slice(-10).join('\n')}`));
  const patience = setTimeout(fail, PATIENCE_MS);
  const onMessage = (line: string): void => {
    if (lines.length < 100) lines.push(line); // what comes later is only drained
    if (line.includes('ready to accept connections')) resolve();
    else if (FAILS.test(line)) fail();
  };
  pids.once('line', (line) => started(Number(line)));
  messages.on('line', onMessage);
  keeper.once('error', fail).once('exit', fail);
  return ready
    .then(() => pid)
    .finally(() => {
      clearTimeout(patience);
      messages.off('line', onMessage);
      keeper.off('error', fail).off('exit', fail);
    });
}

async function endKeeper(keeper: ChildProcess, folder: string): Promise<void> {
  if (keeper.exitCode === null && keeper.signalCode === null) {
    const ended = once(keeper, 'exit');
    keeper.stdin?.on('error', () => {}).end();
    const patience = setTimeout(() => keeper.pid && process.kill(-keeper.pid, 'SIGKILL'), PATIENCE_MS);
    await ended;
    clearTimeout(patience);
  }
  rmSync(folder, { recursive: true, force: true }); // where the keeper did not come to it
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
