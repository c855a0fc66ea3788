import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What a harness found, for the table of promises. */
export interface HarnessResult {
  /** The promise, such as `S1`. */
  readonly id: string;
  readonly seed: number | string;
  readonly figures: Readonly<Record<string, number | string>>;
  readonly passed: boolean;
  /** Whether the planted fault was reported. */
  readonly planted: boolean;
}

/** Writes the result into the folder that HARNESS_RESULTS names; does nothing where it names none. */
export function writeResult({ planted, ...result }: HarnessResult): void {
  const folder = process.env.HARNESS_RESULTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  const commit = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: import.meta.dirname, encoding: 'utf8' }).trim();
  const seconds = Math.round(performance.now() / 100) / 10;
  const whole = { ...result, plantedFaultCaught: planted, seconds, date: new Date().toISOString(), commit };
  writeFileSync(join(folder, `${result.id}.json`), `${JSON.stringify(whole, null, 2)}\n`);
}
