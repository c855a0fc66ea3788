import assert from 'node:assert/strict';
import { createHmac, createPublicKey, generateKeyPairSync, randomInt, verify } from 'node:crypto';
import dns from 'node:dns';
import net from 'node:net';
import { after, test } from 'node:test';
import { ServiceError } from '../../src/errors.ts';
import { signJws, type VerifyingKey, verifyingKey, verifyJws } from '../../src/tokens/jws.ts';
import { writeResult } from '../harness/results.ts';
import { startTestServer } from '../harness/server.ts';
import { ALPHABET, Draw, edited, FAMILIES, type Family, forge, type Target } from '../harness/vectors/forgeries.ts';

// A few thousand in every run of `npm run test:all`; `npm run harness -- tokens` for a release (security-and-reliability, T2).
const COUNT = Number(process.env.TEST_FORGERIES ?? 4000);
const SEED = Number(process.env.TEST_SEED ?? randomInt(2 ** 31));

/** Those that go through a server. */
const OVER_HTTP = Math.ceil(COUNT / 20);

const figures: Record<string, number> = {};
const caught = new Set<string>();

type Verifier = (token: string) => unknown;

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const kid = 'A1B2C3D4E5F60718293A4B5C6D7E8F9011223344';
const keys = new Map<string, VerifyingKey>([
  [kid, verifyingKey(kid, 'RS256', publicKey)],
  ['EC', verifyingKey('EC', 'ES256', ec.publicKey)],
]);
const claims = { skypeid: 'acs:x', sub: '8:acs:x', acsScope: 'voip.join', exp: 1893459600, iat: 1893456000, rv: 7 };
const token = await signJws({ kid, x5t: 'obLD1OX2BxgpOktcbX6PkBEiM0Q', alg: 'RS256', privateKey }, claims);
const target: Target = { token, kid, publicKey, privateKey };

const ours: Verifier = (text) => verifyJws(text, (id) => keys.get(id));

/** What a verifier did with a text: refused it properly, or the sentence to report. */
function verdict(verifier: Verifier, text: string): string | undefined {
  try {
    verifier(text);
  } catch (thrown) {
    const isRefusal = thrown instanceof ServiceError && thrown.error === 'TokenRefused';
    return isRefusal ? undefined : `threw ${thrown}`;
  }
  return 'was accepted';
}

/** Forgeries of these families in turn: what was not refused as it should be, and how long each verification took. */
function attack(verifier: Verifier, count: number, families: readonly Family[] = FAMILIES) {
  const complaints: string[] = [];
  const milliseconds: number[] = [];
  for (let number = 0; number < count; number++) {
    const family = families[number % families.length] as Family;
    const text = forge(target, SEED, number, family);
    const start = performance.now();
    const complaint = verdict(verifier, text);
    milliseconds.push(performance.now() - start);
    if (complaint) complaints.push(`seed ${SEED}, number ${number}, ${family}: ${complaint}: ${text}`);
  }
  return { complaints, milliseconds };
}

test('the genuine token is accepted, so that a refusal means something', () => {
  assert.equal(verdict(ours, token), 'was accepted');
});

test(`${COUNT} forged tokens are refused without a look outside`, (t) => {
  const connect = t.mock.method(net.Socket.prototype, 'connect');
  const lookup = t.mock.method(dns, 'lookup');
  const { complaints, milliseconds } = attack(ours, COUNT);
  const sorted = milliseconds.toSorted((one, other) => one - other);
  const p99 = sorted[Math.floor(sorted.length * 0.99)] ?? 0;
  t.diagnostic(`seed ${SEED}, ${COUNT} tokens of ${FAMILIES.length} families, p99 ${p99.toFixed(3)} ms`);
  Object.assign(figures, { forgeries: COUNT, accepted: complaints.length, p99Ms: Math.round(p99 * 1000) / 1000 });
  assert.deepEqual(complaints.slice(0, 20), []);
  assert.equal(connect.mock.callCount() + lookup.mock.callCount(), 0);
});

test(`${OVER_HTTP} forgeries of a server's own token, sent to it, are all answered 401`, async (t) => {
  const server = await startTestServer(t);
  const genuine = await server.givenToken(await server.givenIdentity());
  const { kid, privateKey } = server.server.keys.active;
  const victim: Target = { token: genuine, kid, privateKey, publicKey: createPublicKey(privateKey) };
  assert.equal((await server.asUser(genuine)).status, 200);
  const complaints: string[] = [];
  let sent = 0;
  for (let number = 0; sent < OVER_HTTP; number++) {
    const family = FAMILIES[number % FAMILIES.length] as Family;
    const text = forge(victim, SEED, number, family);
    if (!/^[\x21-\x7e]{1,8192}$/.test(text)) continue; // what is no header value is the business of the framing tests
    sent += 1;
    const { status, body } = await server.asUser(text);
    if (status !== 401 || body.error.code !== 'Unauthorized') complaints.push(`${status} for ${family}: ${text}`);
  }
  Object.assign(figures, { overHttp: sent, otherAnswers: complaints.length });
  assert.deepEqual(complaints.slice(0, 20), []);
});

test('every change of one character is refused', (t) => {
  const everything = COUNT >= 100_000;
  const draw = new Draw(SEED);
  let count = 0;
  for (let at = 0; at < token.length; at++) {
    const [before, here, after] = [token.slice(0, at), token[at] ?? '', token.slice(at + 1)];
    const others = [...ALPHABET].filter((other) => other !== here);
    const replacements = everything ? others : [draw.pick(others), draw.pick(others)];
    const texts = [...replacements.map((other) => before + other + after), before + after, edited(token, at, draw)];
    for (const text of texts) assert.equal(verdict(ours, text), undefined, `seed ${SEED}, at ${at}: ${text}`);
    count += texts.length;
  }
  t.diagnostic(`${count} edits`);
});

test('the algorithm of one key is not taken for a signature by another', async () => {
  const forms = [
    { kid: 'EC', alg: 'RS256', privateKey },
    { kid, alg: 'ES256', privateKey: ec.privateKey },
  ] as const;
  for (const key of forms) {
    const text = await signJws({ ...key, x5t: '' }, claims);
    assert.throws(() => ours(text), { error: 'TokenRefused', reason: 'token.algorithm' });
  }
});

// The harness itself: each verifier below has one mistake that has been made in the wild, and must be caught.

const headerOf = (text: string) => {
  try {
    return JSON.parse(Buffer.from(text.split('.')[0] ?? '', 'base64url').toString());
  } catch {
    return undefined;
  }
};
const inputOf = (text: string) => Buffer.from(text.slice(0, text.lastIndexOf('.')));
const signatureOf = (text: string) => Buffer.from(text.slice(text.lastIndexOf('.') + 1), 'base64url');

const mistaken: Record<string, { caughtBy: Family; verifier: Verifier }> = {
  'decodes forgivingly': {
    caughtBy: 'spelling',
    verifier: (text) => ours(`${inputOf(text)}.${signatureOf(text).toString('base64url')}`),
  },
  'takes the algorithm from the token': {
    caughtBy: 'hmacWithPublicKey',
    verifier: (text) => {
      const pem = publicKey.export({ type: 'spki', format: 'pem' });
      const mac = () => createHmac('sha256', pem).update(inputOf(text)).digest();
      return headerOf(text)?.alg === 'HS256' && mac().equals(signatureOf(text)) ? 'accepted' : ours(text);
    },
  },
  'believes none': {
    caughtBy: 'none',
    verifier: (text) => (/^none$/i.test(headerOf(text)?.alg) && text.endsWith('.') ? 'accepted' : ours(text)),
  },
  'takes the key from the token': {
    caughtBy: 'embeddedKey',
    verifier: (text) => {
      const jwk = headerOf(text)?.jwk;
      const key = jwk && createPublicKey({ key: jwk, format: 'jwk' });
      return key && verify('sha256', inputOf(text), key, signatureOf(text)) ? 'accepted' : ours(text);
    },
  },
  'overlooks crit': {
    caughtBy: 'critical',
    verifier: (text) =>
      headerOf(text)?.crit && verify('sha256', inputOf(text), publicKey, signatureOf(text)) ? 'accepted' : ours(text),
  },
  'lets its decoder throw': {
    caughtBy: 'headerShape',
    verifier: (text) => {
      JSON.parse(Buffer.from(text.split('.')[0] ?? '', 'base64url').toString());
      return ours(text);
    },
  },
};

for (const [mistake, { caughtBy, verifier }] of Object.entries(mistaken)) {
  test(`the forgeries catch a verifier that ${mistake}`, () => {
    const { complaints } = attack(verifier, 800, [caughtBy]);
    assert.ok(complaints.length > 0, `seed ${SEED}`);
    caught.add(mistake);
  });
}

after(() => {
  const passed = figures.accepted === 0 && figures.otherAnswers === 0;
  writeResult({ id: 'T2', seed: SEED, figures, passed, planted: caught.size === Object.keys(mistaken).length });
});
