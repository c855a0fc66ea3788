import { globSync } from 'node:fs';
import { dirname, sep } from 'node:path';

const ROOT = dirname(import.meta.dirname);

/** Every test file, relative to the repository with forward slashes, in the order of names. */
export const testFiles = (): string[] =>
  globSync(['tests/**/*.test.ts', 'src/**/*.test.ts'], { cwd: ROOT })
    .map((file) => file.replaceAll(sep, '/'))
    .sort();

/** Whether `npm test` leaves a file out: kills in loops, long models, real browsers and clients, whole installations. */
export const isSlow = (file: string): boolean => file.endsWith('.slow.test.ts');

export interface Wish {
  /** Parts of paths. A file that is asked for by its path runs, be it slow or not. */
  readonly words: readonly string[];
  /** Whether slow files belong to it when there are no words. */
  readonly all: boolean;
}

/** Files that look at their own process, or end it: each has a process of its own. */
const ALONE = /^tests\/bin\//;
const GROUPS = 12;

/**
 * Groups of quick files, each of which shares a process. Half a second of every process goes into loading what all files
 * import.
 */
export function groupsOf(files: readonly string[]): string[][] {
  const alone = files.filter((file) => ALONE.test(file));
  const others = files.filter((file) => !ALONE.test(file));
  const groups = Array.from({ length: GROUPS }, (_, group) => others.filter((_, index) => index % GROUPS === group));
  return [...alone.map((file) => [file]), ...groups.filter((group) => group.length > 0)];
}

/** The files that a run is about, out of those given. */
export const chosen = (files: readonly string[], { words, all }: Wish): string[] =>
  words.length > 0
    ? files.filter((file) => words.some((word) => file.includes(word)))
    : files.filter((file) => all || !isSlow(file));
