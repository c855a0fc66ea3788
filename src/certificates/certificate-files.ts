import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { Clock } from '../lib/clock.ts';
import { SettingsError } from '../settings.ts';

/** A server certificate that somebody else made. */
export interface GivenCertificates {
  /** The server's certificate, then those of its chain as far as the file has them. */
  readonly certPem: string;
  readonly keyPem: string;
  /** Wall-clock time at which the server's own certificate ends. */
  readonly expiresAtMs: number;
  /** Worth a warning when it was not insisted on. Always false on Windows. */
  readonly keyReadableByOthers: boolean;
}

/**
 * Reads and checks the files of LINARITE_TLS_CERT and LINARITE_TLS_KEY.
 * @param options.insistOnPrivateKeyFile refuses a key file that group or others can read or write; on POSIX only
 * @throws SettingsError, one sentence that names the variable and says what is wrong with its file
 */
export function certificatesFromFiles(
  certPath: string,
  keyPath: string,
  clock: Clock,
  options: { readonly insistOnPrivateKeyFile: boolean },
): GivenCertificates {
  const { text: certPem } = read('LINARITE_TLS_CERT', certPath);
  const { text: keyPem, mode } = read('LINARITE_TLS_KEY', keyPath);
  const keyReadableByOthers = process.platform !== 'win32' && (mode & 0o077) !== 0;
  if (keyReadableByOthers && options.insistOnPrivateKeyFile) {
    throw wrong(
      'LINARITE_TLS_KEY',
      keyPath,
      `must be readable by its owner only (chmod 600); its mode is ${octal(mode)}`,
    );
  }

  const certificate = parseCertificate(certPem, certPath);
  requireBelongTogether(certificate, parseKey(keyPem, keyPath), certPem, certPath, keyPath);
  requireInForce(certificate, certPath, clock.now());
  requireGoodForTls(certPem, keyPem, certPath);
  return { certPem, keyPem, expiresAtMs: Date.parse(certificate.validTo), keyReadableByOthers };
}

type Variable = 'LINARITE_TLS_CERT' | 'LINARITE_TLS_KEY';

const wrong = (variable: Variable, path: string, sentence: string): SettingsError =>
  new SettingsError(`${variable} ('${path}') ${sentence}`);

const octal = (mode: number): string => (mode & 0o777).toString(8).padStart(3, '0');

/** Mode and content come from the same open file: what was checked is what is used. */
function read(variable: Variable, path: string): { text: string; mode: number } {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    throw wrong(variable, path, `cannot be read: ${reason(error)}`);
  }
  try {
    return { text: readFileSync(file, 'utf8'), mode: fstatSync(file).mode };
  } catch (error) {
    throw wrong(variable, path, `cannot be read: ${reason(error)}`);
  } finally {
    closeSync(file);
  }
}

const reason = (error: unknown): string => {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const known: Record<string, string> = {
    ENOENT: 'there is no such file',
    EACCES: 'permission denied',
    EISDIR: 'it is a folder',
  };
  return known[code] ?? (code || String(error));
};

function parseCertificate(pem: string, path: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw wrong('LINARITE_TLS_CERT', path, 'must hold a certificate in PEM form');
  }
}

function parseKey(pem: string, path: string): KeyObject {
  // Asking for a passphrase would need a setting that is as secret as the key itself.
  if (pem.includes('ENCRYPTED')) {
    throw wrong('LINARITE_TLS_KEY', path, 'must hold a key without a passphrase; `openssl pkey` removes it');
  }
  try {
    return createPrivateKey(pem);
  } catch {
    throw wrong('LINARITE_TLS_KEY', path, 'must hold a private key in PEM form');
  }
}

function requireBelongTogether(
  certificate: X509Certificate,
  key: KeyObject,
  certPem: string,
  certPath: string,
  keyPath: string,
): void {
  if (certificate.checkPrivateKey(key)) return;
  if (laterCertificates(certPem).some((later) => later.checkPrivateKey(key))) {
    throw wrong(
      'LINARITE_TLS_CERT',
      certPath,
      "must begin with the server's own certificate; its chain comes after it",
    );
  }
  throw wrong('LINARITE_TLS_KEY', keyPath, `is not the key of the certificate in '${certPath}'`);
}

function laterCertificates(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.slice(1).flatMap((block) => {
    try {
      return [new X509Certificate(block)];
    } catch {
      return [];
    }
  });
}

function requireInForce(certificate: X509Certificate, path: string, nowMs: number): void {
  const [fromMs, untilMs] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  if (nowMs < fromMs) throw wrong('LINARITE_TLS_CERT', path, `is not valid before ${new Date(fromMs).toISOString()}`);
  if (untilMs <= nowMs) throw wrong('LINARITE_TLS_CERT', path, `has expired on ${new Date(untilMs).toISOString()}`);
}

/** The last word is OpenSSL's, for instance about keys that are too short: better now than at the first handshake. */
function requireGoodForTls(certPem: string, keyPem: string, certPath: string): void {
  try {
    createSecureContext({ cert: certPem, key: keyPem });
  } catch (error) {
    const why = error instanceof Error && 'reason' in error ? error.reason : error;
    throw wrong('LINARITE_TLS_CERT', certPath, `cannot be used for TLS: ${why}`);
  }
}
