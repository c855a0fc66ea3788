import { execFile } from 'node:child_process';
import { createHash, createSecretKey, type KeyObject } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { fromBase64 } from '../lib/bytes.ts';
import { type Settings, SettingsError } from '../settings.ts';

/**
 * The key-encryption keys that the settings name, read anew at each call: the one to use, and behind it the former one
 * while it is being changed.
 * @throws SettingsError when there is none in production mode, or it cannot be used
 */
export type ReadKeks = () => Promise<readonly KeyObject[]>;

/** Published, like the well-known access key: it keeps nothing secret, it only makes dev mode take the same path. */
const DEVELOPMENT_KEK = createHash('sha256').update('Linarite development key-encryption key').digest();

const COMMAND_MS = 10_000;
/** Two keys with blanks and line ends take 91. */
const COMMAND_BYTES = 1024;

/** How the key-encryption keys of these settings are read. */
export function kekReader(settings: Settings): ReadKeks {
  const { kek, kekFile, kekCommand, mode } = settings;
  return async () => {
    if (kek !== undefined) return keysFrom(kek, 'LINARITE_KEK');
    if (kekFile !== undefined) return keysFrom(readPrivateFile(kekFile, 'LINARITE_KEK_FILE'), 'LINARITE_KEK_FILE');
    if (kekCommand !== undefined) return keysFrom(await outputOf(kekCommand), 'LINARITE_KEK_COMMAND');
    if (mode === 'dev') return [createSecretKey(DEVELOPMENT_KEK)];
    throw new SettingsError(
      'LINARITE_KEK, LINARITE_KEK_FILE or LINARITE_KEK_COMMAND is needed in production mode: `openssl rand -base64 32` makes a key',
    );
  };
}

/**
 * Reads the keys twice before something is put under them: a command that makes a new key at each call would take with it
 * whatever is.
 * @throws SettingsError when they differ
 */
export async function readStableKeks(read: ReadKeks): Promise<readonly KeyObject[]> {
  const [keks, again] = [await read(), await read()];
  if (keks.length !== again.length || keks.some((kek, index) => again[index]?.equals(kek) !== true))
    throw new SettingsError(
      'LINARITE_KEK_COMMAND prints a different key at each call: it must print the same key each time',
    );
  return keks;
}

/** A name for a key-encryption key, for people who compare: says nothing about the key. */
export const kekId = (kek: KeyObject): string =>
  createHash('sha256').update('Linarite key-encryption key id').update(kek.export()).digest('hex').slice(0, 8);

function keysFrom(text: string, variable: string): readonly KeyObject[] {
  const words = text.split(/\s/).filter(Boolean);
  const keys = words.map(fromBase64);
  if (keys.length === 0 || keys.length > 2 || keys.some((bytes) => bytes?.length !== 32)) {
    throw new SettingsError(
      `${variable} must contain 32 bytes in base64, followed by the former 32 bytes while the key is being changed: \`openssl rand -base64 32\` makes a key`,
    );
  }
  return keys.map((bytes = Buffer.alloc(0)) => {
    if (bytes.equals(DEVELOPMENT_KEK))
      throw new SettingsError(`${variable} is the published development key: make a key of your own`);
    return createSecretKey(bytes);
  });
}

/** Runs a program without a shell. What it prints goes nowhere but into the result, not even when it fails. */
function outputOf(command: string): Promise<string> {
  const [program = '', ...args] = command.split(/\s/).filter(Boolean);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const options = { timeout: COMMAND_MS, killSignal: 'SIGKILL', maxBuffer: COMMAND_BYTES, windowsHide: true } as const;
  const child = execFile(program, args, options, (failure, stdout) => {
    if (!failure) return resolve(stdout);
    reject(new SettingsError(`LINARITE_KEK_COMMAND ${complaintAbout(failure)}`));
  });
  child.stdin?.end();
  return promise;
}

/** Without the message of the failure, which repeats the command and what it wrote. */
function complaintAbout({ code, killed }: { code?: unknown; killed?: boolean }): string {
  if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return 'printed more than a key';
  if (killed) return `did not end within ${COMMAND_MS / 1000} seconds`;
  return typeof code === 'number' ? `ended with exit code ${code}` : `cannot be run (${code ?? 'killed by a signal'})`;
}

/** Reads a file with a secret. @throws SettingsError when it is not there, or others may read it */
export function readPrivateFile(path: string, variable: string): string {
  try {
    if (process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0) {
      throw new SettingsError(`${variable} names a file that others can read: chmod 600 ${path}`);
    }
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof SettingsError) throw cause;
    throw new SettingsError(`${variable} names a file that cannot be read: ${path}`);
  }
}
