import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import type { ResourceId } from '../../src/callers.ts';
import { ServiceError } from '../../src/errors.ts';
import { hostName, type Signatory, SignatureVerifier } from '../../src/http/hmac.ts';
import { contentHash, sign, signatureOf, type ToSign } from '../harness/sign.ts';
import { wireRequest } from '../harness/wire-request.ts';

const NOON = Date.UTC(2030, 0, 1, 12);
const DATE = 'Tue, 01 Jan 2030 12:00:00 GMT';
const HOST = 'one.example:7417';
const TARGET = '/identities?api-version=2023-10-01';
const BODY = '{}';
const HASH = contentHash(BODY);

const newKey = (): string => randomBytes(64).toString('base64');
const [PRIMARY, SECONDARY, NEIGHBOUR, PUBLISHED] = [newKey(), newKey(), newKey(), newKey()] as const;
const secretOf = (key: string) => createSecretKey(Buffer.from(key, 'base64'));

const ONE: Signatory = {
  resource: { id: 'one' as ResourceId },
  keys: [
    { slot: 'primary', version: 3, secret: secretOf(PRIMARY), wellKnown: false },
    { slot: 'secondary', version: 5, secret: secretOf(SECONDARY), wellKnown: false },
  ],
};
const OTHER: Signatory = {
  resource: { id: 'other' as ResourceId },
  keys: [
    { slot: 'primary', version: 1, secret: secretOf(NEIGHBOUR), wellKnown: false },
    { slot: 'secondary', version: 1, secret: secretOf(PUBLISHED), wellKnown: true },
  ],
};

interface Given {
  nowMs?: number;
  windowMinutes?: number;
  wellKnownKey?: 'loopback' | 'everywhere';
  candidatesFor?: (host: string) => Iterable<Signatory>;
  publicHosts?: readonly string[];
}

const verifier = ({
  nowMs = NOON,
  windowMinutes = 5,
  wellKnownKey = 'loopback',
  candidatesFor,
  publicHosts = [],
}: Given = {}) =>
  new SignatureVerifier(
    { candidatesFor: candidatesFor ?? (() => [ONE, OTHER]), clock: { now: () => nowMs, elapsed: () => nowMs } },
    { windowMinutes, wellKnownKey, publicHosts },
  );

const GOOD: ToSign = { method: 'POST', target: TARGET, host: HOST, body: BODY, key: PRIMARY, date: DATE };

interface Sent {
  method?: string;
  target?: string;
  peer?: string;
  headers?: Record<string, string | string[] | undefined>;
}

/** A request signed as one thing and sent as another. */
const request = (signed: Partial<ToSign> = {}, { headers = {}, ...sent }: Sent = {}) =>
  wireRequest({
    method: 'POST',
    target: TARGET,
    ...sent,
    headers: { host: HOST, ...sign({ ...GOOD, ...signed }), ...headers },
  });

/** A request whose Authorization header is written by hand. */
const authorized = (authorization: string) => request({}, { headers: { Authorization: authorization } });

function refusal(from: ReturnType<typeof request>, given: Given = {}): ServiceError {
  try {
    verifier(given).verify(from);
  } catch (cause) {
    if (cause instanceof ServiceError) return cause;
    throw cause;
  }
  throw new Error('it was accepted');
}

const reasonOf = (from: ReturnType<typeof request>, given?: Given): string => {
  const { error, reason } = refusal(from, given);
  assert.equal(error, reason === 'date.skewed' ? 'ClockSkewed' : 'Denied');
  return reason;
};

describe('a signed request proves', () => {
  test('the resource, and the key by slot and version', () => {
    for (const [key, resourceId, slot, version] of [
      [PRIMARY, 'one', 'primary', 3],
      [SECONDARY, 'one', 'secondary', 5],
      [NEIGHBOUR, 'other', 'primary', 1],
    ] as const) {
      assert.deepEqual(verifier().verify(request({ key })), {
        caller: { kind: 'service', resourceId, credential: { kind: 'accessKey', slot, version } },
        bodyHash: Buffer.from(HASH, 'base64'),
        exposed: false,
      });
    }
  });

  test('itself to the resources that its host may mean, the host without its port', () => {
    const asked: string[] = [];
    const candidatesFor = (host: string) => {
      asked.push(host);
      return [ONE];
    };
    for (const host of [HOST, 'one.example', `${HOST}:7417`, '[::1]:80'])
      verifier({ candidatesFor }).verify(request({ host }, { headers: { host } }));
    assert.deepEqual(asked, ['one.example', 'one.example', 'one.example', '[::1]']);
    assert.equal(reasonOf(request(), { candidatesFor: () => [] }), 'signature.key');
  });

  test('the published key from this machine only, unless the settings say so', () => {
    const near = request({ key: PUBLISHED });
    const far = request({ key: PUBLISHED }, { peer: '192.0.2.1' });
    assert.equal(verifier().verify(near).exposed, false);
    assert.equal(reasonOf(far), 'accessKey.loopbackOnly');
    assert.equal(verifier({ wellKnownKey: 'everywhere' }).verify(near).exposed, false);
    assert.equal(verifier({ wellKnownKey: 'everywhere' }).verify(far).exposed, true);
    assert.equal(verifier().verify(request({}, { peer: '192.0.2.1' })).exposed, false);
  });

  test('all that when its date is in x-ms-date or, in the first clients, in Date', () => {
    verifier().verify(request({ dateHeader: 'date' }));
    verifier().verify(request({}, { headers: { Date: 'yesterday' } }));
    assert.equal(reasonOf(request({}, { headers: { 'x-ms-date': undefined, Date: DATE } })), 'date.missing');
    assert.equal(reasonOf(request({ dateHeader: 'date' }, { headers: { date: undefined } })), 'date.missing');
  });
});

describe('of the date of a signed request', () => {
  test('whole seconds count, up to the window on both sides', () => {
    for (const windowMinutes of [1, 5]) {
      const edge = windowMinutes * 60;
      for (const fraction of [0, 999]) {
        const given = { nowMs: NOON + fraction, windowMinutes };
        const at = (seconds: number) => request({ date: new Date(NOON + seconds * 1000).toUTCString() });
        for (const seconds of [-edge, edge]) verifier(given).verify(at(seconds));
        for (const seconds of [-edge - 1, edge + 1]) {
          const { error, reason, detail, message } = refusal(at(seconds), given);
          assert.deepEqual([error, reason], ['ClockSkewed', 'date.skewed']);
          assert.equal(detail, `x-ms-date is ${seconds} s from the server clock`);
          assert.match(message, new RegExp(`of ${windowMinutes} minutes`));
        }
      }
    }
  });

  test('the form is fixed, and only who holds a key hears of it', () => {
    const { reason, detail } = refusal(request({ date: 'now', dateHeader: 'date' }));
    assert.deepEqual([reason, detail], ['date.malformed', 'date is not an IMF-fixdate']);
    assert.equal(reasonOf(request({ date: 'now', key: newKey() })), 'signature.key');
    assert.equal(reasonOf(request({ date: 'Tue, 01 Jan 2019 12:00:00 GMT', key: newKey() })), 'signature.key');
  });
});

describe('the headers of a signed request', () => {
  test('are there once, each of them, with something in it', () => {
    for (const [name, reason] of [
      ['Authorization', 'authorization.missing'],
      ['x-ms-date', 'date.missing'],
      ['host', 'signedHeaders.unexpected'],
      ['x-ms-content-sha256', 'contentHash.missing'],
    ] as const) {
      for (const value of [undefined, [], '', ['', 'x']]) {
        const found = refusal(request({}, { headers: { [name]: value } }));
        assert.deepEqual([found.error, found.reason, found.detail], ['Denied', reason, name.toLowerCase()]);
      }
      const good = request().header(name.toLowerCase())[0] ?? '';
      for (const second of [good, 'x', '']) {
        const found = refusal(request({}, { headers: { [name]: [good, second] } }));
        assert.deepEqual([found.error, found.reason, found.detail], ['Denied', 'header.repeated', name.toLowerCase()]);
      }
    }
  });

  test('carry the SHA-256 of the body, 32 bytes in canonical base64', () => {
    for (const value of [
      'x',
      HASH.slice(0, -1),
      Buffer.alloc(31).toString('base64'),
      Buffer.alloc(33).toString('base64'),
    ]) {
      const found = refusal(request({}, { headers: { 'x-ms-content-sha256': value } }));
      assert.deepEqual([found.reason, found.detail], ['contentHash.missing', 'not a SHA-256 in base64']);
    }
  });

  const [, signature = ''] = (sign(GOOD).Authorization ?? '').split('Signature=');
  const LIST = 'x-ms-date;host;x-ms-content-sha256';
  const written = (list: string, by = signature): string => `HMAC-SHA256 SignedHeaders=${list}&Signature=${by}`;

  test('name the scheme exactly', () => {
    for (const value of [
      'Bearer x',
      'HMAC-SHA256',
      'hmac-sha256 x',
      ` ${written(LIST)}`,
      written(LIST).replace('256', '512'),
    ])
      assert.equal(reasonOf(authorized(value)), 'authorization.scheme', value);
    verifier().verify(authorized(written(LIST)));
  });

  test('state list and signature in one form', () => {
    for (const value of [
      'HMAC-SHA256 ',
      `HMAC-SHA256 x${written(LIST).slice(12)}`,
      `HMAC-SHA256 HMAC-SHA256 ${written(LIST).slice(12)}`,
      `${written(LIST)}x`,
      written(LIST).slice(0, -1),
      written(''),
      written('x'.repeat(129)),
      written('x-ms-date host;x-ms-content-sha256'),
      written(LIST, `${signature.slice(0, -2)}${signature.at(-2) === 'B' ? 'D' : 'B'}=`), // stray last bits
    ])
      assert.equal(reasonOf(authorized(value)), 'authorization.malformed', value);
  });

  test('are listed without one more, less or twice, in whatever order and case', () => {
    for (const list of [
      'date;host',
      'host;x-ms-content-sha256',
      'x-ms-date;host;host',
      `${LIST};date`,
      'x'.repeat(128),
      'date;x-ms-date;host',
    ])
      assert.equal(reasonOf(authorized(written(list))), 'signedHeaders.unexpected', list);
    const values: Record<string, string> = { 'x-ms-date': DATE, date: DATE, host: HOST, 'x-ms-content-sha256': HASH };
    for (const list of [
      'host;x-ms-content-sha256;x-ms-date',
      'X-MS-Content-SHA256;Host;X-MS-Date',
      'x-ms-content-sha256;date;host',
    ]) {
      const text = `POST\n${TARGET}\n${list
        .split(';')
        .map((name) => values[name.toLowerCase()])
        .join(';')}`;
      const headers = { Authorization: written(list, signatureOf(PRIMARY, text)), Date: DATE };
      assert.equal(verifier().verify(request({}, { headers })).caller.resourceId, 'one', list);
    }
  });
});

describe('what is signed may be spelt', () => {
  test('as sent, with the host bare, or without the leading slash', () => {
    for (const signed of [{ host: 'one.example' }, { target: TARGET.slice(1) }]) verifier().verify(request(signed));
    verifier().verify(request({ host: `${HOST}:7417` }, { headers: { host: `${HOST}:7417` } }));
    verifier().verify(request({ host: 'one.example' }, { headers: { host: `${HOST}:7417` } }));
    verifier().verify(request({ target: '//x' }, { target: '//x' }));
  });

  test('in no other way', () => {
    for (const [signed, sent] of [
      [{ host: 'one.example', target: TARGET.slice(1) }, {}],
      [{ host: HOST }, { headers: { host: `${HOST}:7417` } }],
      [{ target: TARGET.slice(2) }, {}],
      [{ target: '/x' }, { target: '//x' }],
      [{ host: 'ONE.example:7417' }, {}],
    ] as const)
      assert.equal(refusal(request(signed, sent)).error, 'Denied', JSON.stringify([signed, sent]));
  });
});

test('a host name is what is before the port, one or two of them', () => {
  for (const [host, name] of [
    ['localhost', 'localhost'],
    ['localhost:1', 'localhost'],
    ['localhost:65535', 'localhost'],
    ['localhost:7417:7417', 'localhost'],
    ['localhost:7417:7417:7417', 'localhost:7417'],
    ['localhost:123456', 'localhost:123456'],
    ['localhost:80x', 'localhost:80x'],
    ['localhost:', 'localhost:'],
    ['a:80.example', 'a:80.example'],
    ['[::1]:7417', '[::1]'],
  ] as const)
    assert.equal(hostName(host), name, host);
});

describe('why a signature fits nothing is found out', () => {
  const TWO = '/a//b%20c/?x=1';
  for (const [reason, signed, sent] of [
    // Something between rewrote what was signed; what came is what is sent.
    ['signature.path', { target: '/identities' }, {}],
    ['signature.path', { target: '/a b?x=1' }, { target: '/a%20b?x=1' }],
    ['signature.path', { target: '/x' }, { target: '//x' }],
    ['signature.path', { target: '/x' }, { target: '////x' }],
    ['signature.path', { target: '/x' }, { target: '/x/' }],
    ['signature.path', { target: '/x?y=1' }, { target: '/x//?y=1' }],
    ['signature.path', { target: '/a//b c/?x=1' }, { target: TWO }],
    ['signature.path', { target: '/a//b%20c?x=1' }, { target: TWO }],
    ['signature.host', { host: 'one.example:7417' }, { headers: { host: 'one.example:1' } }],
    ['signature.host', { host: 'one.example:443' }, {}],
    ['signature.host', { host: 'one.example:80' }, {}],
    ['signature.host', { host: `${HOST}/` }, {}],
    ['signature.host', { host: 'one.example/' }, {}],
    ['signature.host', { host: 'localhost' }, {}],
    ['signature.host', { host: 'localhost:7417' }, {}],
    ['signature.host', { host: '127.0.0.1:7417' }, {}],
    ['signature.host', { host: 'outside.example' }, { headers: { 'x-forwarded-host': 'outside.example' } }],
    ['signature.method', { method: 'GET' }, {}],
    ['signature.method', { method: 'POST' }, { method: 'GET' }],
    ['signature.method', { method: 'PUT' }, {}],
    ['signature.method', { method: 'PATCH' }, {}],
    ['signature.method', { method: 'DELETE' }, {}],
    ['signature.contentHash', { body: '' }, { headers: { 'x-ms-content-sha256': HASH } }],
    ['signature.date', { date: 'a' }, { headers: { 'x-ms-date': DATE, Date: 'a' } }],
    ['signature.date', { date: 'b', dateHeader: 'date' }, { headers: { date: DATE, 'x-ms-date': 'b' } }],
    ['signature.date', { date: 'd' }, { headers: { 'x-ms-date': DATE, Date: ['a', 'b', 'c', 'd'] } }],
    // Nothing that was tried.
    ['signature.key', { date: 'e' }, { headers: { 'x-ms-date': DATE, Date: ['a', 'b', 'c', 'd', 'e'] } }],
    ['signature.key', { target: '/x' }, { target: '/%' }],
    ['signature.key', { target: '/x/y' }, { target: '/x//y' }],
    ['signature.key', { target: '/x?y=1' }, { target: '/x?y=1/z' }],
    ['signature.key', { host: 'elsewhere.example' }, {}],
    ['signature.key', { host: '' }, {}],
    ['signature.key', { host: 'undefined' }, {}],
    ['signature.key', { method: 'HEAD' }, {}],
    ['signature.key', { method: '' }, {}],
    ['signature.key', { key: newKey() }, {}],
  ] as [string, Partial<ToSign>, Sent][]) {
    test(`${reason}: ${JSON.stringify([signed.key ? 'another key' : signed, sent])}`, () => {
      assert.equal(reasonOf(request(signed, sent)), reason);
    });
  }

  test('by both keys of the first two candidates', () => {
    const others = Array.from({ length: 9 }, (): Signatory => ({ ...ONE, keys: [] }));
    const among = (before: number) => ({ candidatesFor: () => [...others.slice(0, before), OTHER] });
    const wrong = request({ host: 'localhost', key: PUBLISHED });
    assert.equal(reasonOf(wrong, among(0)), 'signature.host');
    assert.equal(reasonOf(wrong, among(1)), 'signature.host');
    assert.equal(reasonOf(wrong, among(2)), 'signature.key');
  });

  test('by the keys of the resource that a public host names, where a proxy wrote another Host', () => {
    const many = Array.from({ length: 9 }, (): Signatory => ({ ...ONE, keys: [] }));
    const candidatesFor = (host: string) => (host === 'other.example' ? [OTHER] : [...many, OTHER]);
    const given = { candidatesFor, publicHosts: ['x.example', 'other.example', 'other.example:8443'] };
    for (const host of ['other.example', 'other.example:8443'])
      assert.equal(reasonOf(request({ host, key: NEIGHBOUR }), given), 'signature.host');
    assert.equal(reasonOf(request({ host: 'x.example', key: NEIGHBOUR }), given), 'signature.key');
    assert.equal(reasonOf(request({ host: 'other.example', key: PRIMARY }), given), 'signature.key');
    // Anybody can cause it without a credential, so it is bounded.
    const late = { ...given, publicHosts: [...Array.from({ length: 12 }, () => 'x.example'), 'other.example'] };
    assert.equal(reasonOf(request({ host: 'other.example', key: NEIGHBOUR }), late), 'signature.key');
  });

  const stated = (text: string, { key = PRIMARY, by = text, said = Buffer.from(text).toString('base64') } = {}) =>
    request(
      {},
      {
        headers: {
          'x-ms-hmac-string-to-sign-base64': said,
          Authorization: `HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=${signatureOf(key, by)}`,
        },
      },
    );

  test('exactly, where the client says what it signed', () => {
    for (const [reason, text] of [
      ['signature.method', `PATCH\n${TARGET}\n${DATE};${HOST};${HASH}`],
      ['signature.path', `POST\n/\n${DATE};${HOST};${HASH}`],
      ['signature.date', `POST\n${TARGET}\nnow;${HOST};${HASH}`],
      ['signature.host', `POST\n${TARGET}\n${DATE};elsewhere;${HASH}`],
      ['signature.host', `POST\n${TARGET}\n${DATE};localhost;x`],
      ['signature.contentHash', `POST\n${TARGET}\n${DATE};${HOST};x`],
      ['signature.date', `POST\n${TARGET}`],
    ] as const)
      assert.equal(reasonOf(stated(text)), reason, text);
    // By either key of any resource.
    for (const key of [SECONDARY, NEIGHBOUR])
      assert.equal(reasonOf(stated(`POST\n/\n${DATE};${HOST};${HASH}`, { key })), 'signature.path');
  });

  test('only where it did sign that, and it is not too long', () => {
    const text = `POST\n/\n${DATE};${HOST};${HASH}`;
    assert.equal(reasonOf(stated(text, { key: newKey() })), 'signature.key');
    assert.equal(reasonOf(stated(text, { by: `${text}x` })), 'signature.key');
    const local = `POST\n${TARGET}\n${DATE};localhost;${HASH}`;
    const long = (length: number) => `${local}${'x'.repeat(length - local.length)}`;
    assert.equal(reasonOf(stated(long(8191))), 'signature.host');
    // What it says is not looked at, and the signature fits a known mistake.
    assert.equal(reasonOf(stated(local, { said: Buffer.from(long(8192)).toString('base64') })), 'signature.host');
    assert.equal(reasonOf(stated(local, { said: 'not base64' })), 'signature.host');
    assert.equal(reasonOf(stated(long(8192))), 'signature.key');
  });
});
