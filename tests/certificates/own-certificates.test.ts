import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, isAbsolute, join, relative } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { certificatesIn, type OwnCertificates } from '../../src/certificates/own-certificates.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { SettingsError } from '../../src/settings.ts';

const DAY_MS = 86_400_000;
const FILES = ['ca.pem', 'server.key', 'server.pem'] as const;
const onPosix = { skip: process.platform === 'win32' && 'no file modes on Windows' };
const withOpenssl = { skip: spawnSync('openssl', ['version']).status !== 0 && 'openssl is not installed' };

const clockAt = (ms: number): Clock => ({ now: () => ms, elapsed: () => 0 });
const today = clockAt(Date.now());
const later = (days: number): Clock => clockAt(today.now() + days * DAY_MS);
const mode = (path: string): number => statSync(path).mode & 0o777;

let root: string;
before(() => {
  root = mkdtempSync(join(tmpdir(), 'linarite-test-'));
});
after(() => rmSync(root, { recursive: true, force: true }));
const freshFolder = (): string => mkdtempSync(join(root, 'data-'));

/** What any set must fulfil, fresh or kept. */
function assertCoherent(certificates: OwnCertificates): void {
  const ca = new X509Certificate(certificates.caPem);
  const server = new X509Certificate(certificates.certPem);
  assert.ok(ca.ca && !server.ca);
  assert.ok(server.checkIssued(ca) && server.verify(ca.publicKey));
  assert.ok(server.checkPrivateKey(createPrivateKey(certificates.keyPem)));
  assert.equal(readFileSync(certificates.caPath, 'utf8'), certificates.caPem);
}

describe('first start', () => {
  test('makes a coherent set with the promised names, dates and files', async () => {
    const folder = join(freshFolder(), 'not', 'there yet');
    const made = await certificatesIn(folder, today);
    assert.equal(made.madeNow, true);
    assertCoherent(made);
    assert.equal(made.caPath, join(folder, 'ca.pem'));
    assert.deepEqual(readdirSync(folder).sort(), [...FILES]);

    const ca = new X509Certificate(made.caPem);
    const server = new X509Certificate(made.certPem);
    assert.match(ca.subject, /^CN=Linarite development CA [0-9a-f]{8}$/);
    assert.equal(
      server.subjectAltName,
      'DNS:localhost, DNS:*.localhost, DNS:host.docker.internal, DNS:host.containers.internal, ' +
        'IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1',
    );
    assert.deepEqual(server.keyUsage, ['1.3.6.1.5.5.7.3.1']);
    for (const certificate of [ca, server]) {
      const [from, until] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
      assert.ok(from <= today.now() - DAY_MS + 1000);
      assert.ok(until - from <= 397 * DAY_MS);
      assert.equal(certificate.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
      assert.match(certificate.serialNumber, /^[4-7][0-9A-F]{31}$/);
    }
    assert.ok(Math.abs(made.renewAtMs - (today.now() + 366 * DAY_MS)) < 1000);
  });

  test('gives an absolute path for a relative folder', async () => {
    const folder = freshFolder();
    await certificatesIn(folder, today);
    const kept = await certificatesIn(relative(process.cwd(), folder), today);
    assert.ok(isAbsolute(kept.caPath));
    assert.equal(kept.madeNow, false);
  });

  test('keeps the private key of the authority nowhere', async () => {
    const folder = freshFolder();
    const { keyPem, caPem } = await certificatesIn(folder, today);
    const text = FILES.map((name) => readFileSync(join(folder, name), 'utf8')).join('');
    assert.equal(text.match(/PRIVATE KEY-----\n/g)?.length, 2, 'one key, begin and end');
    assert.equal(new X509Certificate(caPem).checkPrivateKey(createPrivateKey(keyPem)), false);
  });

  test('sets exact modes under any umask', onPosix, async () => {
    const umask = process.umask(0o077);
    try {
      const folder = freshFolder();
      await certificatesIn(folder, today);
      assert.equal(mode(join(folder, 'server.key')), 0o600);
      assert.equal(mode(join(folder, 'server.pem')), 0o644);
      assert.equal(mode(join(folder, 'ca.pem')), 0o644);
    } finally {
      process.umask(umask);
    }
  });

  test('two authorities share neither name nor key', async () => {
    const [one, other] = [await certificatesIn(freshFolder(), today), await certificatesIn(freshFolder(), today)];
    const [a, b] = [new X509Certificate(one.caPem), new X509Certificate(other.caPem)];
    assert.notEqual(a.subject, b.subject);
    assert.notEqual(a.serialNumber, b.serialNumber);
    assert.equal(new X509Certificate(one.certPem).verify(b.publicKey), false);
  });

  test('a folder that cannot be made is a settings error that names the variable', async () => {
    const file = join(freshFolder(), 'file');
    writeFileSync(file, '');
    await assert.rejects(
      certificatesIn(join(file, 'data'), today),
      (error) => error instanceof SettingsError && error.message.startsWith('LINARITE_DATA '),
    );
  });
});

describe('without a data folder', () => {
  test('keeps the authority only, in a private folder, until disposed of', async () => {
    const made = await certificatesIn(undefined, today);
    const folder = dirname(made.caPath);
    try {
      assertCoherent(made);
      assert.deepEqual(readdirSync(folder), ['ca.pem']);
      if (process.platform !== 'win32') assert.equal(mode(folder), 0o700);
    } finally {
      made.dispose();
    }
    made.dispose();
    assert.equal(existsSync(folder), false);
  });
});

describe('restart', () => {
  let folder: string;
  let made: OwnCertificates;
  before(async () => {
    folder = freshFolder();
    made = await certificatesIn(folder, today);
  });

  test('gives the same set until thirty days before its end', async () => {
    for (const clock of [today, later(1), later(365)]) {
      const kept = await certificatesIn(folder, clock);
      assert.deepEqual({ ...kept, dispose: made.dispose }, { ...made, madeNow: false, dispose: made.dispose });
      kept.dispose();
      assert.ok(existsSync(kept.caPath));
    }
  });

  test('loads the certificate library at a first start only', () => {
    assert.equal(libraryLoadedFor(folder), 'kept, not loaded');
    assert.equal(libraryLoadedFor(freshFolder()), 'made, loaded');
  });

  test('closes a key that has become readable by others', onPosix, async () => {
    chmodSync(join(folder, 'server.key'), 0o644);
    assert.equal((await certificatesIn(folder, today)).madeNow, false);
    assert.equal(mode(join(folder, 'server.key')), 0o600);
  });
});

/** Asks a process of its own, in which nothing else has loaded the library. */
function libraryLoadedFor(folder: string): string {
  const module = new URL('../../src/certificates/own-certificates.ts', import.meta.url).href;
  const script = `
    import { createRequire } from 'node:module';
    const { certificatesIn } = await import(${JSON.stringify(module)});
    const clock = { now: () => ${today.now()}, elapsed: () => 0 };
    const { madeNow } = await certificatesIn(${JSON.stringify(folder)}, clock);
    const loaded = Object.keys(createRequire(${JSON.stringify(module)}).cache).some((path) => path.includes('@peculiar'));
    console.log((madeNow ? 'made, ' : 'kept, ') + (loaded ? 'loaded' : 'not loaded'));
  `;
  return execFileSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' }).trim();
}

describe('made anew', () => {
  test('in the last thirty days, after the end, and when the clock is before the start', async () => {
    for (const clock of [later(367), later(1000), later(-10)]) {
      const folder = freshFolder();
      const old = await certificatesIn(folder, today);
      const renewed = await certificatesIn(folder, clock);
      assert.equal(renewed.madeNow, true);
      assert.notEqual(renewed.caPem, old.caPem);
      assertCoherent(renewed);
      assert.equal((await certificatesIn(folder, clock)).madeNow, false);
    }
  });

  test('exactly from renewAtMs on', async () => {
    const folder = freshFolder();
    const { renewAtMs } = await certificatesIn(folder, today);
    assert.equal((await certificatesIn(folder, clockAt(renewAtMs - 1))).madeNow, false);
    assert.equal((await certificatesIn(folder, clockAt(renewAtMs))).madeNow, true);
  });

  test('when files are mixed from two authorities', async () => {
    for (const name of FILES) {
      const [folder, other] = [freshFolder(), freshFolder()];
      await certificatesIn(folder, today);
      await certificatesIn(other, today);
      writeFileSync(join(folder, name), readFileSync(join(other, name)));
      const again = await certificatesIn(folder, today);
      assert.equal(again.madeNow, true, name);
      assertCoherent(again);
    }
  });

  test('when a further host is asked for, and not when one is given up', async () => {
    const folder = freshFolder();
    await certificatesIn(folder, today);
    const hosts = [
      'acs.example.test',
      '*.acs.example.test',
      '192.168.1.5',
      '[2001:db8::5]',
      'my_service',
      'bücher.test',
    ];
    const wider = await certificatesIn(folder, today, hosts);
    assert.equal(wider.madeNow, true);
    const server = new X509Certificate(wider.certPem);
    for (const host of ['acs.example.test', 'eu.acs.example.test', 'xn--bcher-kva.test', 'localhost']) {
      assert.ok(server.checkHost(host), host);
    }
    for (const address of ['192.168.1.5', '2001:db8::5', '127.0.0.1', '::1'])
      assert.ok(server.checkIP(address), address);
    assert.equal((await certificatesIn(folder, today, hosts)).madeNow, false);
    assert.equal((await certificatesIn(folder, today)).madeNow, false);
  });
});

test('a host that no certificate can name is a settings error', async () => {
  for (const host of ['', 'host:7417', 'https://host', 'a b', '*', 'a.*.test', 'fe80::1%eth0', '-a.test']) {
    await assert.rejects(
      certificatesIn(undefined, today, [host]),
      (error) => error instanceof SettingsError && error.message.startsWith('LINARITE_ALLOWED_HOSTS '),
      host,
    );
  }
});

describe('a kill in the middle', () => {
  const corrupt: Record<string, (path: string) => void> = {
    missing: (path) => rmSync(path),
    empty: (path) => truncateSync(path, 0),
    'cut off': (path) => truncateSync(path, 100),
    'half written': (path) => writeFileSync(`${path}.new`, '-----BEGIN'),
  };
  const subsets = Array.from({ length: 7 }, (_, index) => FILES.filter((_name, bit) => (index + 1) & (1 << bit)));

  for (const [state, damage] of Object.entries(corrupt)) {
    test(`leaves any of the files ${state}, and the next start replaces it`, async () => {
      const pristine = freshFolder();
      await certificatesIn(pristine, today);
      for (const subset of subsets) {
        const folder = freshFolder();
        for (const name of FILES) writeFileSync(join(folder, name), readFileSync(join(pristine, name)));
        for (const name of subset) damage(join(folder, name));
        const repaired = await certificatesIn(folder, today);
        assert.equal(repaired.madeNow, state !== 'half written', subset.join());
        assertCoherent(repaired);
        assert.equal((await certificatesIn(folder, today)).caPem, repaired.caPem);
      }
    });
  }

  test('leaves temporary files, which the next making uses up', async () => {
    const folder = freshFolder();
    for (const name of FILES) writeFileSync(join(folder, `${name}.new`), 'x', { mode: 0o666 });
    await certificatesIn(folder, today);
    assert.deepEqual(readdirSync(folder).sort(), [...FILES]);
    if (process.platform !== 'win32') assert.equal(mode(join(folder, 'server.key')), 0o600);
  });

  test('bytes that are no certificate do no harm', async () => {
    for (const name of FILES) {
      const folder = freshFolder();
      await certificatesIn(folder, today);
      const pem = readFileSync(join(folder, name), 'utf8');
      writeFileSync(join(folder, name), pem.replace(/\n.{20}/, '\nAAAAAAAAAAAAAAAAAAAA'));
      const repaired = await certificatesIn(folder, today);
      assert.equal(repaired.madeNow, true, name);
      assertCoherent(repaired);
    }
  });
});

describe('a handshake', () => {
  let made: OwnCertificates;
  let server: https.Server;
  before(async () => {
    made = await certificatesIn(undefined, clockAt(Date.now()));
    server = https.createServer({ cert: made.certPem, key: made.keyPem }, (_request, response) =>
      response.end('hello'),
    );
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  });
  after(() => {
    server.close();
    made.dispose();
  });

  const get = (options: https.RequestOptions): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const { port } = server.address() as AddressInfo;
      https
        .get({ host: '127.0.0.1', port, agent: false, ...options }, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
        .on('error', reject);
    });

  test('succeeds under every name for those who trust the authority', async () => {
    assert.equal(await get({ ca: made.caPem }), 200);
    for (const servername of ['localhost', 'host.docker.internal', 'host.containers.internal']) {
      assert.equal(await get({ ca: made.caPem, servername }), 200, servername);
    }
  });

  test('fails under a foreign name, and for those who do not trust the authority', async () => {
    await assert.rejects(get({ ca: made.caPem, servername: 'example.com' }), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
    await assert.rejects(get({ servername: 'localhost' }), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' });
  });

  test('succeeds in a process that trusts it by NODE_EXTRA_CA_CERTS', async () => {
    const { port } = server.address() as AddressInfo;
    const { execFile } = await import('node:child_process');
    const script = `console.log((await fetch('https://localhost:${port}')).status)`;
    const options = { env: { ...process.env, NODE_EXTRA_CA_CERTS: made.caPath } };
    const output = await new Promise<string>((resolve, reject) => {
      execFile(process.execPath, ['--input-type=module', '--eval', script], options, (error, stdout) =>
        error ? reject(error) : resolve(stdout),
      );
    });
    assert.equal(output.trim(), '200');
  });
});

describe('openssl', withOpenssl, () => {
  const openssl = (...args: string[]): string => execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe' });

  test('verifies the chain by its strict rules', async () => {
    const folder = freshFolder();
    await certificatesIn(folder, clockAt(Date.now()), [
      'acs.example.test',
      '*.deep.example.test',
      '10.1.2.3',
      '2001:db8::5',
    ]);
    const strict = ['verify', '-x509_strict', '-purpose', 'sslserver', '-CAfile', join(folder, 'ca.pem')];
    const server = join(folder, 'server.pem');
    for (const host of ['localhost', 'acs.example.test', 'a.deep.example.test']) {
      assert.match(openssl(...strict, '-verify_hostname', host, server), /: OK/);
    }
    for (const address of ['127.0.0.1', '::1', '10.1.2.3', '2001:db8::5']) {
      assert.match(openssl(...strict, '-verify_ip', address, server), /: OK/);
    }
  });

  test('reads the limits of the authority as critical', async () => {
    const { caPem, caPath } = await certificatesIn(freshFolder(), today);
    const text = openssl('x509', '-noout', '-text', '-in', caPath).replace(/[ \t]+/g, ' ');
    assert.match(text, /Basic Constraints: critical\n CA:TRUE, pathlen:0\n/);
    assert.match(text, /Key Usage: critical\n Certificate Sign\n/);
    const constraints = text.match(/Name Constraints: critical\n Permitted:\n((?: (?:DNS|IP):.*\n)+)/)?.[1];
    assert.deepEqual(constraints?.trim().split(/\s+/), [
      'DNS:localhost',
      'DNS:host.docker.internal',
      'DNS:host.containers.internal',
      'IP:127.0.0.0/255.0.0.0',
      `IP:0:0:0:0:0:0:0:1/${Array(8).fill('FFFF').join(':')}`,
    ]);
    assert.ok(caPem.startsWith('-----BEGIN CERTIFICATE-----\n'));
  });
});
