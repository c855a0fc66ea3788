import {
  constants,
  createHash,
  createHmac,
  generateKeyPairSync,
  type KeyObject,
  privateEncrypt,
  sign,
} from 'node:crypto';

/** A genuine token and everything about its key; the private half too, to sign what must be refused all the same. */
export interface Target {
  token: string;
  kid: string;
  publicKey: KeyObject;
  privateKey: KeyObject;
}

/** A small generator of pseudo-random numbers (mulberry32): the same seed draws the same forgeries everywhere. */
export class Draw {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** A whole number from 0 to one less than the limit. */
  below(limit: number): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }

  bytes(count: number): Buffer {
    return Buffer.from(Array.from({ length: count }, () => this.below(256)));
  }
}

/** The forgery with this number: everything about it that the family leaves open is drawn from seed and number. */
export function forge(target: Target, seed: number, number: number, family: Family): string {
  const draw = new Draw(Math.imul(seed, 0x9e3779b1) + number);
  return forgers[family](target, draw);
}

/** A token with one character replaced, left out, put in, changed in case, or swapped with its neighbour. */
export function edited(token: string, at: number, draw: Draw): string {
  const before = token.slice(0, at);
  const here = token[at] ?? '';
  const after = token.slice(at + 1);
  const edits = [
    () => before + draw.pick([...ALPHABET].filter((other) => other !== here)) + after,
    () => before + after,
    () => before + draw.pick([...ALPHABET]) + here + after,
    () => before + (here === here.toUpperCase() ? here.toLowerCase() : here.toUpperCase()) + after,
    () => before + after.slice(0, 1) + here + after.slice(1),
  ];
  const text = draw.pick(edits)();
  return text === token ? before + after : text;
}

export const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ';

const FOREIGN = {
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ec: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ed: generateKeyPairSync('ed25519'),
};

const url = (data: string | Buffer) => Buffer.from(data).toString('base64url');
const json = (value: unknown) => url(JSON.stringify(value));
const rs256 = (key: KeyObject, input: string) => sign('sha256', Buffer.from(input), key);
const parts = ({ token }: Target) => token.split('.') as [string, string, string];
const claimsOf = (target: Target) => JSON.parse(Buffer.from(parts(target)[1], 'base64url').toString());
const header = (target: Target, more: object = {}) => ({ alg: 'RS256', kid: target.kid, typ: 'JWT', ...more });

/** What an attacker would want to say: the genuine claims, or more of them. */
const wish = (target: Target, draw: Draw): string => {
  const claims = claimsOf(target);
  return draw.pick([
    () => parts(target)[1],
    () => json({ ...claims, exp: claims.exp + 60 + draw.below(1e9) }),
    () => json({ ...claims, acsScope: 'chat,voip' }),
    () => json({ ...claims, sub: `${claims.sub}x`, skypeid: `${claims.skypeid}x` }),
    () => json({ ...claims, rv: Number.MAX_SAFE_INTEGER - draw.below(1000), ks: undefined }),
  ])();
};

const signedBy = (key: KeyObject, head: string, payload: string) =>
  `${head}.${payload}.${url(rs256(key, `${head}.${payload}`))}`;

const signedByEitherKey = (target: Target, draw: Draw, head: unknown) =>
  signedBy(draw.pick([target.privateKey, FOREIGN.rsa.privateKey]), json(head), wish(target, draw));

/** Letters of a word in upper or lower case by chance. */
const anyCase = (word: string, draw: Draw) =>
  [...word].map((letter) => (draw.below(2) ? letter.toUpperCase() : letter)).join('');

/** Every way in which somebody's library has turned the public key into the bytes of an HMAC key. */
function publicKeyAsSecret({ publicKey, kid }: Target, draw: Draw): Buffer {
  const spkiPem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const pkcs1Pem = publicKey.export({ type: 'pkcs1', format: 'pem' }).toString();
  const jwk = publicKey.export({ format: 'jwk' });
  const pem = draw.pick([spkiPem, pkcs1Pem]);
  return Buffer.from(
    draw.pick([
      pem,
      pem.trimEnd(),
      `${pem}\n`,
      pem.replaceAll('\n', '\r\n'),
      pem.replaceAll('\n', ''),
      pem.replace(/-----[^-]+-----/g, '').replaceAll('\n', ''),
      publicKey.export({ type: 'spki', format: 'der' }),
      publicKey.export({ type: 'pkcs1', format: 'der' }),
      JSON.stringify(jwk),
      JSON.stringify({ ...jwk, kid, alg: 'RS256', use: 'sig' }),
      JSON.stringify({ keys: [jwk] }),
      jwk.n ?? '',
      Buffer.from(jwk.n ?? '', 'base64url'),
      kid,
      '',
      'null',
      'undefined',
      '[object Object]',
    ]),
  );
}

const STRANGE_KIDS: unknown[] = [
  '../../../../../../dev/null',
  '/proc/sys/kernel/randomize_va_space',
  'file:///etc/passwd',
  'C:\\windows\\win.ini',
  "x' UNION SELECT 'secret' --",
  "' OR '1'='1",
  '1; DROP TABLE signing_keys',
  '$(sleep 5)',
  '| id',
  'http://127.0.0.1:9/key.pem',
  'https://attacker.example/jwks.json',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'prototype',
  'length',
  '0',
  '',
  ' ',
  '\u0000',
  '*',
  '.*',
  '%00',
  null,
  true,
  0,
  1,
  [],
  {},
  { $ne: null },
  { toString: 'x' },
];

const strangeKid = (target: Target, draw: Draw): unknown =>
  draw.pick([
    () => draw.pick(STRANGE_KIDS),
    () => [target.kid],
    () => ({ kid: target.kid }),
    () => target.kid.toLowerCase(),
    () => `${target.kid}${draw.pick([' ', '\n', '\u0000', '.pem', '/'])}`,
    () => ` ${target.kid}`,
    () => `./${target.kid}`,
    () => target.kid.slice(0, -1),
  ])();

/** Blocks that a verifier must not take for PKCS#1 v1.5 of SHA-256, put through the real private key. */
function paddedWrongly(target: Target, input: string, draw: Draw): Buffer {
  const size = (target.publicKey.asymmetricKeyDetails?.modulusLength ?? 0) / 8;
  const hash = createHash('sha256').update(input).digest();
  const info = Buffer.concat([Buffer.from('3031300d060960864801650304020105000420', 'hex'), hash]);
  const noNull = Buffer.concat([
    Buffer.from('302f300b0609608648016503040201', 'hex'),
    Buffer.from('0420', 'hex'),
    hash,
  ]);
  const sha1 = Buffer.concat([Buffer.from('3021300906052b0e03021a05000414', 'hex'), hash.subarray(0, 20)]);
  const block = (type: number, fill: number, count: number, rest: Buffer) =>
    Buffer.concat([Buffer.from([0, type]), Buffer.alloc(count, fill), Buffer.from([0]), rest]);
  const full = (type: number, fill: number, rest: Buffer) => block(type, fill, size - 3 - rest.length, rest);
  const em = draw.pick([
    () => full(1, 0xff, noNull),
    () => full(1, 0xff, sha1),
    () => full(1, 0xff, hash),
    () => full(2, 0xff, info),
    () => full(0, 0, info),
    () => full(1, 0xfe, info),
    () => block(1, 0xff, 8, Buffer.concat([info, draw.bytes(size - 11 - info.length)])),
    () => block(1, 0xff, 0, Buffer.concat([info, Buffer.alloc(size - 3 - info.length)])),
    () => full(1, 0xff, Buffer.concat([info.subarray(0, -1), Buffer.from([(info.at(-1) ?? 0) ^ 1])])),
    () => full(1, 0xff, Buffer.concat([info, Buffer.from([0])])),
  ])();
  return privateEncrypt({ key: target.privateKey, padding: constants.RSA_NO_PADDING }, em);
}

const BLANKS = [' ', '\n', '\t', '\r\n', '\u00a0', '\u200b', '\ufeff', '\u0000', '%20', '#', '?', '!', '*'];

/** The same bytes spelled in another way; every one of these decodes with a forgiving decoder. */
function respelled(target: Target, draw: Draw): string {
  const texts: string[] = parts(target);
  const which = draw.below(3);
  const text = texts[which] ?? '';
  const at = draw.below(text.length + 1);
  const strayBits = (1 << (text.length % 4 === 2 ? 4 : 2)) - 1;
  const last = BASE64URL.indexOf(text.at(-1) ?? '');
  const spelling = draw.pick([
    () => `${text}=`,
    () => `${text}==`,
    () => `${text}${'='.repeat((4 - (text.length % 4)) % 4 || 4)}`,
    () => text.slice(0, at) + draw.pick(BLANKS) + text.slice(at),
    // Where no bits are left over, the last character is just another one, and the signature must notice.
    () => text.slice(0, -1) + BASE64URL[last ^ (1 + draw.below(strayBits))],
    () => `${text.slice(0, at)}+${text.slice(at)}`,
    () => standardAlphabet(text),
    () => `${text}A`,
    () => percentEncoded(text, draw.below(text.length)),
  ])();
  texts[which] = spelling;
  return texts.join('.');
}

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

const standardAlphabet = (text: string) => {
  const changed = text.replaceAll('-', '+').replaceAll('_', '/');
  return changed === text ? `${text}=` : changed;
};

const percentEncoded = (text: string, at: number) =>
  `${text.slice(0, at)}%${text.charCodeAt(at).toString(16)}${text.slice(at + 1)}`;

/** One entry per kind of attack that has worked against somebody (RFC 8725, the public lists of JWT attacks). */
const forgers = {
  none: (target, draw) => {
    const alg = draw.pick([
      anyCase('none', draw),
      ' none',
      'none ',
      'none\u0000',
      'n\u043ene',
      '',
      null,
      false,
      0,
      ['none'],
    ]);
    const head = draw.below(8) ? header(target, { alg }) : { typ: 'JWT', kid: target.kid };
    const signature = draw.pick(['', '', 'AA', parts(target)[2], url(draw.bytes(256))]);
    return `${json(head)}.${wish(target, draw)}.${signature}`;
  },

  hmacWithPublicKey: (target, draw) => {
    const bits = draw.pick(['256', '256', '384', '512']);
    const alg = draw.pick([`HS${bits}`, `HS${bits}`, `hs${bits}`, 'RS256']);
    const input = `${json(header(target, { alg }))}.${wish(target, draw)}`;
    return `${input}.${url(createHmac(`sha${bits}`, publicKeyAsSecret(target, draw)).update(input).digest())}`;
  },

  foreignKey: (target, draw) => {
    const kid = draw.pick([target.kid, target.kid, url(draw.bytes(20)), draw.bytes(20).toString('hex').toUpperCase()]);
    return signedBy(FOREIGN.rsa.privateKey, json(header(target, { kid })), wish(target, draw));
  },

  embeddedKey: (target, draw) => {
    const jwk = FOREIGN.rsa.publicKey.export({ format: 'jwk' });
    const der = FOREIGN.rsa.publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
    const key = draw.pick([
      { jwk: { ...jwk, kid: target.kid } },
      { jwk: target.publicKey.export({ format: 'jwk' }) },
      { jwk: null },
      { jku: 'https://attacker.example/jwks.json' },
      { jku: `http://127.0.0.1:${1 + draw.below(65535)}/.well-known/jwks.json` },
      { jku: 'file:///dev/zero' },
      { x5u: 'https://attacker.example/cert.pem' },
      { x5c: [der] },
      { x5c: [] },
      { x5c: der, jwk },
    ]);
    return signedByEitherKey(target, draw, header(target, key));
  },

  strangeKid: (target, draw) => {
    const kid = strangeKid(target, draw);
    const signature = draw.below(4);
    const input = `${json(header(target, { kid, alg: draw.pick(['RS256', 'HS256']) }))}.${wish(target, draw)}`;
    // What a kid that becomes a path or a query is for: a key whose content the attacker knows.
    if (signature === 0) {
      const known = draw.pick(['', '2\n', 'secret', '\u0000']);
      return `${input}.${url(createHmac('sha256', known).update(input).digest())}`;
    }
    return signedByEitherKey(target, draw, header(target, { kid }));
  },

  otherAlgorithm: (target, draw) => {
    const bits = draw.pick(['256', '384', '512'] as const);
    const pss = draw.below(2) === 1;
    const honest = `${pss ? 'PS' : 'RS'}${bits}`;
    const alg = honest === 'RS256' ? draw.pick(['RS384', 'rs256', 'RS256 ', 'RSA256', 'SHA256withRSA']) : honest;
    const head = json(header(target, { alg: honest === 'RS256' ? alg : draw.pick([alg, 'RS256']) }));
    const input = `${head}.${wish(target, draw)}`;
    const key = pss
      ? { key: target.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: Number(bits) / 8 }
      : target.privateKey;
    return `${input}.${url(sign(`sha${bits}`, Buffer.from(input), key))}`;
  },

  otherKind: (target, draw) => {
    const alg = draw.pick(['ES256', 'ES256', 'EdDSA', 'Ed25519', 'RS256', 'ES384', 'ES256K']);
    const input = `${json(header(target, { alg }))}.${wish(target, draw)}`;
    const data = Buffer.from(input);
    const dsaEncoding = draw.pick(['ieee-p1363', 'der'] as const);
    const signature = alg.startsWith('Ed')
      ? sign(null, data, FOREIGN.ed.privateKey)
      : sign('sha256', data, { key: FOREIGN.ec.privateKey, dsaEncoding });
    return `${input}.${url(signature)}`;
  },

  jwe: (target, draw) => {
    const [, payload, signature] = parts(target);
    const head = json(
      draw.pick([
        { alg: 'RSA-OAEP', enc: 'A256GCM', kid: target.kid },
        { alg: 'dir', enc: 'A128CBC-HS256', zip: 'DEF' },
      ]),
    );
    const five = [head, url(draw.bytes(256)), url(draw.bytes(12)), payload, url(draw.bytes(16))];
    return draw.pick([
      () => five.join('.'),
      () => [head, '', url(draw.bytes(12)), payload, signature].join('.'),
      () => `${target.token}..`,
      () => `${target.token}.${signature}`,
      () => `.${target.token}`,
      () => `${target.token}.`,
      () => five.slice(0, draw.below(3)).join('.'),
      () => '.'.repeat(draw.below(2000)),
      () => [head, payload].join('.'),
    ])();
  },

  jsonSerialisation: (target, draw) => {
    const [head, payload, signature] = parts(target);
    const flattened = { payload, protected: head, header: { kid: target.kid }, signature };
    const general = { payload, signatures: [{ protected: head, header: { alg: 'none' }, signature }] };
    const text = JSON.stringify(draw.pick<unknown>([flattened, general, [target.token], target.token]));
    return draw.pick([text, url(text), `${url(text)}..`, `${text}.${payload}.${signature}`]);
  },

  critical: (target, draw) => {
    const more = draw.pick([
      { crit: ['exp'], exp: 1 },
      { crit: ['b64'], b64: false },
      { crit: [] },
      { crit: null },
      { crit: 'alg' },
      { crit: ['alg', 'kid'] },
      { b64: false },
      { b64: true },
      { b64: 'false' },
      { zip: 'DEF' },
      { zip: null },
    ]);
    const unencoded = JSON.stringify(claimsOf(target));
    const payload = 'b64' in more && draw.below(2) ? unencoded : wish(target, draw);
    return signedBy(target.privateKey, json(header(target, more)), payload);
  },

  duplicateMembers: (target, draw) => {
    const kid = JSON.stringify(target.kid);
    const text = draw.pick([
      `{"alg":"RS256","kid":${kid},"alg":"none"}`,
      `{"alg":"RS256","kid":${kid},"alg":"HS256"}`,
      `{"alg":"RS256","kid":${kid},"kid":"other"}`,
      `{"alg":"RS256","kid":${kid},"kid":[${kid}]}`,
      `{"alg":"RS256","kid":${kid},"typ":"JWT","typ":"JWE"}`,
      `{"alg":"RS256","kid":${kid},"\\u0061lg":"none"}`,
      `{"alg":"RS256","kid":${kid},"cr\\u0069t":["x"]}`,
    ]);
    const swapped = `{"alg":"none","alg":"RS256","kid":"other","kid":${kid}}`;
    return draw.pick([
      () => signedBy(target.privateKey, url(text), wish(target, draw)),
      () => signedBy(FOREIGN.rsa.privateKey, url(swapped), wish(target, draw)),
      () => `${url(swapped)}.${wish(target, draw)}.`,
    ])();
  },

  spelling: (target, draw) =>
    draw.pick([
      () => respelled(target, draw),
      () => respelled(target, draw),
      () => respelled(target, draw),
      () => `${draw.pick(['Bearer ', 'bearer:', '\ufeff', '"', ' '])}${target.token}`,
      () => `${target.token}${draw.pick(['\n', ' ', '\u0000', '"', ';', ',x', '#', '?a=b'])}`,
      () => target.token.replaceAll('.', draw.pick(['\uff0e', '\u3002', '%2e', '. ', ' .', ':', '/'])),
      () => target.token.toLowerCase(),
    ])(),

  singleEdit: (target, draw) => edited(target.token, draw.below(target.token.length), draw),

  otherType: (target, draw) => {
    const typ = draw.pick([
      'JWE',
      'jwt',
      'Jwt',
      'at+jwt',
      'JOSE',
      'JWT ',
      'application/jwt',
      'dpop+jwt',
      '',
      null,
      1,
      true,
      ['JWT'],
      { typ: 'JWT' },
    ]);
    return signedBy(target.privateKey, json(header(target, { typ })), wish(target, draw));
  },

  headerShape: (target, draw) => {
    const text = JSON.stringify(header(target));
    const shape: string | Buffer = draw.pick<string | Buffer>([
      `[${text}]`,
      JSON.stringify(text),
      'null',
      'true',
      '1',
      '',
      '{}',
      '[]',
      `\ufeff${text}`,
      `${text}x`,
      `${text}${text}`,
      `/**/${text}`,
      text.replace('}', ',}'),
      text.replaceAll('"', "'"),
      text.slice(0, -1),
      `{"__proto__":${text}}`,
      `{"constructor":{"prototype":${text}}}`,
      `{"header":${text}}`,
      '['.repeat(3000),
      '{"a":'.repeat(1000),
      Buffer.from(text, 'utf16le'),
      Buffer.concat([Buffer.from(text.slice(0, -1)), Buffer.from(',"x":"\u00ff"}', 'latin1')]),
      Buffer.concat([
        Buffer.from(text.slice(0, -1)),
        Buffer.from(',"x":"'),
        Buffer.from([0xc0, 0xaf]),
        Buffer.from('"}'),
      ]),
      draw.bytes(1 + draw.below(64)),
    ]);
    return signedBy(target.privateKey, url(shape), wish(target, draw));
  },

  payloadShape: (target, draw) => {
    const text = JSON.stringify(claimsOf(target));
    const shape = draw.pick<string | Buffer>([
      `[${text}]`,
      JSON.stringify(text),
      'null',
      '1',
      '',
      `\ufeff${text}`,
      `${text},`,
      text.slice(1),
      Buffer.from(text, 'utf16le'),
      Buffer.concat([Buffer.from(text.slice(0, -1)), Buffer.from(',"x":"\u00ff"}', 'latin1')]),
      Buffer.concat([Buffer.from('{"\u0000":1}'), draw.bytes(1 + draw.below(9))]),
    ]);
    return signedBy(target.privateKey, json(header(target)), url(shape));
  },

  signatureBytes: (target, draw) => {
    const [head, , signature] = parts(target);
    const bytes = Buffer.from(signature, 'base64url');
    const modulus = Buffer.from(target.publicKey.export({ format: 'jwk' }).n ?? '', 'base64url');
    const other = draw.pick([
      Buffer.alloc(0),
      Buffer.alloc(bytes.length),
      Buffer.alloc(bytes.length, 255),
      Buffer.concat([Buffer.alloc(bytes.length - 1), Buffer.from([1])]),
      Buffer.concat([Buffer.alloc(bytes.length - 1), Buffer.from([draw.below(256)])]),
      modulus,
      bytes.subarray(0, draw.below(bytes.length)),
      bytes.subarray(1 + draw.below(bytes.length)),
      Buffer.concat([Buffer.alloc(1 + draw.below(4)), bytes]),
      Buffer.concat([bytes, draw.bytes(1 + draw.below(4))]),
      Buffer.concat([bytes, bytes]),
      plusModulus(bytes, modulus),
      Buffer.from(bytes).reverse(),
      draw.bytes(bytes.length),
    ]);
    // Only the bytes differ: the genuine header and payload stand before them.
    return `${head}.${parts(target)[1]}.${url(other)}`;
  },

  padding: (target, draw) => {
    const input = `${json(header(target))}.${wish(target, draw)}`;
    return `${input}.${url(paddedWrongly(target, input, draw))}`;
  },

  splice: (target, draw) => {
    const [head, payload, signature] = parts(target);
    const claims = claimsOf(target);
    const otherHead = json(header(target, { x5t: url(draw.bytes(20)) }));
    const otherPayload = json({ ...claims, iat: claims.iat - 1 - draw.below(1e6) });
    const [, , otherSignature] = signedBy(target.privateKey, otherHead, otherPayload).split('.');
    return draw
      .pick([
        [head, otherPayload, signature],
        [otherHead, payload, signature],
        [otherHead, otherPayload, signature],
        [head, payload, otherSignature],
        [otherHead, payload, otherSignature],
        [head, otherPayload, otherSignature],
        [payload, head, signature],
        [head, '', signature],
        ['', payload, signature],
      ])
      .join('.');
  },

  oversize: (target, draw) => {
    const filler = 'x'.repeat(6200 + draw.below(4000));
    return draw.pick([
      () => signedBy(target.privateKey, json(header(target, { filler })), parts(target)[1]),
      () => signedBy(target.privateKey, parts(target)[0], json({ ...claimsOf(target), filler })),
      () => target.token + 'A'.repeat(7200 + draw.below(1e5)),
      () => `${target.token.slice(0, 50)}${'.'.repeat(8200)}`,
    ])();
  },
} satisfies Record<string, (target: Target, draw: Draw) => string>;

export type Family = keyof typeof forgers;

export const FAMILIES = Object.keys(forgers) as Family[];

/** The same residue, not reduced: a second number that a careless verifier takes for the same signature. */
function plusModulus(signature: Buffer, modulus: Buffer): Buffer {
  const sum = BigInt(`0x${signature.toString('hex')}`) + BigInt(`0x${modulus.toString('hex')}`);
  const hex = sum.toString(16);
  return Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex');
}
