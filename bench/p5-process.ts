import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { installedSize } from './installed-size.ts';
import { read } from './load.ts';
import { interleaved, ratios, residentMebibytesOf, stat } from './measure.ts';
import { check, type Outcome, type Scale } from './report.ts';
import { poolSize, ROOT, type ServerProcess, startLinarite } from './server-process.ts';
import { makeFolder, removeFolder } from './workplace.ts';

const IDLE_MS = 2000;

/** What it takes to run the server at all: time to be ready, memory when idle, room on the disk. */
export async function measureProcess({ rounds }: Scale): Promise<Outcome> {
  const host = hostNode();
  const folder = makeFolder('start');
  await readyMs({ folder }); // fills the folder and the cache of compiled code
  const samples = await interleaved(rounds, {
    host: () => readyMs({ folder, node: host.path }),
    newNode: () => readyMs({ folder }),
    direct: () => readyMs({ folder, ...DIRECT }),
    first: () => firstReadyMs(host.path),
    bare: () => bareNodeMs(process.execPath),
  });
  const rss = await interleaved(Math.ceil(rounds / 3), {
    restart: () => idleMebibytes(folder),
    first: () => idleMebibytes(makeFolder('idle')),
  });
  const size = await installedSize();

  return {
    title: 'ready time, memory when idle, room on the disk',
    checks: [
      check(`ready after a restart, node bin/linarite.js with the host's Node.js ${host.version}`, stat(samples.host), {
        most: 300,
        unit: 'ms',
      }),
      check('memory 2 s after a restart (RSS)', stat(rss.restart), { most: 80, unit: 'MiB' }),
      check('installed without development packages and Node.js', stat([size.megabytes]), { most: 60, unit: 'MB' }),
    ],
    raw: {
      [`ready after a restart, node bin/linarite.js with Node.js ${process.version}, ms`]: stat(samples.newNode),
      [`ready after a restart, Node.js ${process.version} on src/main.ts without the launcher, ms`]: stat(
        samples.direct,
      ),
      "ready at the first start, empty folder, host's Node.js, ms": stat(samples.first),
      [`node -e 0 with Node.js ${process.version}, ms`]: stat(samples.bare),
      'ready after a restart ÷ node -e 0': stat(ratios(samples.host, samples.bare)),
      'memory 2 s after a first start (RSS), MiB': stat(rss.first),
      'installed: production packages, MB': size.packages,
      'installed: production packages, number': size.count,
      'installed: the package itself, MB': size.own,
    },
    notes: [
      'ready: from the spawn to the first answer of /-/health/ready, asked as soon as the ready block is printed; on the wall, so other work on the machine shows. The server keeps a signing key and certificates in its folder; a first start makes them.',
      'installed: what package-lock.json lists outside of development packages and the Node.js of runtime/, as du counts it, and the emitted JavaScript with bin/.',
    ],
  };
}

const DIRECT = {
  args: [join(ROOT, 'src', 'main.ts')],
  env: {
    UV_THREADPOOL_SIZE: poolSize(),
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(ROOT, 'node_modules', '.cache', 'compiled'),
  },
};

type Start = Parameters<typeof startLinarite>[0];

async function readyMs(start: Start): Promise<number> {
  const { server, ms } = await readyServer(start);
  await server.stop();
  return ms;
}

async function readyServer(start: Start): Promise<{ server: ServerProcess; ms: number }> {
  const server = await startLinarite(start);
  const asked = performance.now();
  await read(server.port, '/-/health/ready');
  return { server, ms: server.announcedMs + performance.now() - asked };
}

async function firstReadyMs(node: string): Promise<number> {
  const folder = makeFolder('first');
  const ms = await readyMs({ folder, node });
  removeFolder(folder);
  return ms;
}

async function idleMebibytes(folder: string): Promise<number> {
  const { server } = await readyServer({ folder });
  await sleep(IDLE_MS);
  const mebibytes = residentMebibytesOf(server.pid);
  await server.stop();
  return mebibytes;
}

function bareNodeMs(node: string): number {
  const started = performance.now();
  execFileSync(node, ['-e', '0']);
  return performance.now() - started;
}

/** The Node.js that a person's `npm start` begins with; the one of this process where nothing else is to be found. */
function hostNode(): { path: string; version: string } {
  for (const path of [process.env.npm_node_execpath, 'node', process.execPath]) {
    try {
      if (path !== undefined) return { path, version: execFileSync(path, ['--version'], { encoding: 'utf8' }).trim() };
    } catch {
      // There is none of that name.
    }
  }
  return { path: process.execPath, version: process.version };
}
