import { createHash, createSecretKey, type KeyObject } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { fromBase64 } from '../lib/bytes.ts';
import { type Settings, SettingsError } from '../settings.ts';

/** Published, like the well-known access key: it keeps nothing secret, it only makes dev mode take the same road. */
const DEVELOPMENT_KEK = createHash('sha256').update('Linarite development key-encryption key').digest();

/**
 * Finds the key-encryption key that the settings name.
 * @throws SettingsError when there is none in production mode, or it cannot be used
 */
export function keyEncryptionKey(settings: Settings): KeyObject {
  const { kek, kekFile, mode } = settings;
  if (kek !== undefined) return keyFrom(kek, 'LINARITE_KEK');
  if (kekFile !== undefined) return keyFrom(readPrivateFile(kekFile, 'LINARITE_KEK_FILE'), 'LINARITE_KEK_FILE');
  if (mode === 'dev') return createSecretKey(DEVELOPMENT_KEK);
  throw new SettingsError(
    'LINARITE_KEK or LINARITE_KEK_FILE is needed in production mode: `openssl rand -base64 32` makes one',
  );
}

function keyFrom(text: string, variable: string): KeyObject {
  const bytes = fromBase64(text.trim());
  if (bytes?.length !== 32)
    throw new SettingsError(`${variable} must hold 32 bytes in base64: \`openssl rand -base64 32\` makes one`);
  if (bytes.equals(DEVELOPMENT_KEK))
    throw new SettingsError(`${variable} holds the published development key: make one of your own`);
  return createSecretKey(bytes);
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
