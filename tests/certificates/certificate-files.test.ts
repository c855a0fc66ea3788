import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { certificatesFromFiles } from '../../src/certificates/certificate-files.ts';
import { certificatesIn } from '../../src/certificates/own-certificates.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { SettingsError } from '../../src/settings.ts';

const clockAt = (ms: number): Clock => ({ now: () => ms, elapsed: () => 0 });
const today = clockAt(Date.now());
const DAY_MS = 86_400_000;

describe('certificates from files', () => {
  let folder: string;
  let cert: string;
  let key: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'linarite-test-'));
    await certificatesIn(folder, today);
    cert = join(folder, 'server.pem');
    key = join(folder, 'server.key');
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const read = (certPath = cert, keyPath = key, clock = today, insistOnPrivateKeyFile = true) =>
    certificatesFromFiles(certPath, keyPath, clock, { insistOnPrivateKeyFile });
  const file = (name: string, text: string, mode = 0o600): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    chmodSync(path, mode);
    return path;
  };
  const refuses = (act: () => unknown, message: RegExp): void => {
    assert.throws(act, (error) => {
      assert.ok(error instanceof SettingsError);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /\n|BEGIN/);
      return true;
    });
  };

  test('reads a good pair', () => {
    const { certPem, keyPem, expiresAtMs, keyReadableByOthers } = read();
    assert.equal(certPem, readFileSync(cert, 'utf8'));
    assert.equal(keyPem, readFileSync(key, 'utf8'));
    assert.equal(expiresAtMs, Date.parse(new X509Certificate(certPem).validTo));
    assert.equal(keyReadableByOthers, false);
  });

  test('reads a chain, and an EC key in the older form', () => {
    const chain = file('chain.pem', readFileSync(cert, 'utf8') + readFileSync(join(folder, 'ca.pem'), 'utf8'));
    const sec1 = createPrivateKey(readFileSync(key)).export({ type: 'sec1', format: 'pem' }).toString();
    assert.equal(read(chain, file('sec1.key', sec1)).keyPem, sec1);
  });

  test('refuses what is not there or no file', () => {
    refuses(() => read(join(folder, 'none')), /^LINARITE_TLS_CERT \('.*none'\) cannot be read: there is no such file$/);
    refuses(() => read(cert, join(folder, 'none')), /^LINARITE_TLS_KEY \('.*none'\) cannot be read: there is no such/);
    refuses(() => read(folder), /^LINARITE_TLS_CERT .* cannot be read: it is a folder$/);
  });

  test('refuses what is no certificate or key', () => {
    refuses(() => read(key), /^LINARITE_TLS_CERT .* must hold a certificate in PEM form$/);
    refuses(() => read(cert, file('no.key', 'nothing')), /^LINARITE_TLS_KEY .* must hold a private key in PEM form$/);
    const options = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' } as const;
    const locked = createPrivateKey(readFileSync(key)).export(options).toString();
    refuses(() => read(cert, file('locked.key', locked)), /^LINARITE_TLS_KEY .* without a passphrase/);
  });

  test('refuses a key of another certificate, and a chain in the wrong order', async () => {
    const other = join(folder, 'other');
    await certificatesIn(other, today);
    refuses(() => read(cert, join(other, 'server.key')), /^LINARITE_TLS_KEY .* is not the key of the certificate in/);
    const reversed = readFileSync(join(folder, 'ca.pem'), 'utf8') + readFileSync(cert, 'utf8');
    refuses(() => read(file('reversed.pem', reversed)), /^LINARITE_TLS_CERT .* must begin with the server's own/);
  });

  test('refuses a certificate before its start and after its end', () => {
    const at = (days: number) => clockAt(today.now() + days * DAY_MS);
    refuses(() => read(cert, key, at(-2)), /^LINARITE_TLS_CERT .* is not valid before \d{4}-/);
    refuses(() => read(cert, key, at(397)), /^LINARITE_TLS_CERT .* has expired on \d{4}-/);
    assert.ok(read(cert, key, at(395)));
  });

  test('refuses a key file that others can read, where insisted on', {
    skip: process.platform === 'win32' && 'no file modes on Windows',
  }, () => {
    for (const mode of [0o640, 0o604, 0o620]) {
      const open = file(`open-${mode.toString(8)}.key`, readFileSync(key, 'utf8'), mode);
      refuses(() => read(cert, open), /^LINARITE_TLS_KEY .* \(chmod 600\); its mode is 6[024][04]$/);
      assert.equal(read(cert, open, today, false).keyReadableByOthers, true);
    }
  });
});
