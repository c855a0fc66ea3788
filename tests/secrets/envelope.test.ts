import assert from 'node:assert/strict';
import { createDecipheriv, createSecretKey, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { type Place, seal, unseal } from '../../src/secrets/envelope.ts';

const KEY = createSecretKey(randomBytes(32));
const PLACE: Place = { table: 'access_keys', column: 'sealed', row: 'one primary', version: 3 };
const SECRET = Buffer.from('whatever has to be kept so');
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');

describe('an envelope', () => {
  test('opens with its key at its place, whatever is in it', () => {
    for (const secret of [SECRET, Buffer.alloc(0), randomBytes(5000)])
      assert.deepEqual(unseal(KEY, seal(KEY, secret, PLACE), PLACE), secret);
  });

  test('is AES-256-GCM over the bytes: a nonce of 12, the ciphertext, a tag of 16, bound to the place as JSON', () => {
    const sealed = Buffer.from(seal(KEY, SECRET, PLACE), 'base64url');
    assert.equal(sealed.length, 12 + SECRET.length + 16);
    const decipher = createDecipheriv('aes-256-gcm', KEY, sealed.subarray(0, 12), { authTagLength: 16 })
      .setAAD(Buffer.from('["access_keys","sealed","one primary",3]'))
      .setAuthTag(sealed.subarray(-16));
    assert.deepEqual(Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]), SECRET);
  });

  test('is another one each time', () => {
    const nonces = Array.from({ length: 50 }, () => seal(KEY, SECRET, PLACE).slice(0, 16));
    assert.equal(new Set(nonces).size, 50);
  });

  test('stays shut with another key, at another place, with a bit changed, a byte less or more', () => {
    const envelope = seal(KEY, SECRET, PLACE);
    const bytes = Buffer.from(envelope, 'base64url');
    assert.equal(unseal(createSecretKey(randomBytes(32)), envelope, PLACE), undefined);
    const elsewhere: Partial<Place>[] = [{ table: 'x' }, { column: 'x' }, { row: 'x' }, { version: 4 }];
    for (const other of elsewhere) assert.equal(unseal(KEY, envelope, { ...PLACE, ...other }), undefined);
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      assert.equal(unseal(KEY, text(changed), PLACE), undefined, `byte ${at}`);
      assert.equal(unseal(KEY, text(bytes.subarray(0, at)), PLACE), undefined, `${at} bytes`);
    }
    assert.equal(unseal(KEY, text(Buffer.concat([bytes, Buffer.alloc(1)])), PLACE), undefined);
  });

  test('stays shut when it is not written in canonical base64url', () => {
    const envelope = seal(KEY, SECRET, PLACE);
    for (const other of [`${envelope}=`, ` ${envelope}`, `${envelope}.`, `!${envelope}`])
      assert.equal(unseal(KEY, other, PLACE), undefined, other);
  });
});
