import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { digestOf, fromBase64, fromBase64url, sameBytes } from '../../src/lib/bytes.ts';

test('base64 is read in its canonical form', () => {
  for (let length = 0; length < 70; length += 1) {
    const bytes = Buffer.concat([randomBytes(length), Buffer.from([0xff, 0xfe, 0xfb])]);
    assert.deepEqual(fromBase64(bytes.toString('base64')), bytes);
    assert.deepEqual(fromBase64url(bytes.toString('base64url')), bytes);
  }
  assert.deepEqual(fromBase64(''), Buffer.alloc(0));
  assert.deepEqual(fromBase64url(''), Buffer.alloc(0));
});

// biome-ignore format: two lists
const NOT_BASE64 = [
  'Zg', 'Zg=', 'Zh==', 'Zg===', '=', '==', 'Zg==Zg==', 'Z g==', ' Zg==', 'Zg==\n', 'Zm8', 'Zm9=', '-_-_', 'Zm9v!', '!Zm9v', 'Zm9v=', 'Z=m9',
];
const NOT_BASE64URL = ['Zg==', 'Zh', 'Zm9', 'Z', '+/+/', 'Z g', ' Zg', 'Zg\n', '!Zm9v', 'Zm9v!', 'Zm9vA'];

for (const text of NOT_BASE64)
  test(`${JSON.stringify(text)} is not base64`, () => {
    assert.equal(fromBase64(text), undefined);
  });

for (const text of NOT_BASE64URL)
  test(`${JSON.stringify(text)} is not base64url`, () => {
    assert.equal(fromBase64url(text), undefined);
  });

test('bytes are the same when length and content are', () => {
  const [one, other] = [Buffer.from('abc'), Buffer.from('abd')];
  assert.equal(sameBytes(one, Buffer.from('abc')), true);
  assert.equal(sameBytes(one, other), false);
  assert.equal(sameBytes(one, Buffer.from('ab')), false);
  assert.equal(sameBytes(Buffer.from('ab'), one), false);
  assert.equal(sameBytes(Buffer.alloc(0), Buffer.alloc(0)), true);
});

test('texts are compared by their SHA-256', () => {
  // FIPS 180-4, the example of one block.
  assert.equal(digestOf('abc').toString('hex'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});
