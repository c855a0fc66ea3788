import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { digestOf, sameBytes } from '../lib/bytes.ts';
import { writeWhole } from '../lib/whole-file.ts';
import { readPrivateFile } from '../secrets/kek.ts';
import type { Settings } from '../settings.ts';

const SHORTEST = 32;

/** The secret of the person who runs the server. */
export class OperatorKey {
  readonly #digest: Buffer;

  constructor(key: string) {
    this.#digest = digestOf(key);
  }

  matches(text: string): boolean {
    return sameBytes(digestOf(text), this.#digest);
  }
}

/**
 * The operator key from the settings, or from the data folder, where the first start leaves one.
 * @param folder undefined when nothing is kept: then the key lives as long as the process
 */
export async function operatorKey(settings: Settings, folder: string | undefined): Promise<OperatorKey> {
  if (settings.operatorKey !== undefined) return new OperatorKey(settings.operatorKey);
  const fresh = randomBytes(32).toString('base64url');
  if (folder === undefined) return new OperatorKey(fresh);
  const path = join(folder, 'operator.key');
  const kept = existsSync(path) ? readPrivateFile(path, 'LINARITE_DATA').trim() : '';
  if (kept.length >= SHORTEST) return new OperatorKey(kept);
  await writeWhole(folder, [{ name: 'operator.key', text: `${fresh}\n`, mode: 0o600 }]);
  return new OperatorKey(fresh);
}
