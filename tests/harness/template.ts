// node tests/harness/template.ts <folder> [database]: makes the template of a run into a folder, and the same into a new
// database of that name on the server of TEST_POSTGRES_URL.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startServer } from '../../src/server.ts';
import { readSettings } from '../../src/settings.ts';
import { newDatabase } from './postgres.ts';

/** Nothing that a template says is worth reading. */
const SILENT = { dropped: 0, write: () => {}, keeps: () => false, flushSync: () => {}, drain: async () => {} };

/**
 * Starts a server once and stops it: keys and certificates take a while to make, and tests copy them. Its clock is a minute
 * behind, so that nothing in it is later than the clock of a test that began before it was made.
 * @param env settings besides the folder: a database
 */
export async function makeTemplate(folder: string, env: Readonly<Record<string, string>> = {}): Promise<void> {
  const clock = { now: () => Date.now() - 60_000, elapsed: () => performance.now() };
  const settings = readSettings({ LINARITE_DATA: folder, LINARITE_PORT: '0', ...env });
  const server = await startServer(settings, { log: SILENT, clock });
  await server.close();
}

let made: Promise<string> | undefined;

/** A data folder after its first start: of this run of the tests, or where a file runs alone, of this process. */
export const templateFolder = (): Promise<string> => {
  made ??= givenTemplate();
  return made;
};

async function givenTemplate(): Promise<string> {
  if (process.env.TEST_TEMPLATE) return process.env.TEST_TEMPLATE;
  const folder = mkdtempSync(join(tmpdir(), 'linarite-template-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  await makeTemplate(folder);
  return folder;
}

if (import.meta.main) {
  const [folder = '.', database] = process.argv.slice(2);
  await makeTemplate(folder);
  if (database !== undefined) await makeTemplate(folder, { LINARITE_DATABASE_URL: await newDatabase(database) });
}
