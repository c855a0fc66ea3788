import { createPublicKey, type KeyObject, type webcrypto } from 'node:crypto';
import { isJsonObject, type JsonObject, own } from '../lib/compact-jws.ts';
import { ecComplaint, rsaComplaint } from '../lib/key-strength.ts';
import { ProviderFailure } from './provider-fetch.ts';
import type { Algorithm } from './trust.ts';

/** A public key of somebody else's. */
export interface ForeignKey {
  readonly publicKey: KeyObject;
  /** What it may verify: never empty. */
  readonly algorithms: readonly Algorithm[];
}

/** By exact `kid`. */
export type KeySet = ReadonlyMap<string, ForeignKey>;

const MOST_KEYS = 200;
/** Verifying takes longer with every bit, and nobody uses more. */
const MOST_BITS = 8192;
/** What only the owner of a key may hold (RFC 7518, section 6; RFC 8037). */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

/** Kinds of keys: the members that make one, the algorithms it can be for, and what is wrong with it. */
const KINDS: Readonly<
  Record<string, { members: string[]; algorithms: Algorithm[]; complaint: (key: KeyObject) => string | undefined }>
> = {
  RSA: {
    members: ['n', 'e'],
    algorithms: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
    complaint: (key) =>
      rsaComplaint(key) ??
      ((key.asymmetricKeyDetails?.modulusLength ?? 0) > MOST_BITS ? `it has more than ${MOST_BITS} bits` : undefined),
  },
  'EC P-256': {
    members: ['crv', 'x', 'y'],
    algorithms: ['ES256'],
    complaint: (key) => ecComplaint(key, 'P-256'),
  },
  'EC P-384': {
    members: ['crv', 'x', 'y'],
    algorithms: ['ES384'],
    complaint: (key) => ecComplaint(key, 'P-384'),
  },
  'OKP Ed25519': {
    members: ['crv', 'x'],
    algorithms: ['EdDSA'],
    complaint: (key) => (key.asymmetricKeyType === 'ed25519' ? undefined : 'it is not an Ed25519 key'),
  },
};

/**
 * Reads a key set (RFC 7517). Keys that are not for us are passed over: for encryption, of other kinds, for algorithms
 * that are not allowed, too weak, without an id. A set that shows carelessness is refused as a whole.
 * @throws ProviderFailure
 */
export function readKeySet(document: JsonObject, allowed: readonly Algorithm[]): KeySet {
  const entries = own(document, 'keys');
  if (!Array.isArray(entries)) throw new ProviderFailure('the key set has no list of keys');
  if (entries.length > MOST_KEYS) throw new ProviderFailure(`the key set has more than ${MOST_KEYS} keys`);
  const keys = new Map<string, ForeignKey>();
  for (const entry of entries) {
    if (!isJsonObject(entry)) throw new ProviderFailure('an entry of the key set is not an object');
    if (own(entry, 'kty') === 'oct' || PRIVATE_MEMBERS.some((name) => Object.hasOwn(entry, name))) {
      throw new ProviderFailure('the key set holds a symmetric or private key');
    }
    const kid = own(entry, 'kid');
    const key = typeof kid === 'string' && kid !== '' ? usableKey(entry, allowed) : undefined;
    if (typeof kid !== 'string' || !key) continue;
    if (keys.has(kid)) throw new ProviderFailure('the key set has two keys with the same id');
    keys.set(kid, key);
  }
  return keys;
}

function usableKey(entry: JsonObject, allowed: readonly Algorithm[]): ForeignKey | undefined {
  const [use, operations, alg] = [own(entry, 'use'), own(entry, 'key_ops'), own(entry, 'alg')];
  if (use !== undefined && use !== 'sig') return undefined;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return undefined;
  const [type, curve] = [own(entry, 'kty'), own(entry, 'crv')];
  const kindName = type === 'RSA' ? 'RSA' : `${type} ${curve}`;
  const kind = Object.hasOwn(KINDS, kindName) ? KINDS[kindName] : undefined;
  if (!kind) return undefined;
  const algorithms = kind.algorithms.filter((name) => allowed.includes(name) && (alg === undefined || alg === name));
  const publicKey = algorithms.length > 0 && publicKeyFrom(entry, ['kty', ...kind.members]);
  return publicKey && kind.complaint(publicKey) === undefined ? { publicKey, algorithms } : undefined;
}

function publicKeyFrom(entry: JsonObject, members: readonly string[]): KeyObject | undefined {
  const key = Object.fromEntries(members.map((name) => [name, own(entry, name)])) as webcrypto.JsonWebKey;
  try {
    return createPublicKey({ key, format: 'jwk' });
  } catch {
    return undefined;
  }
}
