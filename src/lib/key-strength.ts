import type { KeyObject } from 'node:crypto';

/** What is wrong with a public RSA key (security-and-reliability, section 4.2); undefined for nothing. */
export function rsaComplaint(key: KeyObject): string | undefined {
  const { modulusLength = 0, publicExponent } = key.asymmetricKeyDetails ?? {};
  // Keys of type rsa-pss carry their own padding, which would not be the one of RS256.
  if (key.type !== 'public' || key.asymmetricKeyType !== 'rsa') return 'it is not a public RSA key';
  if (modulusLength < 2048) return `it has ${modulusLength} bits, fewer than 2048`;
  if (publicExponent !== 65537n) return 'its public exponent is not 65537';
  if (hasRocaFingerprint(key)) return 'its modulus has the ROCA fingerprint (CVE-2017-15361), so it can be factored';
  return undefined;
}

/** OpenSSL's names of the curves. */
const CURVES = { 'P-256': 'prime256v1', 'P-384': 'secp384r1' } as const;

/** What is wrong with a public key on an elliptic curve; undefined for nothing. */
export function ecComplaint(key: KeyObject, curve: keyof typeof CURVES): string | undefined {
  const fits = key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === CURVES[curve];
  return key.type === 'public' && fits ? undefined : `it is not a public key on the curve ${curve}`;
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
