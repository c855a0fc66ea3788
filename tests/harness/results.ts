import { execFileSync, type StdioOptions } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What a run of a harness has measured. */
export interface HarnessResult {
  /** The promise that is held up, by its id in the table of promises: `D1`. */
  id: string;
  seed: number;
  /** Counts and durations by name, with the unit in the name where it is not a count: `recoveryMsMost`. */
  figures: Record<string, number | string>;
  passed: boolean;
  /** Whether the planted fault was run and reported. */
  planted: boolean;
}

/** Folder for the results; without it nothing is written. */
const FOLDER = process.env.HARNESS_RESULTS;

/**
 * Writes `<id>.json` into the folder that HARNESS_RESULTS names, for the page of promises. Call it once at the end of a
 * test file: `seconds` counts from the start of the process, which is one file's.
 */
export function writeResult({ id, seed, figures, passed, planted }: HarnessResult): void {
  if (!FOLDER) return;
  const seconds = Math.round(performance.now() / 100) / 10;
  const result = {
    id,
    seed,
    figures,
    passed,
    plantedFaultCaught: planted,
    seconds,
    date: new Date().toISOString(),
    commit: commit(),
  };
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, `${id}.json`), `${JSON.stringify(result, undefined, 2)}\n`);
}

/** The commit that was measured, with `-dirty` behind it where files were changed; null outside a repository. */
function commit(): string | null {
  try {
    const args = ['describe', '--always', '--dirty', '--abbrev=40', '--exclude=*'];
    const stdio: StdioOptions = ['ignore', 'pipe', 'ignore'];
    return execFileSync('git', args, { encoding: 'utf8', cwd: import.meta.dirname, stdio }).trim();
  } catch {
    return null;
  }
}
