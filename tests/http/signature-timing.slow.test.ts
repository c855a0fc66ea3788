import assert from 'node:assert/strict';
import crypto, { createSecretKey, randomBytes, randomInt } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { after, test } from 'node:test';
import { SignatureVerifier } from '../../src/http/hmac.ts';
import type { WireRequest } from '../../src/http/wire.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { writeResult } from '../harness/results.ts';
import { sign } from '../harness/sign.ts';
import { wireRequest } from '../harness/wire-request.ts';

// The comparisons alone are timed in every test run. Whole verifications take minutes, so they are timed when asked for:
// `npm run harness -- signatures` (security-and-reliability, H4).
const PAIRS = Number(process.env.TEST_TIMING_PAIRS ?? (process.env.TEST_TIMING ? 50_000 : 5_000));
const skip = process.env.TEST_TIMING ? false : 'set TEST_TIMING=1';
const WARM_UP = 2000;
/** From here on a difference is seen (dudect's bound). */
const SEEN = 4.5;

const HOST = 'localhost:7417';
const TARGET = '/identities?api-version=2023-10-01';

/** Welch's t for two samples, without the slowest part of each, where the collector and the scheduler live. */
function welch(one: number[], other: number[]): number {
  const limit = [...one, ...other].sort((a, b) => a - b)[Math.floor((one.length + other.length) * 0.9)] ?? 0;
  const [a, b] = [one, other].map((sample) => {
    const kept = sample.filter((value) => value <= limit);
    const mean = kept.reduce((sum, value) => sum + value, 0) / kept.length;
    const variance = kept.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (kept.length - 1);
    return { mean, error: variance / kept.length };
  }) as [{ mean: number; error: number }, { mean: number; error: number }];
  return (a.mean - b.mean) / Math.sqrt(a.error + b.error);
}

/**
 * Makes something to time, anew for every sample, so that where it lies in memory says nothing about which one it is. There is
 * one call for both kinds: the compiler may treat two calls differently.
 */
type Prepare = (which: 0 | 1) => () => unknown;

/** Times both kinds in random turns, so that whatever drifts drifts for both. */
function compare(prepare: Prepare): number {
  const samples: [number[], number[]] = [[], []];
  for (let index = 0; index < PAIRS * 2 + WARM_UP; index++) {
    const which = ((randomBytes(1)[0] ?? 0) & 1) as 0 | 1;
    const question = prepare(which);
    const start = process.hrtime.bigint();
    question();
    const took = Number(process.hrtime.bigint() - start);
    if (index >= WARM_UP) samples[which].push(took);
  }
  return welch(...samples);
}

/** A signed request; with its signature changed in one byte, if that is said. */
function signed(key: Buffer, wrongByte?: number): WireRequest {
  const headers = sign({ method: 'POST', target: TARGET, host: HOST, key: key.toString('base64') });
  const [list = '', signature = ''] = (headers.Authorization ?? '').split('&Signature=');
  const bytes = Buffer.from(signature, 'base64');
  if (wrongByte !== undefined) bytes[wrongByte] = (bytes[wrongByte] ?? 0) ^ 1;
  const authorization = `${list}&Signature=${bytes.toString('base64')}`;
  return wireRequest({ method: 'POST', target: TARGET, headers: { ...headers, Host: HOST, authorization } });
}

const figures: Record<string, number> = { pairs: PAIRS };
/** Keeps the largest of each kind. */
function note(what: string, t: number): void {
  figures[what] = Math.max(figures[what] ?? 0, Math.round(Math.abs(t) * 100) / 100);
  console.log(`${what}: t = ${t.toFixed(2)}`);
}

const held = { comparisons: false, refusals: false };
const planted = new Set<string>();
after(() => {
  if (!skip)
    writeResult({
      id: 'H4',
      seed: 0,
      figures,
      passed: held.comparisons && held.refusals,
      planted: planted.size === Object.keys(NAIVE).length,
    });
});

/** A verifier for resources with two keys each. */
function verifierFor(...resources: readonly (readonly [Buffer, Buffer])[]): SignatureVerifier {
  const signatories = resources.map((keys) => ({
    resource: { id: 'x' as never },
    keys: keys.map((key, index) => ({
      slot: index === 0 ? ('primary' as const) : ('secondary' as const),
      version: 1,
      secret: createSecretKey(key),
      wellKnown: false,
    })),
  }));
  return new SignatureVerifier(
    { candidatesFor: () => signatories, clock: systemClock },
    { windowMinutes: 5, wellKnownKey: 'loopback' },
  );
}

test('every key of every candidate is compared, in fixed time, whichever fits', (t) => {
  const [first, second] = [[randomBytes(64), randomBytes(64)] as const, [randomBytes(64), randomBytes(64)] as const];
  const verifier = verifierFor(first, second);
  const { mock } = t.mock.method(crypto, 'timingSafeEqual');
  syncBuiltinESMExports();
  t.after(() => {
    mock.restore();
    syncBuiltinESMExports();
  });
  for (const key of [...first, ...second]) {
    mock.resetCalls();
    verifier.verify(signed(key));
    assert.equal(mock.callCount(), 4);
  }
});

/** A verification that must fail. */
const refusal = (verifier: SignatureVerifier, request: WireRequest) => (): void => {
  try {
    verifier.verify(request);
  } catch {
    return;
  }
  throw new Error('it was accepted');
};

// As they are, whatever is put in their place later.
const { createHmac, timingSafeEqual } = crypto;
type Comparison = typeof crypto.timingSafeEqual;

/**
 * Times refusals of a verifier in which only the comparisons are left to take time: making an HMAC costs nothing, and all of
 * many keys would have given the same signature. So what one comparison lets through shows 128-fold.
 * @param comparison in place of `timingSafeEqual`
 */
function firstByteAgainstLast(comparison: Comparison = timingSafeEqual): number {
  const ours = randomBytes(32);
  const hmac = { update: () => hmac, digest: () => ours };
  const secret = createSecretKey(ours);
  const keys = Array.from({ length: 64 }, () => ({ slot: 'primary' as const, version: 1, secret, wellKnown: false }));
  const verifier = new SignatureVerifier(
    { candidatesFor: () => [{ resource: { id: 'x' as never }, keys }], clock: systemClock },
    { windowMinutes: 5, wellKnownKey: 'loopback' },
  );
  const prepare: Prepare = (which) => {
    const signature = Buffer.from(ours);
    const byte = which * 31;
    signature[byte] = (signature[byte] ?? 0) ^ randomInt(1, 256);
    return refusal(verifier, bare(signature));
  };
  // Not by the mocks of the test runner: counting calls would take longer than what is timed.
  Object.assign(crypto, { createHmac: () => hmac, timingSafeEqual: comparison });
  syncBuiltinESMExports();
  try {
    return compare(prepare);
  } finally {
    Object.assign(crypto, { createHmac, timingSafeEqual });
    syncBuiltinESMExports();
  }
}

/** A request that has one spelling, and that tells what it signed, so that every key is tried twice and nothing else. */
function bare(signature: Buffer): WireRequest {
  const names = 'x-ms-date;host;x-ms-content-sha256';
  const headers = {
    host: 'localhost',
    'x-ms-date': 'any',
    'x-ms-content-sha256': randomBytes(32).toString('base64'),
    'x-ms-hmac-string-to-sign-base64': 'YW55',
    authorization: `HMAC-SHA256 SignedHeaders=${names}&Signature=${signature.toString('base64')}`,
  };
  return wireRequest({ target: '//x', headers });
}

test('how long the comparisons take does not tell where a signature differs', { timeout: 100_000 }, () => {
  const seen = firstByteAgainstLast();
  note('comparisonsFirstByteAgainstLast', seen);
  assert.ok(Math.abs(seen) < SEEN, `t = ${seen}`);
  held.comparisons = true;
});

/** Planted: ways to compare that are not constant-time. */
const NAIVE: Readonly<Record<string, (one: Buffer, other: Buffer) => boolean>> = {
  byteByByte: (one, other) => one.every((byte, index) => byte === other[index]),
  asText: (one, other) => one.toString('base64') === other.toString('base64'),
};

for (const [name, comparison] of Object.entries(NAIVE)) {
  // Text differs by some nanoseconds only, which few pairs do not show on a busy machine.
  const needsMany = name === 'asText' && skip;
  test(`a comparison that stops at the first difference is seen: ${name}`, {
    timeout: 100_000,
    skip: needsMany,
  }, () => {
    const seen = firstByteAgainstLast(comparison as Comparison);
    note(name, seen);
    assert.ok(Math.abs(seen) > SEEN, `t = ${seen}`);
    planted.add(name);
  });
}

test('how long a refusal takes does not tell where the signature differs', { skip, timeout: 600_000 }, () => {
  const keys = [randomBytes(64), randomBytes(64)] as const;
  const verifier = verifierFor(keys);
  const between = (...wrong: [key: Buffer, byte: number][]): number =>
    compare((which) => refusal(verifier, signed(...(wrong[which] ?? assert.fail()))));
  for (const key of keys) {
    const t = between([key, 0], [key, 31]);
    note('firstByteAgainstLast', t);
    assert.ok(Math.abs(t) < SEEN, `t = ${t}`);
  }
  const t = between([keys[0], 0], [keys[1], 0]);
  note('firstKeyAgainstSecond', t);
  assert.ok(Math.abs(t) < SEEN, `t = ${t}`);
  held.refusals = true;
});
