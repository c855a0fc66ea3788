import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MODULES, SIZES } from './modules.ts';
import type { Mutant } from './stryker.ts';

/** What the tests of a module made of its mutants. */
export interface Score {
  readonly mutants: number;
  readonly noticed: number;
  /** Of those noticed: the tests did not end. */
  readonly timedOut: number;
  readonly missed: number;
  readonly percent: number;
}

/** Module → score, and the state of module and tests that it is of. */
export type Kept = Readonly<Record<string, Score & { readonly of: string }>>;

export function scoreOf(mutants: readonly Mutant[]): Score {
  const count = (...statuses: Mutant['status'][]): number =>
    mutants.filter(({ status }) => statuses.includes(status)).length;
  const [killed, timedOut, missed] = [count('Killed'), count('Timeout'), count('Survived', 'NoCoverage')];
  const noticed = killed + timedOut;
  return {
    mutants: noticed + missed,
    noticed,
    timedOut,
    missed,
    percent: Math.round((1000 * noticed) / (noticed + missed)) / 10,
  };
}

export const fileOf = (test: string): string => `tests/${test}.test.ts`;

/** A digest of a module and its test files: a score is theirs, and nobody else's. */
export function stateOf(root: string, module: string, tests: readonly string[]): string {
  const digest = createHash('sha256').update(JSON.stringify(SIZES));
  for (const path of [module, ...tests.map(fileOf)]) digest.update('\n').update(readFileSync(join(root, path)));
  return digest.digest('hex').slice(0, 16);
}

/** Every module with the score that it still has; undefined when the module or a test was changed since. */
export function standing(root: string, kept: Kept): [module: string, score: Score | undefined][] {
  return Object.entries(MODULES).map(([module, tests]) => {
    const { of, ...score } = kept[module] ?? { of: undefined };
    return [module, of === stateOf(root, module, tests) ? (score as Score) : undefined];
  });
}
