import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './server-process.ts';
import { makeFolder, removeFolder } from './workplace.ts';

const MEGA = 1e6;
const BLOCK = 512;

interface InstalledSize {
  readonly megabytes: number;
  readonly packages: number;
  readonly own: number;
  /** How many production packages there are. */
  readonly count: number;
}

interface Lock {
  readonly packages: Readonly<Record<string, { dev?: boolean; devOptional?: boolean; link?: boolean }>>;
}

/** Room on the disk that an installation from npm takes, without the Node.js binary. */
export async function installedSize(): Promise<InstalledSize> {
  const lock: Lock = readJson('package-lock.json');
  const { optionalDependencies = {}, dependencies = {} } = readJson('runtime/package.json');
  const runtime = new Set(
    Object.keys({ ...optionalDependencies, ...dependencies }).map((name) => `node_modules/${name}`),
  );
  const folders = Object.entries(lock.packages)
    .filter(([path, { dev, devOptional, link }]) => path.startsWith('node_modules/') && !dev && !devOptional && !link)
    .map(([path]) => path)
    .filter((path) => !runtime.has(path) && existsSync(join(ROOT, path)));
  // Nested packages have entries of their own, and may be development ones.
  const packages = folders.reduce((sum, path) => sum + bytesOnDisk(join(ROOT, path), ['node_modules']), 0);
  const own = ownBytes();
  return { megabytes: (packages + own) / MEGA, packages: packages / MEGA, own: own / MEGA, count: folders.length };
}

function ownBytes(): number {
  const folder = makeFolder('dist');
  const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  execFileSync(process.execPath, [compiler, '-p', 'tsconfig.build.json', '--outDir', folder], { cwd: ROOT });
  const bytes = bytesOnDisk(folder) + bytesOnDisk(join(ROOT, 'bin'));
  removeFolder(folder);
  return bytes;
}

function bytesOnDisk(path: string, without: readonly string[] = []): number {
  const { blocks, size } = lstatSync(path);
  const own = blocks === undefined ? size : blocks * BLOCK;
  if (!lstatSync(path).isDirectory()) return own;
  const names = readdirSync(path).filter((name) => !without.includes(name));
  return names.reduce((sum, name) => sum + bytesOnDisk(join(path, name)), own);
}

const readJson = (path: string) => JSON.parse(readFileSync(join(ROOT, path), 'utf8'));
