import { randomBytes } from 'node:crypto';

const ID_BYTES = 16;
const POOL_BYTES = 256 * ID_BYTES;

let pool = randomBytes(0);

/** 128 random bits as text; the system's generator is asked once for 256 of them. */
export function randomId(encoding: 'base64' | 'base64url'): string {
  if (pool.length === 0) pool = randomBytes(POOL_BYTES);
  const id = pool.toString(encoding, 0, ID_BYTES);
  pool = pool.subarray(ID_BYTES);
  return id;
}
