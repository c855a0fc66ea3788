import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What a harness measured. */
export interface Result {
  /** As in security-and-reliability, section 2: `A1`. */
  id: string;
  seed: number;
  figures: Readonly<Record<string, number | string>>;
  passed: boolean;
  /** Whether the harness has been seen to report its planted fault. */
  planted: boolean;
}

const started = performance.now();

const commit = (): string => {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], { cwd: import.meta.dirname, encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
};

/** Writes `<id>.json` into the folder that HARNESS_RESULTS names; does nothing without it. Seconds count from the start of the file. */
export function writeResult({ id, seed, figures, passed, planted }: Result): void {
  const folder = process.env.HARNESS_RESULTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  const seconds = Math.round((performance.now() - started) / 100) / 10;
  const all = { id, seed, figures, passed, plantedFaultCaught: planted, seconds, date: new Date().toISOString() };
  writeFileSync(join(folder, `${id}.json`), `${JSON.stringify({ ...all, commit: commit() }, undefined, 2)}\n`);
}
