import { constants, type KeyObject, sign, verify } from 'node:crypto';
import { type Reason, ServiceError } from '../errors.ts';
import {
  type JsonObject,
  type JwsHeader,
  readCompactJws,
  readJsonObject,
  type UnverifiedJws,
} from '../lib/compact-jws.ts';
import { ecComplaint, rsaComplaint } from '../lib/key-strength.ts';

/** The signatures this server makes and takes: RSA PKCS#1 v1.5 and ECDSA on P-256, both over SHA-256 (RFC 7518). */
export type SigningAlgorithm = 'RS256' | 'ES256';

/** A public key and the one algorithm it is for. Made by {@link verifyingKey}, which insists that the two fit. */
export interface VerifyingKey {
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly publicKey: KeyObject;
}

/** What signing takes. Keep one object per key: the encoded header is remembered by it. */
export interface SigningKeyMaterial {
  /** 40 upper-case hex characters on the wire (identity-protocol, section 5.1). */
  readonly kid: string;
  /** Base64url of the same 20 bytes. */
  readonly x5t: string;
  readonly alg: SigningAlgorithm;
  readonly privateKey: KeyObject;
}

/** Ours have about 900 characters with RSA-2048; the limit only bounds what an unauthenticated request can make us decode. */
const LONGEST_TOKEN = 8 * 1024;

const refused = (reason: Reason, detail: string) => new ServiceError('TokenRefused', { reason, detail });
const malformed = (detail: string) => refused('token.malformed', detail);

// Reading and verifying

/**
 * Verifies a token whose payload is a JSON object.
 * @param keyFor finds a key by its exact id; a Map's `get`. The token's id is used for nothing else
 * @returns the payload as JSON.parse makes it (of a repeated name the last counts), and the key that signed it
 * @throws ServiceError `TokenRefused` with reason `token.malformed`, `token.keyUnknown`, `token.algorithm` or
 * `token.signature`
 */
export function verifyJws(
  token: string,
  keyFor: (kid: string) => VerifyingKey | undefined,
): { header: JwsHeader; payload: JsonObject; key: VerifyingKey } {
  const { header, payload, key } = verifyCompact(token, keyFor);
  // Only after the signature: an unverified payload is never parsed.
  return { header, payload: readJsonObject(payload, 'payload', malformed), key };
}

/** The same for a payload of any bytes. */
export function verifyCompact(
  token: string,
  keyFor: (kid: string) => VerifyingKey | undefined,
): { header: JwsHeader; payload: Buffer; key: VerifyingKey } {
  const { header, payload, signingInput, signature } = readCompact(token);
  const key = keyFor(header.kid);
  if (!key) throw refused('token.keyUnknown', 'no known key has this kid');
  if (header.alg !== key.alg) throw refused('token.algorithm', `the key is for ${key.alg}`);
  if (!verifySignature(key, signingInput, signature)) {
    throw refused('token.signature', 'the signature does not match the key that the token names');
  }
  return { header, payload, key };
}

/**
 * Takes one of our tokens apart.
 * @throws ServiceError `TokenRefused` with reason `token.malformed`
 */
export const readCompact = (token: string): UnverifiedJws =>
  readCompactJws(token, { longest: LONGEST_TOKEN, types: ['JWT'], refusal: malformed });

/**
 * Whether a signature over these bytes was made with the private half of the key, by the key's own algorithm.
 * Runs on the calling thread: some 50 µs with RSA-2048, not worth a place in the queue of the signing threads.
 */
export const verifySignature = ({ alg, publicKey }: VerifyingKey, data: Uint8Array, signature: Uint8Array): boolean =>
  verify('sha256', data, withAlgorithm(alg, publicKey), signature);

/** The key with what the algorithm asks for said out loud, whatever the key's own defaults are. */
const withAlgorithm = (alg: SigningAlgorithm, key: KeyObject) =>
  alg === 'RS256'
    ? ({ key, padding: constants.RSA_PKCS1_PADDING } as const)
    : ({ key, dsaEncoding: 'ieee-p1363' } as const);

// Keys

/**
 * Makes a verifying key, for every key that comes from outside this process: a store, a file, another server.
 * @throws Error when the key does not fit the algorithm or is too weak (security-and-reliability, section 4.2)
 */
export function verifyingKey(kid: string, alg: SigningAlgorithm, publicKey: KeyObject): VerifyingKey {
  const complaint = alg === 'RS256' ? rsaComplaint(publicKey) : ecComplaint(publicKey, 'P-256');
  if (complaint) throw new Error(`The key ${kid} can't be used for ${alg}: ${complaint}.`);
  return { kid, alg, publicKey };
}

// Signing

/**
 * Signs a payload. The RSA operation (about 0.5 ms at 2048 bits) runs in the thread pool, never on the event loop.
 * @param payload an object, written by JSON.stringify in its own order; or JSON text, taken as it is
 * @returns the compact JWS, with the header of the original: `{"alg":…,"kid":…,"x5t":…,"typ":"JWT"}`
 */
export function signJws(key: SigningKeyMaterial, payload: object | string): Promise<string> {
  const { encodedHeader, signingKey } = preparedOf(key);
  const json = typeof payload === 'string' ? payload : JSON.stringify(payload);
  const signingInput = `${encodedHeader}.${base64url(json)}`;
  return new Promise((resolve, reject) => {
    sign('sha256', Buffer.from(signingInput, 'latin1'), signingKey, (error, signature) => {
      if (error) reject(error);
      else resolve(`${signingInput}.${signature.toString('base64url')}`);
    });
  });
}

interface PreparedKey {
  encodedHeader: string;
  signingKey: ReturnType<typeof withAlgorithm>;
}

/** What stays the same for all tokens of a key; forgotten together with the key. */
const preparedKeys = new WeakMap<SigningKeyMaterial, PreparedKey>();

function preparedOf(key: SigningKeyMaterial): PreparedKey {
  const known = preparedKeys.get(key);
  if (known) return known;
  const { alg, kid, x5t, privateKey } = key;
  const prepared = {
    encodedHeader: base64url(JSON.stringify({ alg, kid, x5t, typ: 'JWT' })),
    signingKey: withAlgorithm(alg, privateKey),
  };
  preparedKeys.set(key, prepared);
  return prepared;
}

const base64url = (text: string) => Buffer.from(text, 'utf8').toString('base64url');
