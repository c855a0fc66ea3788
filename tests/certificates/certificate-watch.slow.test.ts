import assert from 'node:assert/strict';
import { randomBytes, X509Certificate } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type tls from 'node:tls';
import { certificatesFromFiles } from '../../src/certificates/certificate-files.ts';
import { certificateNames } from '../../src/certificates/certificate-names.ts';
import { CertificateWatch } from '../../src/certificates/certificate-watch.ts';
import { makeCertificates } from '../../src/certificates/make-certificates.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { startChild } from '../harness/child.ts';
import { startProduction } from '../harness/production.ts';

const EVERY_MS = 20;

interface Pair {
  certPem: string;
  keyPem: string;
  /** Of the authority that signed it. */
  caPem: string;
}

const newPair = (): Promise<Pair> =>
  makeCertificates(certificateNames([]), { fromMs: Date.now() - 60_000, untilMs: Date.now() + 3_600_000 });
const serialOf = (pem: string): string => new X509Certificate(pem).serialNumber;

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const write = (path: string, text: string, mode = 0o600): void => {
  writeFileSync(path, text);
  chmodSync(path, mode);
};

function writePair(folder: string, { certPem, keyPem }: Pair): void {
  mkdirSync(folder, { recursive: true });
  write(join(folder, 'cert.pem'), certPem);
  write(join(folder, 'key.pem'), keyPem);
}

/** Lets a link lead elsewhere in one step. */
function pointAt(link: string, target: string): void {
  symlinkSync(target, `${link}.new`);
  renameSync(`${link}.new`, link);
}

/** How pairs are replaced: each puts the pair in place, so that `cert.pem` and `key.pem` of the folder lead to it. */
const HABITS: Readonly<Record<string, (folder: string, pair: Pair, version: number) => void>> = {
  'writing over the files': (folder, pair) => writePair(folder, pair),
  'renaming new files over them': (folder, pair) => {
    writePair(join(folder, 'new'), pair);
    for (const name of ['key.pem', 'cert.pem']) renameSync(join(folder, 'new', name), join(folder, name));
  },
  'switching a link for each file, as certbot does': (folder, pair, version) => {
    writePair(join(folder, `archive${version}`), pair);
    for (const name of ['cert.pem', 'key.pem']) pointAt(join(folder, name), join(`archive${version}`, name));
  },
  'switching a link to their folder, as Kubernetes does': (folder, pair, version) => {
    writePair(join(folder, `..${version}`), pair);
    pointAt(join(folder, '..data'), `..${version}`);
    if (version === 1)
      for (const name of ['cert.pem', 'key.pem']) symlinkSync(join('..data', name), join(folder, name));
  },
};

/** A watch over a folder, and what came of it. */
function watching(t: TestContext, folder: string, { certPem, keyPem }: Pair) {
  const paths = [join(folder, 'cert.pem'), join(folder, 'key.pem')] as const;
  const used: string[] = [];
  const said: string[] = [];
  const watch = new CertificateWatch(
    {
      read: () => certificatesFromFiles(...paths, systemClock, { insistOnPrivateKeyFile: true }),
      use: (pair) => used.push(serialOf(pair.certPem)),
      events: { notice: (level, message, facts) => said.push(`${level} ${message} ${JSON.stringify(facts)}`) },
    },
    { paths, inUse: { cert: certPem, key: keyPem }, everyMs: EVERY_MS },
  );
  t.after(() => watch.stop());
  const until = async (holds: () => boolean): Promise<void> => {
    for (let tries = 0; tries < 500 && !holds(); tries += 1) await sleep(EVERY_MS);
    assert.ok(holds(), `${used.length} used; ${said.join('\n')}`);
  };
  return { watch, used, said, until };
}

describe('a pair of certificate and key', () => {
  for (const [habit, put] of Object.entries(HABITS)) {
    test(`is read again after ${habit}`, async (t) => {
      const folder = folderOf(t);
      const pairs = [await newPair(), await newPair(), await newPair()] as const;
      put(folder, pairs[0], 1);
      const { used, said, until } = watching(t, folder, pairs[0]);
      await sleep(5 * EVERY_MS);
      assert.deepEqual([used, said], [[], []], 'nothing has changed');
      for (const [index, pair] of pairs.slice(1).entries()) {
        put(folder, pair, index + 2);
        await until(() => used.at(-1) === serialOf(pair.certPem));
      }
      assert.equal(used.length, 2);
      assert.match(said.at(-1) ?? '', /^info the certificate was replaced \{"expires":"\d{4}-/);
    });
  }

  test('that is broken is refused once, in words without a secret, and the next good one is taken', async (t) => {
    const folder = folderOf(t);
    const [first, second] = [await newPair(), await newPair()];
    writePair(folder, first);
    const { used, said, until } = watching(t, folder, first);
    const BROKEN: [name: string, text: string, mode: number, complaint: RegExp][] = [
      ['key.pem', second.keyPem, 0o600, /LINARITE_TLS_KEY .* is not the key of the certificate/],
      ['key.pem', 'nothing', 0o600, /LINARITE_TLS_KEY .* must hold a private key in PEM form/],
      ['cert.pem', second.certPem.slice(0, 100), 0o600, /LINARITE_TLS_CERT .* must hold a certificate in PEM form/],
      ['key.pem', second.keyPem, 0o644, /LINARITE_TLS_KEY .* must be readable by its owner only/],
    ];
    for (const [name, text, mode, complaint] of BROKEN) {
      writePair(folder, first);
      await sleep(5 * EVERY_MS);
      said.length = 0;
      write(join(folder, name), text, mode);
      await until(() => said.length > 0);
      await sleep(5 * EVERY_MS);
      assert.equal(said.length, 1, said.join('\n'));
      assert.match(said[0] ?? '', /^error the new certificate was refused, the former one stays in use /);
      assert.match(said[0] ?? '', complaint);
      assert.doesNotMatch(said[0] ?? '', /BEGIN|\.ts:/);
    }
    rmSync(join(folder, 'cert.pem'));
    await until(() => said.some((line) => line.includes('there is no such file')));
    assert.deepEqual(used, []);
    writePair(folder, second);
    await until(() => used[0] === serialOf(second.certPem));
  });

  test('is taken when only its permissions were wrong', async (t) => {
    const folder = folderOf(t);
    const [first, second] = [await newPair(), await newPair()];
    writePair(folder, first);
    const { used, said, until } = watching(t, folder, first);
    write(join(folder, 'key.pem'), second.keyPem, 0o644);
    write(join(folder, 'cert.pem'), second.certPem);
    await until(() => said.length > 0);
    chmodSync(join(folder, 'key.pem'), 0o600);
    await until(() => used[0] === serialOf(second.certPem));
  });
});

/** Asks, on a connection of its own or of an agent, and tells whose certificate was shown. @throws when the handshake fails */
function ask(port: number, ca: readonly string[], agent: https.Agent | false = false): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const sent = https.get({ host: 'localhost', port, path: '/-/health/live', agent, ca: [...ca] }, (response) => {
    const { serialNumber } = (response.socket as tls.TLSSocket).getPeerCertificate();
    response.resume().on('end', () => {
      if (response.statusCode === 200) resolve(serialNumber);
      else reject(new Error(`status ${response.statusCode}`));
    });
  });
  sent.on('error', reject);
  return promise;
}

test('renewals under load fail no handshake, and open connections go on', { timeout: 60_000 }, async (t) => {
  const folder = folderOf(t);
  const pairs = await Promise.all(Array.from({ length: 6 }, newPair));
  const [put] = [HABITS['switching a link for each file, as certbot does']];
  put?.(folder, pairs[0] as Pair, 1);
  const server = await startProduction(t, {
    LINARITE_TLS_CERT: join(folder, 'cert.pem'),
    LINARITE_TLS_KEY: join(folder, 'key.pem'),
  });
  const ca = pairs.map(({ caPem }) => caPem);
  const kept = new https.Agent({ keepAlive: true, maxSockets: 1, ca });
  t.after(() => kept.destroy());

  assert.equal(await ask(server.port, ca, kept), serialOf((pairs[0] as Pair).certPem));

  const seen = new Map<string, number>();
  const failures: unknown[] = [];
  let going = true;
  const clients = Array.from({ length: 8 }, async () => {
    while (going)
      await ask(server.port, ca).then(
        (serial) => seen.set(serial, (seen.get(serial) ?? 0) + 1),
        (cause) => failures.push(cause),
      );
  });
  for (const [index, pair] of pairs.entries()) {
    if (index > 0) {
      put?.(folder, pair, index + 1);
      server.server.rereadCertificates?.();
    }
    const serial = serialOf(pair.certPem);
    for (let tries = 0; tries < 500 && (seen.get(serial) ?? 0) < 10; tries += 1) await sleep(10);
    assert.ok((seen.get(serial) ?? 0) >= 10, `the certificate ${index} was never shown`);
  }
  // A broken pair changes nothing.
  write(join(folder, 'archive6', 'key.pem'), (pairs[0] as Pair).keyPem);
  server.server.rereadCertificates?.();
  const last = serialOf((pairs.at(-1) as Pair).certPem);
  for (let tries = 0; tries < 20; tries += 1) assert.equal(await ask(server.port, ca), last);
  going = false;
  await Promise.all(clients);
  assert.deepEqual(failures, []);
  assert.equal(seen.size, pairs.length);
  t.diagnostic(`${[...seen.values()].reduce((sum, count) => sum + count, 0)} handshakes, ${pairs.length - 1} renewals`);
  assert.ok(
    server.log.lines.some(({ message }) => /^the new certificate was refused, the former one stays/.test(message)),
  );
  assert.equal(await ask(server.port, ca, kept), serialOf((pairs[0] as Pair).certPem), 'the same connection as before');
});

test('a process reads its certificate again by itself, and at once on SIGHUP', {
  timeout: 60_000,
  skip: process.platform === 'win32' && 'no SIGHUP on Windows',
}, async (t) => {
  const folder = folderOf(t);
  const pairs = [await newPair(), await newPair(), await newPair()] as const;
  writePair(folder, pairs[0]);
  const child = await startChild(t, {
    env: { LINARITE_TLS_CERT: join(folder, 'cert.pem'), LINARITE_TLS_KEY: join(folder, 'key.pem') },
  });
  const ca = pairs.map(({ caPem }) => caPem);
  const shows = async (pair: Pair, withinMs: number): Promise<void> => {
    const end = performance.now() + withinMs;
    let shown = '';
    while (shown !== serialOf(pair.certPem) && performance.now() < end) {
      shown = await ask(child.port, ca);
      await sleep(50);
    }
    assert.equal(shown, serialOf(pair.certPem), readFileSync(join(child.folder, 'log'), 'utf8'));
  };
  await shows(pairs[0], 1000);
  writePair(folder, pairs[1]);
  process.kill(child.pid, 'SIGHUP');
  await shows(pairs[1], 1500); // the watch itself takes two seconds at least
  writePair(folder, pairs[2]);
  await shows(pairs[2], 20_000);
  assert.equal(await child.end('SIGTERM'), 0);
});

test('in production SIGHUP ends nothing, with certificate files or without', {
  timeout: 60_000,
  skip: process.platform === 'win32' && 'no SIGHUP on Windows',
}, async (t) => {
  const child = await startChild(t, {
    env: {
      LINARITE_MODE: 'production',
      LINARITE_PUBLIC_URL: 'https://acs.example.org:8443',
      LINARITE_KEK: randomBytes(32).toString('base64'),
    },
  });
  process.kill(child.pid, 'SIGHUP');
  await sleep(500);
  assert.equal(await child.end('SIGTERM'), 0);
});
