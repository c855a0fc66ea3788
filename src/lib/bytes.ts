import { hash, timingSafeEqual } from 'node:crypto';

/**
 * Decodes standard base64 (RFC 4648 section 4) and nothing else: `Buffer.from` also takes the other alphabet,
 * blanks, missing padding and stray trailing bits, so the result is encoded again and compared.
 * @returns the bytes, or undefined when the text is not in canonical form
 */
export function fromBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

/** Decodes unpadded base64url (RFC 7515 section 2) in canonical form only; see {@link fromBase64}. */
export function fromBase64url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

/** Compares in constant time for equal lengths. The length itself is no secret anywhere in this protocol. */
export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

/** What secret texts are compared by: both sides are hashed first, so that their lengths do not show. */
export const digestOf = (text: string): Buffer => hash('sha256', text, 'buffer');
