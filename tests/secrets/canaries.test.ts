import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Canaries } from '../harness/secrets/canaries.ts';

test('a secret is found in every form, at every alignment, whole or cut', () => {
  for (let round = 0; round < 50; round += 1) {
    const canaries = new Canaries();
    const secret = randomBytes(12 + (round % 64));
    canaries.add('it', secret);
    const before = randomBytes(round % 7);
    const whole = Buffer.concat([before, secret, randomBytes(5)]);
    for (const form of ['hex', 'base64', 'base64url'] as const) {
      const hits = canaries.in('there', `x${whole.toString(form)}y`);
      assert.ok(hits.length > 0, `${form}, ${before.length} before, ${secret.length} long`);
    }
    assert.deepEqual(canaries.in('there', whole), [{ where: 'there', secret: 'it', form: 'plain' }]);
    assert.equal(
      canaries.in('there', secret.toString('hex').toUpperCase())[0]?.form,
      secret.toString('hex') === secret.toString('hex').toUpperCase() ? 'hex' : 'HEX',
    );
    assert.ok(canaries.in('there', secret.subarray(0, 12)).length > 0);
    assert.ok(canaries.in('there', secret.subarray(-12)).length > 0);
    assert.deepEqual(canaries.in('there', randomBytes(2000)), []);
  }
});

test('a private key is found as PEM, as DER and by its numbers', () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const canaries = new Canaries();
  canaries.addPrivateKey('it', privateKey);
  assert.ok(canaries.in('there', privateKey.export({ type: 'pkcs8', format: 'pem' })).length > 0);
  assert.ok(canaries.in('there', privateKey.export({ type: 'pkcs1', format: 'pem' })).length > 0);
  assert.ok(canaries.in('there', privateKey.export({ type: 'pkcs1', format: 'der' })).length > 0);
  assert.ok(canaries.in('there', JSON.stringify(privateKey.export({ format: 'jwk' }))).length > 0);
  assert.deepEqual(canaries.in('there', publicKey.export({ type: 'spki', format: 'pem' })), []);
  assert.deepEqual(canaries.in('there', JSON.stringify(publicKey.export({ format: 'jwk' }))), []);
  assert.deepEqual(canaries.in('there', other.privateKey.export({ type: 'pkcs8', format: 'pem' })), []);
});
