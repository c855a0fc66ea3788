import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { certificateNames, permittedNames } from '../../src/certificates/certificate-names.ts';

// An authority whose key is at hand, made by openssl: what ours could sign if its key had not been forgotten.
const withOpenssl = { skip: spawnSync('openssl', ['version']).status !== 0 && 'openssl is not installed' };

describe('an authority with our name constraints', withOpenssl, () => {
  let folder: string;
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  };
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'linarite-test-'));
    const constraints = permittedNames(certificateNames(['shop.example.test', '10.1.2.3'])).toString('hex');
    writeFileSync(
      join(folder, 'ca.cnf'),
      `[req]\ndistinguished_name=dn\nx509_extensions=ca\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE,pathlen:0\n` +
        `keyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n2.5.29.30=critical,DER:${constraints}\n`,
    );
    openssl('req', '-x509', ...curve, '-config', 'ca.cnf', '-subj', '/CN=test', '-keyout', 'ca.key', '-out', 'ca.pem');
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** What openssl says about a leaf for this name, signed by that authority. */
  function verdict(subjectAltName: string): string {
    const extensions = `subjectAltName=${subjectAltName}\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n`;
    writeFileSync(join(folder, 'leaf.ext'), extensions);
    openssl('req', ...curve, '-config', 'ca.cnf', '-subj', '/CN=leaf', '-keyout', 'leaf.key', '-out', 'leaf.csr');
    const sign = ['-req', '-in', 'leaf.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'];
    openssl('x509', ...sign, '-extfile', 'leaf.ext', '-out', 'leaf.pem');
    const { stdout, stderr } = spawnSync('openssl', ['verify', '-x509_strict', '-CAfile', 'ca.pem', 'leaf.pem'], {
      cwd: folder,
      encoding: 'utf8',
    });
    return stdout + stderr;
  }

  for (const name of [
    'DNS:localhost',
    'DNS:a.localhost',
    'IP:127.9.9.9',
    'IP:::1',
    'DNS:shop.example.test',
    'IP:10.1.2.3',
  ]) {
    test(`vouches for ${name}`, () => assert.match(verdict(name), /: OK/));
  }
  for (const name of [
    'DNS:example.com',
    'DNS:example.test',
    'DNS:localhost,DNS:example.com',
    'IP:10.1.2.4',
    'IP:::2',
  ]) {
    test(`cannot vouch for ${name}`, () => assert.match(verdict(name), /permitted subtree violation/));
  }
});

test('the constraints are the bytes of RFC 5280, 4.2.1.10', () => {
  const ipv6 = `a0000000000000000000000000000000`;
  assert.equal(
    permittedNames([
      { type: 'dns', value: 'ab' },
      { type: 'dns', value: '*.ab' },
      { type: 'dns', value: 'c.ab' },
      { type: 'ip', value: '127.0.0.1' },
      { type: 'ip', value: 'a000::' },
    ]).toString('hex'),
    ['3038', 'a036', '3004', '82026162', '300a', '87087f000000ff000000', '3022', `8720${ipv6}${'f'.repeat(32)}`].join(
      '',
    ),
  );
});
