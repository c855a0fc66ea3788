import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import type { KeySlot, ResourceId } from '../../src/callers.ts';
import { ServiceError } from '../../src/errors.ts';
import { type Signatory, SignatureVerifier } from '../../src/http/hmac.ts';
import { TestClock } from '../harness/server.ts';
import { sign } from '../harness/sign.ts';
import { wireRequest } from '../harness/wire-request.ts';

const HOST = 'localhost:7417';
const CREATE = '/identities?api-version=2023-10-01';
const PROXY = '192.0.2.100';
const UNKNOWN_CALLER = '192.0.2.66';
/** What the keys of a thousand resources cost, in the three spellings. */
const SCAN = 6000;
/** What may be spent in a second on signatures that fit nothing: by new clients, and by those that sent some before. */
const PER_SECOND = 2 * 20_000;
/** What finding out the reason may cost. */
const DIAGNOSIS = 200;

interface From {
  peer?: string;
  target?: string;
  forwardedFor?: string;
}

/** A verifier for many resources behind one host, and what it did. */
class World {
  readonly clock = new TestClock();
  readonly keys: readonly Buffer[];
  hmacs = 0;
  readonly #verifier: SignatureVerifier;

  constructor(resources: number) {
    this.keys = Array.from({ length: resources }, () => randomBytes(64));
    const signatories = this.keys.map(
      (key, index): Signatory => ({
        resource: { id: World.idOf(index) as ResourceId },
        keys: [this.#key('primary', key), this.#key('secondary', randomBytes(64))],
      }),
    );
    this.#verifier = new SignatureVerifier(
      { candidatesFor: () => signatories, clock: this.clock },
      { windowMinutes: 5, wellKnownKey: 'loopback', trustedProxies: [PROXY] },
    );
  }

  static idOf = (index: number): string => `aaaaaaaa-0000-4000-8000-${String(index).padStart(12, '0')}`;

  #key(slot: KeySlot, bytes: Buffer): Signatory['keys'][number] {
    const secret = createSecretKey(bytes);
    const used = (): void => {
      this.hmacs += 1;
    };
    return {
      slot,
      version: 1,
      wellKnown: false,
      get secret() {
        used();
        return secret;
      },
    };
  }

  /** @returns the resource that was proven, or the reason why none was */
  ask(key: Buffer, { peer = '192.0.2.1', target = CREATE, forwardedFor }: From = {}): string {
    const date = new Date(this.clock.now()).toUTCString();
    const signed = sign({ method: 'POST', target, host: HOST, date, key: key.toString('base64') });
    const headers = { Host: HOST, ...signed, 'X-Forwarded-For': forwardedFor };
    try {
      return this.#verifier.verify(wireRequest({ method: 'POST', target, peer, headers })).caller.resourceId;
    } catch (cause) {
      if (cause instanceof ServiceError) return cause.reason;
      throw cause;
    }
  }

  /** Wrong signatures until one is not looked at any more. */
  exhaust(from: From): void {
    for (let tries = 0; tries < 100; tries += 1)
      if (this.ask(randomBytes(64), from) === 'signature.tooManyWrong') return;
    assert.fail('it was never too much');
  }
}

describe('wrong signatures where the host names no resource', () => {
  test('cost a bounded number of HMACs, from one address or from many', () => {
    for (const peerOf of [() => UNKNOWN_CALLER, (index: number) => `192.0.2.${index}`]) {
      const world = new World(1000);
      const wrong = randomBytes(64);
      for (let index = 0; index < 100; index += 1) world.ask(wrong, { peer: peerOf(index) });
      assert.ok(world.hmacs <= PER_SECOND + 2 * (SCAN + DIAGNOSIS) + DIAGNOSIS * 10, String(world.hmacs));
      const before = world.hmacs;
      for (let second = 0; second < 3; second += 1) {
        world.clock.advance(1000);
        for (let index = 0; index < 20; index += 1) world.ask(wrong, { peer: peerOf(index) });
      }
      const perSecond = (world.hmacs - before) / 3;
      assert.ok(perSecond <= PER_SECOND + 2 * SCAN, String(perSecond));
    }
  });

  test('are answered 429, to be tried again in a second, and 401 again by then', () => {
    const world = new World(1000);
    world.exhaust({ peer: UNKNOWN_CALLER });
    assert.equal(world.ask(randomBytes(64), { peer: UNKNOWN_CALLER }), 'signature.tooManyWrong');
    world.clock.advance(1000);
    assert.equal(world.ask(randomBytes(64), { peer: UNKNOWN_CALLER }), 'signature.key');
    const { shape, retryAfter } = new ServiceError('TooManyRequests', { reason: 'signature.tooManyWrong' });
    assert.deepEqual([shape.status, retryAfter], [429, 1]);
  });

  test('of few resources are all looked at', () => {
    const world = new World(16);
    for (let index = 0; index < 300; index += 1) assert.equal(world.ask(randomBytes(64)), 'signature.key');
  });
});

describe('beside wrong signatures', () => {
  test('every resource is served, also to a client that asks for it the first time', () => {
    const world = new World(1000);
    world.exhaust({ peer: UNKNOWN_CALLER });
    for (let index = 0; index < 1000; index += 111)
      assert.equal(world.ask(world.keys[index] as Buffer, { peer: `198.51.100.${index % 250}` }), World.idOf(index));
  });

  test('a client that has proven a resource goes on, also from where the wrong ones come', () => {
    const world = new World(1000);
    const mine = world.keys.slice(500, 516);
    for (const key of mine) world.ask(key, { peer: UNKNOWN_CALLER });
    world.exhaust({ peer: UNKNOWN_CALLER });
    const before = world.hmacs;
    for (const [index, key] of mine.entries())
      assert.equal(world.ask(key, { peer: UNKNOWN_CALLER }), World.idOf(500 + index));
    assert.ok(world.hmacs - before <= 16 * 32, 'and no key of others is tried');
    assert.equal(world.ask(world.keys[0] as Buffer, { peer: UNKNOWN_CALLER }), 'signature.tooManyWrong');
  });

  test('a target that names an identity of the resource is enough', () => {
    const world = new World(1000);
    world.exhaust({ peer: UNKNOWN_CALLER });
    for (const colon of [':', '%3A', '%3a']) {
      const target = `/identities/8${colon}acs${colon}${World.idOf(7)}_x/:issueAccessToken?api-version=2023-10-01`;
      assert.equal(world.ask(world.keys[7] as Buffer, { peer: UNKNOWN_CALLER, target }), World.idOf(7));
    }
  });

  test('a client that has sent no wrong one for a minute is a new client again', () => {
    for (const [seconds, outcome] of [
      [59, 'signature.tooManyWrong'],
      [61, World.idOf(0)],
    ] as const) {
      const world = new World(1000);
      world.ask(randomBytes(64), { peer: '192.0.2.7' });
      world.clock.advance(seconds * 1000);
      world.exhaust({ peer: UNKNOWN_CALLER });
      assert.equal(world.ask(world.keys[0] as Buffer, { peer: '192.0.2.7' }), outcome);
    }
  });

  test('clients behind a proxy of ours are told apart, and nobody else says for whom they ask', () => {
    const world = new World(1000);
    const [key] = world.keys as [Buffer];
    world.exhaust({ peer: PROXY, forwardedFor: '203.0.113.1, 203.0.113.66' });
    assert.equal(world.ask(randomBytes(64), { peer: PROXY, forwardedFor: '203.0.113.66' }), 'signature.tooManyWrong');
    assert.equal(world.ask(key, { peer: PROXY, forwardedFor: '203.0.113.7' }), World.idOf(0));
    const mapped = { peer: `::ffff:${PROXY}`, forwardedFor: '203.0.113.66' };
    assert.equal(world.ask(randomBytes(64), mapped), 'signature.tooManyWrong');
    const direct = new World(1000);
    direct.exhaust({ peer: UNKNOWN_CALLER, forwardedFor: '203.0.113.66' });
    assert.equal(
      direct.ask(randomBytes(64), { peer: UNKNOWN_CALLER, forwardedFor: '203.0.113.7' }),
      'signature.tooManyWrong',
    );
  });
});

test('signatures that fit spend nothing: hundreds of resources behind one address', () => {
  const world = new World(250);
  for (const [index, key] of world.keys.entries()) assert.equal(world.ask(key, { peer: PROXY }), World.idOf(index));
  assert.ok(world.hmacs > PER_SECOND);
});
