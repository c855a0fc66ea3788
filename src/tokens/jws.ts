import { constants, type KeyObject, sign, verify } from 'node:crypto';
import { type Reason, ServiceError } from '../errors.ts';
import { fromBase64url } from '../lib/bytes.ts';

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

/** Parsed JSON. Read it with {@link own}: names such as `constructor` are found on every object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** The members of the header that anything is decided by. */
export interface JwsHeader {
  readonly alg: string;
  readonly kid: string;
  readonly typ: 'JWT' | undefined;
}

/** A token of the right form. Nobody has looked at its signature yet, so nothing in it may be believed. */
export interface UnverifiedJws {
  readonly header: JwsHeader;
  readonly payload: Buffer;
  /** The bytes that the signature is over: both encoded parts with the dot between them. */
  readonly signingInput: Buffer;
  readonly signature: Buffer;
}

/** Ours have about 900 characters with RSA-2048; the limit only bounds what a stranger can make us decode. */
const LONGEST_TOKEN = 8 * 1024;

/** Each of these would have the token say how it is to be verified, or with what (RFC 8725, sections 3.1 and 3.10). */
const FORBIDDEN_HEADERS = ['jwk', 'jku', 'x5u', 'x5c', 'crit', 'b64', 'zip'] as const;

/** A value that the object itself has, never one inherited from the prototype. */
export const own = (object: JsonObject, name: string): unknown =>
  Object.hasOwn(object, name) ? object[name] : undefined;

const refused = (reason: Reason, detail: string) => new ServiceError('TokenRefused', { reason, detail });

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
  // Only after the signature: a stranger's payload is never parsed.
  return { header, payload: jsonObject(payload, 'payload'), key };
}

/** The same for a payload of any bytes. */
export function verifyCompact(
  token: string,
  keyFor: (kid: string) => VerifyingKey | undefined,
): { header: JwsHeader; payload: Buffer; key: VerifyingKey } {
  const { header, payload, signingInput, signature } = readCompact(token);
  const key = keyFor(header.kid);
  if (!key) throw refused('token.keyUnknown', 'the kid names no known key');
  if (header.alg !== key.alg) throw refused('token.algorithm', `the key is for ${key.alg}`);
  if (!verifySignature(key, signingInput, signature)) {
    throw refused('token.signature', 'the signature does not fit the key it names');
  }
  return { header, payload, key };
}

/**
 * Takes a compact JWS apart (RFC 7515, section 7.1), in canonical base64url only: otherwise one signature would be
 * good for many texts, and every list of tokens could be walked around by spelling. Header members that are not
 * known are ignored, as section 4 of the RFC has it: an older node must take the tokens of a newer one.
 * @throws ServiceError `TokenRefused` with reason `token.malformed`
 */
export function readCompact(token: string): UnverifiedJws {
  if (token.length > LONGEST_TOKEN) throw refused('token.malformed', `longer than ${LONGEST_TOKEN} characters`);
  // A fourth part is enough to know that there are not three.
  const [headerText, payloadText, signatureText, more] = token.split('.', 4);
  if (headerText === undefined || payloadText === undefined || signatureText === undefined || more !== undefined) {
    throw refused('token.malformed', 'not three parts');
  }
  const header = readHeader(jsonObject(part(headerText, 'header'), 'header'));
  const payload = part(payloadText, 'payload');
  const signature = part(signatureText, 'signature');
  return { header, payload, signingInput: Buffer.from(`${headerText}.${payloadText}`, 'latin1'), signature };
}

function part(text: string, name: string): Buffer {
  const bytes = fromBase64url(text);
  if (!bytes) throw refused('token.malformed', `the ${name} is not canonical base64url`);
  return bytes;
}

function readHeader(header: JsonObject): JwsHeader {
  const forbidden = FORBIDDEN_HEADERS.find((name) => Object.hasOwn(header, name));
  if (forbidden) throw refused('token.malformed', `the header has a member ${forbidden}`);
  const alg = own(header, 'alg');
  const kid = own(header, 'kid');
  const typ = own(header, 'typ');
  if (typeof alg !== 'string') throw refused('token.malformed', 'the header has no alg that is a string');
  if (typeof kid !== 'string') throw refused('token.malformed', 'the header has no kid that is a string');
  if (typ !== undefined && typ !== 'JWT') throw refused('token.malformed', 'the typ of the header is not JWT');
  return { alg, kid, typ };
}

// Without ignoreBOM a byte order mark would be dropped silently, and one payload would have two texts.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function jsonObject(bytes: Buffer, name: string): JsonObject {
  const value = parsed(bytes);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refused('token.malformed', `the ${name} is not a JSON object in UTF-8`);
  }
  return value as JsonObject;
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(utf8.decode(bytes));
  } catch {
    return undefined;
  }
}

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
  const complaint = alg === 'RS256' ? rsaComplaint(publicKey) : p256Complaint(publicKey);
  if (complaint) throw new Error(`The key ${kid} can't be used for ${alg}: ${complaint}.`);
  return { kid, alg, publicKey };
}

function rsaComplaint(key: KeyObject): string | undefined {
  const { modulusLength = 0, publicExponent } = key.asymmetricKeyDetails ?? {};
  // Keys of type rsa-pss carry their own padding, which would not be the one of RS256.
  if (key.type !== 'public' || key.asymmetricKeyType !== 'rsa') return 'it is not a public RSA key';
  if (modulusLength < 2048) return `it has ${modulusLength} bits, fewer than 2048`;
  if (publicExponent !== 65537n) return 'its public exponent is not 65537';
  if (hasRocaFingerprint(key)) return 'its modulus has the ROCA fingerprint (CVE-2017-15361), so it can be factored';
  return undefined;
}

function p256Complaint(key: KeyObject): string | undefined {
  const isP256 = key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
  return key.type === 'public' && isP256 ? undefined : 'it is not a public key on the curve P-256';
}

/** The odd primes below 170. More would find nothing more: the flawed library built its 2048-bit keys on these. */
const SMALL_PRIMES = [
  3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113,
  127, 131, 137, 139, 149, 151, 157, 163, 167,
].map(BigInt);

/** Moduli of the flawed library are a power of 65537 modulo each small prime; of others, one in 2^27 is by chance. */
function hasRocaFingerprint(key: KeyObject): boolean {
  const modulus = BigInt(`0x${Buffer.from(key.export({ format: 'jwk' }).n ?? '', 'base64url').toString('hex')}`);
  return SMALL_PRIMES.every((prime) => isPowerOf65537(modulus % prime, prime));
}

function isPowerOf65537(residue: bigint, prime: bigint): boolean {
  let power = 1n;
  do {
    if (power === residue) return true;
    power = (power * 65537n) % prime;
  } while (power !== 1n);
  return false;
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
