import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from 'node:crypto';
import { fromBase64url } from '../lib/bytes.ts';

/** Where a sealed value belongs. Sealed into it: a ciphertext moved to another row, column or resource does not open. */
export interface Place {
  table: string;
  column: string;
  row: string;
  version: number;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Encrypts with AES-256-GCM. @returns base64url of nonce, ciphertext, tag */
export function seal(key: KeyObject, bytes: Uint8Array, place: Place): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(associatedData(place)); // its tag has 16 bytes
  return Buffer.concat([nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]).toString('base64url');
}

/** Decrypts what {@link seal} made. @returns undefined when it was made with another key, moved or damaged */
export function unseal(key: KeyObject, text: string, place: Place): Buffer | undefined {
  const sealed = fromBase64url(text) ?? Buffer.alloc(0); // which opens as little
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
      .setAAD(associatedData(place))
      .setAuthTag(sealed.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    // Too short, or the tag does not fit; which part of it is nobody's business.
  }
  return undefined;
}

const associatedData = ({ table, column, row, version }: Place): Buffer =>
  Buffer.from(JSON.stringify([table, column, row, version]));
