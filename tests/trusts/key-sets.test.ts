import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import type { TrustId } from '../../src/callers.ts';
import { CachedKeySet } from '../../src/trusts/cached-key-set.ts';
import { readKeySet } from '../../src/trusts/key-set.ts';
import { KeySets } from '../../src/trusts/key-sets.ts';
import { ProviderFailure } from '../../src/trusts/provider-fetch.ts';
import { ALGORITHMS, type Trust, type TrustWish, trustDefinition } from '../../src/trusts/trust.ts';
import { type Behaviour, KEYS, keySetOf, kidOf, Provider, SECOND_TENANT, TENANT } from '../harness/provider.ts';
import { TestClock } from '../harness/server.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const MAIN = kidOf('main');
const NEXT = kidOf('next');

let provider: Provider;
before(async () => {
  provider = await Provider.start();
});
after(() => provider.stop());
afterEach(() => {
  provider.behaviour = 'well';
  provider.editMetadata = (document) => document;
  provider.editKeySet = (document) => document;
});

const trustIn = (wish: TrustWish): Trust => ({
  id: 'f3a1c9d2-0b6e-4c57-8f42-9d1e7a6b5c40' as TrustId,
  name: 'provider',
  enabled: true,
  version: 1,
  definition: trustDefinition(wish, { plainHttp: true }),
  grants: [],
  createdAtMs: 0,
  changedAtMs: 0,
});

function given(wish: TrustWish = provider.wish()) {
  const clock = new TestClock();
  const notices: string[] = [];
  const events = {
    notice: (_level: string, message: string, facts?: Record<string, unknown>) =>
      notices.push(`${message}${facts?.failure ? `: ${facts.failure}` : ''}`),
  };
  const endpoint = 'https://linarite.example';
  const keySets = new KeySets({ clock, endpoint, events }, { plainHttp: true, timeoutMs: 300 });
  const trust = trustIn(wish);
  const start = provider.fetches.length;
  return {
    clock,
    notices,
    /** `key`, `none`, or why it is not known. */
    async find(kid: string, tenantId?: string): Promise<string> {
      try {
        return (await keySets.find(trust, tenantId, kid)) ? 'key' : 'none';
      } catch (thrown) {
        const { error, reason, detail } = thrown as Record<string, string>;
        assert.deepEqual([error, reason], ['ProviderUnavailable', 'provider.unavailable']);
        return detail ?? '';
      }
    },
    fetches: () => provider.fetches.slice(start),
  };
}

/** Waits for a reading in the background, bounded. */
async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; turn < 400 && !holds(); turn++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(holds());
}

describe('keys of a provider', () => {
  test('are read once, from the metadata and the address that it names', async () => {
    const { find, fetches } = given();
    const found = await Promise.all([find(MAIN), find(MAIN), find(kidOf('ec')), find('other')]);
    assert.deepEqual(found, ['key', 'key', 'key', 'none']);
    assert.equal(await find(MAIN), 'key');
    assert.deepEqual(fetches(), ['/common/v2.0/.well-known/openid-configuration', '/common/keys']);
    assert.deepEqual(Object.keys(provider.headers).sort(), [
      'accept',
      'accept-encoding',
      'connection',
      'host',
      'user-agent',
    ]);
    assert.match(provider.headers['user-agent'] ?? '', /^linarite\/\d/);
  });

  test('of which one is asked for that is not there are read once more in five minutes, for a thousand callers', async () => {
    const { find, fetches, clock } = given();
    await find(MAIN);
    for (let second = 0; second < 299; second++) {
      const kids = Array.from({ length: 4 }, (_, n) => `${second}-${n}`);
      assert.deepEqual(new Set(await Promise.all(kids.map((kid) => find(kid)))), new Set(['none']));
      clock.advance(1000);
    }
    assert.equal(fetches().length, 4, 'the first time and once more, two documents each');
    clock.advance(1000);
    await Promise.all([find('x'), find('y')]);
    assert.equal(fetches().length, 6);
  });

  test('that are new are found at once', async () => {
    const rotating = await Provider.start();
    const { find } = given(rotating.wish());
    assert.equal(await find(MAIN), 'key');
    rotating.rotate();
    assert.equal(await find(NEXT), 'key');
    assert.equal(await find(MAIN), 'none', 'a key that is no longer published is no longer trusted');
    await rotating.stop();
  });

  test('are read again in the background when they are an hour old', async () => {
    const { find, fetches, clock } = given();
    await find(MAIN);
    clock.advance(HOUR);
    await find(MAIN);
    assert.equal(fetches().length, 2);
    clock.advance(1);
    await Promise.all([find(MAIN), find(MAIN)]);
    await until(() => fetches().length === 4);
    await find(MAIN);
    assert.equal(fetches().length, 4);
  });
});

describe('a provider that', () => {
  const failures: Partial<Record<Behaviour, string>> = {
    down: 'the connection failed (ECONNRESET)',
    failing: 'it answers 500',
    garbage: 'the answer is not a JSON object in UTF-8',
    list: 'the answer is not a JSON object in UTF-8',
    silent: 'no complete answer within 0.3 s',
    trickling: 'no complete answer within 0.3 s',
    redirecting: 'it redirects (302)',
    huge: 'its answer is larger than 1048576 bytes',
  };

  for (const [behaviour, failure] of Object.entries(failures) as [Behaviour, string][]) {
    test(`is ${behaviour} at first gives no keys, and is asked every two seconds at most`, async () => {
      const { find, fetches, clock, notices } = given();
      provider.behaviour = behaviour;
      assert.deepEqual(await Promise.all([find(MAIN), find('x')]), [failure, failure]);
      assert.equal(await find(MAIN), failure);
      clock.advance(1999);
      assert.equal(await find(MAIN), failure);
      assert.equal(fetches().length, 1, 'not followed, not repeated');
      provider.behaviour = 'well';
      clock.advance(1);
      assert.equal(await find(MAIN), 'key');
      assert.deepEqual(notices, [
        `the keys of a trust could not be read: ${failure}`,
        'the keys of a trust can be read again',
      ]);
    });

    test(`is ${behaviour} later takes nobody’s known key away for a day`, async () => {
      const { find, fetches, clock } = given();
      assert.equal(await find(MAIN), 'key');
      provider.behaviour = behaviour;
      assert.equal(await find(NEXT), failure, 'what is not known is not judged');
      for (let hour = 0; hour < 24; hour++) {
        assert.equal(await find(MAIN), 'key');
        clock.advance(HOUR);
      }
      assert.equal(await find(MAIN), 'key');
      clock.advance(1);
      assert.equal(await find(MAIN), failure);
      const asked = fetches().length;
      assert.ok(asked <= 2 + 26, `${asked} fetches in a day`);
      provider.behaviour = 'well';
      clock.advance(2000);
      assert.equal(await find(MAIN), 'key');
    });
  }
});

describe('metadata', () => {
  test('of another issuer are not trusted', async () => {
    for (const issuer of [
      'https://attacker.example',
      provider.issuer(`${TENANT}x`),
      provider.issuer('{tenant}'),
      7,
      undefined,
    ]) {
      provider.editMetadata = (document) => ({ ...document, issuer });
      const { find } = given();
      assert.equal(await find(MAIN), 'the metadata names an issuer that the trust does not name', String(issuer));
    }
    for (const issuer of [provider.issuer(), provider.issuer(SECOND_TENANT), provider.issuer('{tenantId}')]) {
      provider.editMetadata = (document) => ({ ...document, issuer });
      assert.equal(await given().find(MAIN), 'key', issuer);
    }
  });

  test('that name keys at another host have nobody ask there, unless the trust names them', async (t) => {
    let asked = 0;
    const other = http.createServer((_request, response) => {
      asked += 1;
      response.end(JSON.stringify(keySetOf('main')));
    });
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    t.after(() => other.close());
    const keySet = `http://localhost:${(other.address() as AddressInfo).port}/keys`;
    const elsewhere = [
      keySet,
      provider.origin.replace('http', 'https'),
      'file:///etc/passwd',
      '/common/keys',
      7,
      undefined,
    ];
    for (const address of elsewhere) {
      provider.editMetadata = (document) => ({ ...document, jwks_uri: address });
      const { find, fetches } = given();
      assert.match(await find(MAIN), /another host|no jwks_uri/, String(address));
      assert.equal(fetches().length, 1);
    }
    assert.equal(asked, 0);
    const { find, fetches } = given({ ...provider.wish(), keySet });
    assert.equal(await find(MAIN), 'key');
    assert.deepEqual([asked, fetches().length], [1, 0]);
  });

  test('with the tenant in their address are read for each tenant, and speak for that one', async () => {
    const { find, fetches } = given({ ...provider.wish(), metadata: `${provider.origin}/{tenantId}/openid` });
    assert.equal(await find(MAIN, TENANT), 'it answers 404');
    assert.equal(await find(MAIN, SECOND_TENANT), 'it answers 404');
    assert.deepEqual(fetches(), [`/${TENANT}/openid`, `/${SECOND_TENANT}/openid`]);
  });

  test('that are configured anew are read anew', async () => {
    const clock = new TestClock();
    const uses = { clock, endpoint: 'https://linarite.example', events: { notice: () => undefined } };
    const keySets = new KeySets(uses, { plainHttp: true });
    assert.ok(await keySets.find(trustIn(provider.wish()), undefined, kidOf('ec')));
    const narrower = trustIn({ ...provider.wish(), algorithms: ['RS256'] });
    assert.equal(await keySets.find(narrower, undefined, kidOf('ec')), undefined);
  });
});

describe('a key set', () => {
  const jwk = (name: keyof typeof KEYS, more: object = {}) => ({
    ...KEYS[name].publicKey.export({ format: 'jwk' }),
    kid: kidOf(name),
    ...more,
  });
  const keysOf = (keys: unknown[], allowed = ALGORITHMS as readonly (typeof ALGORITHMS)[number][]) =>
    [...readKeySet({ keys }, allowed)].map(([kid, { algorithms }]) => [kid, ...algorithms]);

  test('gives keys for the algorithms that fit and are allowed', () => {
    const p384 = {
      ...generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'jwk' }),
      kid: 'P384',
    };
    const ed = { ...generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }), kid: 'ED' };
    assert.deepEqual(keysOf([jwk('main'), jwk('ec'), p384, ed]), [
      ['MAIN', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
      ['EC', 'ES256'],
      ['P384', 'ES384'],
      ['ED', 'EdDSA'],
    ]);
    assert.deepEqual(keysOf([jwk('main'), jwk('ec')], ['PS256']), [['MAIN', 'PS256']]);
    assert.deepEqual(keysOf([jwk('main', { alg: 'RS384', use: 'sig', key_ops: ['verify'] })]), [['MAIN', 'RS384']]);
  });

  test('passes over what is not for us', () => {
    assert.deepEqual([...readKeySet(keySetOf('main'), ['RS256', 'ES256']).keys()], ['MAIN', 'EC']);
    const others = [
      jwk('main', { alg: 'ES256' }),
      jwk('main', { n: 7 }),
      jwk('main', { n: undefined }),
      jwk('main', { kty: ['RSA'] }),
      jwk('main', { kid: 7 }),
      jwk('main', { kid: '' }),
      jwk('main', { use: null }),
      jwk('main', { key_ops: 'verify' }),
      jwk('ec', { crv: 'P-384' }),
      jwk('ec', { x: 'AA' }),
      jwk('main', { kty: '__proto__' }),
    ];
    assert.deepEqual(keysOf(others), []);
  });

  const careless: Record<string, unknown> = {
    'two keys with the same id': [jwk('main'), jwk('next', { kid: MAIN })],
    'a symmetric key': [jwk('main'), { kty: 'oct', kid: 'x', k: 'AAAA' }],
    'a private key': [jwk('main'), { ...KEYS.next.privateKey.export({ format: 'jwk' }), kid: NEXT }],
    'a private member in a key for encryption': [jwk('main'), jwk('next', { use: 'enc', d: null })],
    'an entry that is no object': [jwk('main'), 'x'],
    'more than 200 keys': Array.from({ length: 201 }, (_, n) => ({ kty: 'new', kid: `${n}` })),
    'no list': { main: jwk('main') },
  };
  for (const [what, keys] of Object.entries(careless)) {
    test(`with ${what} is refused as a whole`, () => {
      assert.throws(() => readKeySet({ keys }, ALGORITHMS), ProviderFailure);
    });
  }

  test('may have an id twice where only one of them is for signatures', () => {
    assert.deepEqual(keysOf([jwk('main', { use: 'enc' }), jwk('main', { alg: 'RS256' })]), [['MAIN', 'RS256']]);
  });
});

// The counting itself: a cache that asks for every unknown key would be seen.
test('a set that is read for every unknown key is seen by the count', async () => {
  const clock = new TestClock();
  let reads = 0;
  const read = async () => {
    reads += 1;
    return new Map();
  };
  const careless = () => new CachedKeySet({ clock, read, changed: () => undefined });
  for (let n = 0; n < 10; n++) await careless().find(`${n}`);
  assert.equal(reads, 10);
  reads = 0;
  const cached = careless();
  for (let n = 0; n < 10; n++) await cached.find(`${n}`);
  assert.equal(reads, 2);
});
