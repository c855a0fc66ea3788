// JSON files for their owner's eyes. A service of yours has a database for this.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** @returns what the file holds, or undefined when there is none */
export function readPrivate(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    if (cause.code === 'ENOENT') return undefined;
    throw new Error(`${file} cannot be read: ${cause.message}`, { cause });
  }
}

/** Writes all of it or nothing: a crash leaves the old file or the new one. */
export function writePrivate(file, value) {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(`${file}.new`, `${JSON.stringify(value, undefined, 1)}\n`, { mode: 0o600, flush: true });
  renameSync(`${file}.new`, file);
}
