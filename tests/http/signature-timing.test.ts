import assert from 'node:assert/strict';
import crypto, { createSecretKey, randomBytes } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { after, test } from 'node:test';
import { SignatureVerifier } from '../../src/http/hmac.ts';
import type { WireRequest } from '../../src/http/wire.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { writeResult } from '../harness/results.ts';
import { sign } from '../harness/sign.ts';

// Timing on a shared machine proves nothing on a bad day, so that runs when asked for: `npm run test:signatures` (security-and-reliability, H4).
const PAIRS = Number(process.env.TEST_TIMING_PAIRS ?? 50_000);
const skip = process.env.TEST_TIMING ? false : 'set TEST_TIMING=1';

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

/** Times both questions in random turns, so that whatever drifts drifts for both. */
function compare(first: () => unknown, last: () => unknown): number {
  const samples: [number[], number[]] = [[], []];
  for (let index = 0; index < PAIRS * 2 + 2000; index++) {
    const which = (randomBytes(1)[0] ?? 0) & 1;
    const question = which === 0 ? first : last;
    const start = process.hrtime.bigint();
    question();
    const took = Number(process.hrtime.bigint() - start);
    if (index >= 2000) samples[which as 0 | 1].push(took);
  }
  return welch(...samples);
}

/** The same request with its signature changed in one byte. */
const wrongAt = (byte: number, key: Buffer): WireRequest => signed(key, byte);

function signed(key: Buffer, wrongByte?: number): WireRequest {
  const headers = sign({ method: 'POST', target: TARGET, host: HOST, key: key.toString('base64') });
  const [list = '', signature = ''] = (headers.Authorization ?? '').split('&Signature=');
  const bytes = Buffer.from(signature, 'base64');
  if (wrongByte !== undefined) bytes[wrongByte] = (bytes[wrongByte] ?? 0) ^ 1;
  const all: Record<string, string[]> = {
    host: [HOST],
    'x-ms-date': [headers['x-ms-date'] ?? ''],
    'x-ms-content-sha256': [headers['x-ms-content-sha256'] ?? ''],
    authorization: [`${list}&Signature=${bytes.toString('base64')}`],
  };
  return {
    method: 'POST',
    target: TARGET,
    secure: true,
    peer: '127.0.0.1',
    hasBody: false,
    complete: true,
    header: (name) => all[name] ?? [],
    readBody: () => Promise.reject(new Error('there is none')),
  };
}

const figures: Record<string, number> = { pairs: PAIRS };
/** Keeps the largest of each kind. */
function note(what: string, t: number): void {
  figures[what] = Math.max(figures[what] ?? 0, Math.round(Math.abs(t) * 100) / 100);
  console.log(`${what}: t = ${t.toFixed(2)}`);
}

let passed = false;
let planted = false;
after(() => {
  if (!skip) writeResult({ id: 'H4', seed: 0, figures, passed, planted });
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

test('how long a refusal takes does not tell where the signature differs', { skip, timeout: 600_000 }, () => {
  const keys = [randomBytes(64), randomBytes(64)] as const;
  const verifier = verifierFor(keys);
  const refuse = (request: WireRequest) => () => {
    try {
      verifier.verify(request);
    } catch {
      return;
    }
    throw new Error('it was accepted');
  };
  for (const key of keys) {
    const t = compare(refuse(wrongAt(0, key)), refuse(wrongAt(31, key)));
    note('firstByteAgainstLast', t);
    assert.ok(Math.abs(t) < 4.5, `t = ${t}`);
  }
  const t = compare(refuse(wrongAt(0, keys[0])), refuse(wrongAt(0, keys[1])));
  note('firstKeyAgainstSecond', t);
  assert.ok(Math.abs(t) < 4.5, `t = ${t}`);
  passed = true;
});

test('the measurement sees a comparison that stops at the first difference', { skip, timeout: 600_000 }, () => {
  const secret = randomBytes(4096);
  const differingAt = (at: number) => {
    const other = Buffer.from(secret);
    other[at] = (other[at] ?? 0) ^ 1;
    return () => secret.every((byte, index) => byte === other[index]);
  };
  const t = compare(differingAt(0), differingAt(4095));
  note('naiveComparison', t);
  assert.ok(Math.abs(t) > 4.5, `t = ${t}`);
  planted = true;
});
