import assert from 'node:assert/strict';
import {
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as jose from 'jose';
import type { Reason } from '../../src/errors.ts';
import {
  readCompact,
  type SigningAlgorithm,
  type SigningKeyMaterial,
  signJws,
  type VerifyingKey,
  verifyCompact,
  verifyingKey,
  verifyJws,
} from '../../src/tokens/jws.ts';

const literal = JSON.parse(readFileSync(new URL('../harness/vectors/literal-token.json', import.meta.url), 'utf8'));
const literalKey = createPrivateKey({ key: literal.privateKey, format: 'jwk' });

interface Pair {
  signing: SigningKeyMaterial;
  verifying: VerifyingKey;
}

const pair = (kid: string, alg: SigningAlgorithm, privateKey: KeyObject): Pair => ({
  signing: { kid, x5t: 'w8RfnVigThN1bwXsN8U2NOZ3egA', alg, privateKey },
  verifying: verifyingKey(kid, alg, createPublicKey(privateKey)),
});

const rsa = (modulusLength: number) => generateKeyPairSync('rsa', { modulusLength }).privateKey;
const p256 = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

const PAIRS = {
  'RS256 with 2048 bits': pair('RSA-2048', 'RS256', rsa(2048)),
  'RS256 with 3072 bits': pair('RSA-3072', 'RS256', rsa(3072)),
  ES256: pair('EC', 'ES256', p256()),
};
const { signing, verifying } = PAIRS['RS256 with 2048 bits'];
const keys = new Map(Object.values(PAIRS).map(({ verifying: key }) => [key.kid, key]));
const keyFor = (kid: string) => keys.get(kid);

const base64url = (data: string | Buffer) => Buffer.from(data).toString('base64url');

/** A token with these very bytes in header and payload, properly signed by our RSA key. */
const signedText = (header: string | Buffer, payload: string | Buffer = '{}') => {
  const input = `${base64url(header)}.${base64url(payload)}`;
  return `${input}.${base64url(sign('sha256', Buffer.from(input), signing.privateKey))}`;
};

const refuses = (token: string, reason: Reason) =>
  assert.throws(() => verifyJws(token, keyFor), { name: 'ServiceError', error: 'TokenRefused', reason });

test('a token is, to the letter, the one that openssl makes from the same key and payload', async () => {
  const key = { kid: literal.kid, x5t: literal.x5t, alg: 'RS256', privateKey: literalKey } as const;
  assert.equal(await signJws(key, literal.payload), literal.token);
  assert.equal(await signJws(key, JSON.parse(literal.payload)), literal.token);
});

test('the token of openssl is accepted', () => {
  const key = verifyingKey(literal.kid, 'RS256', createPublicKey(literalKey));
  const verified = verifyJws(literal.token, (kid) => (kid === literal.kid ? key : undefined));
  assert.deepEqual(verified.payload, JSON.parse(literal.payload));
  assert.deepEqual(verified.header, { alg: 'RS256', kid: literal.kid, typ: 'JWT' });
  assert.equal(verified.key, key);
});

test('each key has its own header', async () => {
  const other = { ...signing, kid: 'OTHER' };
  const headers = [await signJws(signing, {}), await signJws(other, {}), await signJws(signing, {})].map(
    (token) => jose.decodeProtectedHeader(token).kid,
  );
  assert.deepEqual(headers, ['RSA-2048', 'OTHER', 'RSA-2048']);
});

for (const [name, { signing: ours, verifying: key }] of Object.entries(PAIRS)) {
  const payload = { sub: '8:acs:ünï', n: 1, nested: { list: [1, 'two', null] } };

  test(`jose accepts what we sign: ${name}`, async () => {
    const token = await signJws(ours, payload);
    const verified = await jose.jwtVerify(token, key.publicKey, { algorithms: [key.alg], typ: 'JWT' });
    assert.deepEqual(verified.payload, payload);
    assert.deepEqual(Object.entries(verified.protectedHeader), [
      ['alg', ours.alg],
      ['kid', ours.kid],
      ['x5t', ours.x5t],
      ['typ', 'JWT'],
    ]);
  });

  test(`we accept what jose signs: ${name}`, async () => {
    const header = { alg: ours.alg, kid: ours.kid, typ: 'JWT' };
    const token = await new jose.SignJWT(payload).setProtectedHeader(header).sign(ours.privateKey);
    assert.deepEqual(verifyJws(token, keyFor).payload, payload);
    const bytes = new TextEncoder().encode('not JSON');
    const compact = await new jose.CompactSign(bytes).setProtectedHeader(header).sign(ours.privateKey);
    assert.equal(verifyCompact(compact, keyFor).payload.toString(), 'not JSON');
  });

  test(`what we sign with another key is refused: ${name}`, async () => {
    const unknownKey = { ...ours, privateKey: ours.alg === 'RS256' ? rsa(2048) : p256() };
    refuses(await signJws(unknownKey, payload), 'token.signature');
  });
}

test('a key is for one algorithm, whatever the token says', async () => {
  refuses(await signJws({ ...PAIRS.ES256.signing, kid: verifying.kid }, {}), 'token.algorithm');
  refuses(signedText(`{"alg":"RS512","kid":"${verifying.kid}"}`), 'token.algorithm');
  refuses(signedText('{"alg":"RS256","kid":"EC"}'), 'token.algorithm');
});

test('an unknown key is refused, also when its name is one that every object knows', () => {
  for (const kid of ['', 'rsa-2048', 'RSA-2048 ', 'constructor', '__proto__', 'toString']) {
    refuses(signedText(JSON.stringify({ alg: 'RS256', kid })), 'token.keyUnknown');
  }
});

for (const name of ['jwk', 'jku', 'x5u', 'x5c', 'crit', 'b64', 'zip']) {
  test(`a header with ${name} is refused, even one that we signed and whatever it holds`, () => {
    for (const value of [null, '', [], {}, true, false, ['exp']]) {
      refuses(signedText(JSON.stringify({ alg: 'RS256', kid: signing.kid, [name]: value })), 'token.malformed');
    }
  });
}

const malformed: Record<string, string | Buffer> = {
  'no alg': '{"kid":"RSA-2048"}',
  'no kid': '{"alg":"RS256"}',
  'an alg in a list': '{"alg":["RS256"],"kid":"RSA-2048"}',
  'a kid in a list': '{"alg":"RS256","kid":["RSA-2048"]}',
  'a kid that is an object': '{"alg":"RS256","kid":{"toString":"RSA-2048"}}',
  'another typ': '{"alg":"RS256","kid":"RSA-2048","typ":"at+jwt"}',
  'a typ of null': '{"alg":"RS256","kid":"RSA-2048","typ":null}',
  'its members in __proto__': '{"__proto__":{"alg":"RS256","kid":"RSA-2048"}}',
  'a list around it': '[{"alg":"RS256","kid":"RSA-2048"}]',
  'a byte order mark': '\ufeff{"alg":"RS256","kid":"RSA-2048"}',
  'bytes that are not UTF-8': Buffer.from('{"alg":"RS256","kid":"RSA-2048","x":"\xff"}', 'latin1'),
};

for (const [what, header] of Object.entries(malformed)) {
  test(`a header with ${what} is refused`, () => refuses(signedText(header), 'token.malformed'));
}

test('a header takes nothing from a polluted prototype', (t) => {
  const prototype = Object.prototype as unknown as Record<string, unknown>;
  t.after(() => {
    delete prototype.alg;
    delete prototype.kid;
  });
  prototype.alg = 'RS256';
  prototype.kid = signing.kid;
  refuses(signedText('{}'), 'token.malformed');
});

test('a payload that is not a JSON object in UTF-8 is refused, even one that we signed', async () => {
  const latin1 = Buffer.from('{"a":"\xff"}', 'latin1');
  for (const payload of ['', '[]', '1', 'null', '"{}"', '{', '{}{}', '\ufeff{}', latin1]) {
    refuses(signedText('{"alg":"RS256","kid":"RSA-2048"}', payload), 'token.malformed');
  }
});

test('the payload under an unknown key is never parsed: the signature is what is complained of', async () => {
  const unknownKey = { ...signing, privateKey: rsa(2048) };
  refuses(await signJws(unknownKey, '{"not": JSON'), 'token.signature');
});

test('of a repeated member the last counts, and unknown members of the header are ignored', () => {
  const token = signedText('{"alg":"none","alg":"RS256","kid":"RSA-2048","new":["x"]}', '{"a":1,"a":2}');
  assert.deepEqual(verifyJws(token, keyFor).payload, { a: 2 });
});

test('a token has three parts', async () => {
  const token = await signJws(signing, {});
  const [header, payload, signature] = token.split('.');
  for (const text of ['', '.', '..', `${header}.${payload}`, `${token}.`, `.${token}`, `${token}.${signature}`]) {
    refuses(text, 'token.malformed');
  }
  refuses(`${header}.${payload}.`, 'token.signature');
});

test('other spellings of the same bytes are refused', async () => {
  const token = await signJws(signing, {});
  // 256 bytes leave four bits of the last character unused: A, B, … P all decode to the same signature.
  const nextLetter = String.fromCharCode(token.charCodeAt(token.length - 1) + 1);
  const spellings = [`${token}=`, `${token}==`, `${token} `, `${token}\n`, ` ${token}`, token.replace('.', ' .')];
  for (const text of [...spellings, token.slice(0, -1) + nextLetter]) {
    assert.deepEqual(Buffer.from(text.trim().split('.')[2] ?? '', 'base64url'), readCompact(token).signature);
    refuses(text, 'token.malformed');
  }
});

test('a token of 8 KiB is taken and a longer one is not looked at', async () => {
  const withFiller = (length: number) => signJws(signing, `{"x":"${'x'.repeat(length)}"}`);
  const spare = 8192 - (await withFiller(0)).length;
  const longest = await withFiller(Math.floor((spare * 3) / 4));
  assert.ok(longest.length > 8188 && longest.length <= 8192, `${longest.length}`);
  assert.ok(verifyJws(longest, keyFor));
  refuses(await withFiller(Math.floor((spare * 3) / 4) + 6), 'token.malformed');
});

test('a signing that fails rejects', async () => {
  const notRsa = generateKeyPairSync('x25519').privateKey;
  await assert.rejects(async () => signJws({ ...signing, privateKey: notRsa }, {}));
});

/** A modulus that is 1, and so a power of 65537, modulo every small prime; as the flawed library made them. */
function rocaLike(): KeyObject {
  const primes = Array.from({ length: 168 }, (_, n) => n).filter((n) => n > 2 && !smallDivisor(n));
  const product = primes.reduce((all, prime) => all * BigInt(prime), 1n);
  let multiple = (1n << 2047n) / product + 1n;
  while ((multiple * product) % 2n === 1n) multiple += 1n;
  const n = Buffer.from((multiple * product + 1n).toString(16), 'hex').toString('base64url');
  return createPublicKey({ key: { kty: 'RSA', n, e: 'AQAB' }, format: 'jwk' });
}

const smallDivisor = (n: number) => [2, 3, 5, 7, 11].some((divisor) => n !== divisor && n % divisor === 0);

const unfit: Record<string, { alg: SigningAlgorithm; key: () => KeyObject }> = {
  'an RSA key of 1024 bits': { alg: 'RS256', key: () => createPublicKey(rsa(1024)) },
  'an RSA key with the exponent 3': {
    alg: 'RS256',
    key: () => generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 }).publicKey,
  },
  'an RSA key with the ROCA fingerprint': { alg: 'RS256', key: rocaLike },
  'an RSA-PSS key': { alg: 'RS256', key: () => generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey },
  'a private RSA key': { alg: 'RS256', key: () => rsa(2048) },
  'an HMAC key': { alg: 'RS256', key: () => createSecretKey(Buffer.alloc(64)) },
  'a P-256 key': { alg: 'RS256', key: () => createPublicKey(p256()) },
  'an RSA key for ES256': { alg: 'ES256', key: () => createPublicKey(rsa(2048)) },
  'a private P-256 key': { alg: 'ES256', key: p256 },
  'a P-384 key': { alg: 'ES256', key: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey },
  'an Ed25519 key': { alg: 'ES256', key: () => generateKeyPairSync('ed25519').publicKey },
};

for (const [what, { alg, key }] of Object.entries(unfit)) {
  test(`${what} can't become a key for ${alg}`, () => {
    assert.throws(() => verifyingKey('K', alg, key()), /^Error: The key K can't be used for/);
  });
}

/** What the log says of a refusal: the people who read it have nothing else. */
const DETAILS: readonly (readonly [what: string, token: () => string, detail: string])[] = [
  ['an unknown key', () => signedText('{"alg":"RS256","kid":"x"}'), 'no known key has this kid'],
  ['another algorithm', () => signedText('{"alg":"ES256","kid":"RSA-2048"}'), 'the key is for RS256'],
  [
    'another signature',
    () => `${signedText('{"alg":"RS256","kid":"RSA-2048"}').split('.').slice(0, 2).join('.')}.AAAA`,
    'the signature does not match the key that the token names',
  ],
  ['too many characters', () => 'x'.repeat(8193), 'it is longer than 8192 characters'],
  ['8192 characters that are none', () => 'x'.repeat(8192), 'expected three parts separated by dots'],
  ['one part', () => 'e30', 'expected three parts separated by dots'],
  ['two parts', () => 'e30.e30', 'expected three parts separated by dots'],
  ['four parts', () => 'e30.e30.e30.e30', 'expected three parts separated by dots'],
  ['a bad header', () => 'e30=.e30.e30', 'the header is not canonical base64url'],
  [
    'a bad payload',
    () => `${base64url('{"alg":"RS256","kid":"x"}')}.e30=.e30`,
    'the payload is not canonical base64url',
  ],
  [
    'a bad signature',
    () => `${base64url('{"alg":"RS256","kid":"x"}')}.e30.e30=`,
    'the signature is not canonical base64url',
  ],
  ['a header of text', () => signedText('x'), 'the header is not a JSON object in UTF-8'],
  [
    'a payload of text',
    () => signedText('{"alg":"RS256","kid":"RSA-2048"}', 'x'),
    'the payload is not a JSON object in UTF-8',
  ],
  [
    'a key of its own',
    () => signedText('{"alg":"RS256","kid":"RSA-2048","jwk":{}}'),
    'the header must not have a member jwk',
  ],
  ['no alg', () => signedText('{"kid":"RSA-2048"}'), 'the alg of the header is missing or not a string'],
  ['no kid', () => signedText('{"alg":"RS256"}'), 'the kid of the header is missing or not a string'],
  ['another typ', () => signedText('{"alg":"RS256","kid":"RSA-2048","typ":"x"}'), 'the typ of the header is not JWT'],
];

for (const [what, token, detail] of DETAILS) {
  test(`a refusal says what is wrong: ${what}`, () => {
    assert.throws(() => verifyJws(token(), keyFor), { error: 'TokenRefused', detail });
  });
}

test('an Edwards key named as if it were on P-256 is no key for ES256', () => {
  for (const type of ['ed25519', 'x25519'] as const) {
    const { publicKey } = generateKeyPairSync(type as 'ed25519');
    assert.throws(() => verifyingKey('k', 'ES256', publicKey), /not a public key on the curve P-256/);
  }
  assert.throws(() => verifyingKey('k', 'ES256', p256()), /not a public key on the curve P-256/);
});
