import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const SRC = join(import.meta.dirname, '../../src');

/** Every source file: path under `src` with forward slashes → text. */
export const SOURCES: ReadonlyMap<string, string> = new Map(
  globSync('**/*.ts', { cwd: SRC })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => !path.endsWith('.test.ts'))
    .sort()
    .map((path) => [path, readFileSync(join(SRC, path), 'utf8')]),
);
