import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LineFormat, type Log, openLog } from '../../../src/monitoring/log.ts';
import type { Settings } from '../../../src/settings.ts';

/** Opens a log on a file, lets it be written to, and returns what the file holds then. */
export async function logText(
  use: (log: Log) => void | Promise<void>,
  settings: Pick<Settings, 'logLevel' | 'mode'> = { logLevel: 'debug', mode: 'production' },
  format?: LineFormat,
): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-log-'));
  const file = join(folder, 'log');
  const fd = openSync(file, 'w');
  try {
    const log = openLog(settings, { fd, format });
    await use(log);
    await log.drain();
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  }
}

/** The lines as objects; throws when one of them is not JSON. */
export const parsed = (text: string): Record<string, unknown>[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
