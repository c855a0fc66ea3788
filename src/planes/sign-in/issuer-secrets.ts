import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { writeWhole } from '../../lib/whole-file.ts';
import { readPrivateFile } from '../../secrets/kek.ts';
import { type Settings, SettingsError } from '../../settings.ts';
import type { SigningKeyMaterial } from '../../tokens/jws.ts';
import { PUBLISHED_SECRET } from './directory.ts';

const KEY_FILE = 'issuer.key';
const SECRET_FILE = 'issuer.secret';

/**
 * The issuer's own signing key, from the data folder, where the first start leaves one. Never a key that signs access tokens.
 * @param folder undefined when nothing is kept: then the key lives as long as the process
 * @throws SettingsError when the file cannot be used
 */
export async function issuerKey(folder: string | undefined): Promise<SigningKeyMaterial> {
  const pem = await kept(folder, KEY_FILE, async () => {
    const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048, publicExponent: 65537 });
    return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  });
  const privateKey = readKey(pem);
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const name = createHash('sha256').update(spki).digest().subarray(0, 20);
  return { kid: name.toString('hex').toUpperCase(), x5t: name.toString('base64url'), alg: 'RS256', privateKey };
}

function readKey(pem: string): KeyObject {
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === 'rsa') return key;
  } catch {
    // said below
  }
  throw new SettingsError(
    `LINARITE_DATA holds an ${KEY_FILE} that is not an RSA key: remove it, and the next start makes a new one`,
  );
}

/**
 * What clients of the issuer prove themselves with: published, or random when the settings want no published key.
 * @param folder as for {@link issuerKey}
 */
export async function issuerSecret({ wellKnownKey }: Settings, folder: string | undefined): Promise<string> {
  if (wellKnownKey !== 'off') return PUBLISHED_SECRET;
  return (await kept(folder, SECRET_FILE, async () => `${randomBytes(32).toString('base64url')}\n`)).trim();
}

/** The text of a file that only its owner may read; the first start makes it. */
async function kept(folder: string | undefined, name: string, make: () => Promise<string>): Promise<string> {
  if (folder === undefined) return make();
  const path = join(folder, name);
  if (existsSync(path)) return readPrivateFile(path, 'LINARITE_DATA');
  const text = await make();
  await writeWhole(folder, [{ name, text, mode: 0o600 }]);
  return text;
}
