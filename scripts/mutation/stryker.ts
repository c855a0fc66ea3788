import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = import.meta.dirname;
const CORE: string = '@stryker-mutator/core';

/** What became of one small change of a module. */
export interface Mutant {
  readonly status:
    | 'Killed'
    | 'Survived'
    | 'NoCoverage'
    | 'Timeout'
    | 'CompileError'
    | 'RuntimeError'
    | 'Ignored'
    | 'Pending';
}

/** What is used of Stryker, whose own types are not there before it is installed. */
type Stryker = new (options: Readonly<Record<string, unknown>>) => { runMutationTest(): Promise<Mutant[]> };

/**
 * Stryker, installed into this folder when it is missing or of another version than package.json says: it brings 176
 * packages, which nothing else here needs.
 */
export async function loadStryker(): Promise<Stryker> {
  const installed = join(FOLDER, 'node_modules', CORE);
  if (!existsSync(installed) || manifest(installed).version !== manifest(FOLDER).dependencies?.[CORE]) {
    console.log(`${CORE} is being installed into scripts/mutation/`);
    const shell = process.platform === 'win32'; // where npm is a script
    execFileSync('npm', ['ci', '--ignore-scripts'], { cwd: FOLDER, stdio: 'inherit', shell });
  }
  const { Stryker }: { Stryker: Stryker } = await import(CORE);
  return Stryker;
}

const manifest = (folder: string): { version?: string; dependencies?: Readonly<Record<string, string>> } =>
  JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
