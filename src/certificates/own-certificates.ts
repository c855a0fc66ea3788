import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import { type WholeFile, writeWhole } from '../lib/whole-file.ts';
import { SettingsError } from '../settings.ts';
import { type CertificateName, certificateNames } from './certificate-names.ts';

const DAY_MS = 86_400_000;
// For clients whose clock is behind ours, such as a container that was asleep.
const VALID_BEFORE_MS = DAY_MS;
// With the day before it 397, the most that browsers take.
const VALID_AFTER_MS = 396 * DAY_MS;
const RENEW_BEFORE_END_MS = 30 * DAY_MS;

const CA_FILE = 'ca.pem';
const CERTIFICATE_FILE = 'server.pem';
const KEY_FILE = 'server.key';

/** What a server of dev mode shows to clients, and what those have to trust. */
export interface OwnCertificates {
  /** The certificate authority, for `/-/ca.pem`. */
  readonly caPem: string;
  /** Absolute path of a file with {@link caPem}. */
  readonly caPath: string;
  readonly certPem: string;
  /** The server's private key in PKCS #8. */
  readonly keyPem: string;
  /** True when this call made them. */
  readonly madeNow: boolean;
  /** Why an earlier authority was replaced, which clients may still trust; undefined when there was none, or it stays. */
  readonly replacedBecause: string | undefined;
  /** From this wall-clock time on, calling again makes new ones. */
  readonly renewAtMs: number;
  /** Removes what lies outside the data folder. Synchronous, for exit handlers; may be called twice. */
  dispose(): void;
}

interface Pems {
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
}

/**
 * The authority and server certificate kept in a folder as `ca.pem`, `server.pem` and `server.key`. Makes all three
 * when they are missing, damaged, of different origin, about to expire, or without one of the names. The
 * private key of the authority is never written. One process per folder at a time.
 * @param folder made if need be; undefined keeps nothing but `ca.pem` in a private temporary folder until `dispose`
 * @param extraHosts names to certify beside the loopback names, as in LINARITE_ALLOWED_HOSTS
 * @throws SettingsError for a folder that cannot be written to or a host that cannot be certified
 */
export async function certificatesIn(
  folder: string | undefined,
  clock: Clock,
  extraHosts: readonly string[] = [],
): Promise<OwnCertificates> {
  const names = certificateNames(extraHosts);
  if (folder === undefined) return inTemporaryFolder(names, clock);

  const path = resolve(folder);
  const former = existsSync(join(path, CA_FILE));
  const kept = readKept(path, names, clock);
  if (typeof kept !== 'string') {
    closeToOthers(join(path, KEY_FILE));
    return described(kept, path, { madeNow: false });
  }
  const made = await make(names, clock);
  await keep(path, made);
  return described(made, path, { madeNow: true, replacedBecause: former ? kept : undefined });
}

function described(
  pems: Pems,
  folder: string,
  { madeNow, replacedBecause }: { madeNow: boolean; replacedBecause?: string | undefined },
  dispose = (): void => {},
): OwnCertificates {
  const renewAtMs = endMs(new X509Certificate(pems.certPem)) - RENEW_BEFORE_END_MS;
  return { ...pems, caPath: join(folder, CA_FILE), madeNow, replacedBecause, renewAtMs, dispose };
}

async function make(names: readonly CertificateName[], clock: Clock): Promise<Pems> {
  const { makeCertificates } = await import('./make-certificates.ts');
  const now = clock.now();
  return makeCertificates(names, { fromMs: now - VALID_BEFORE_MS, untilMs: now + VALID_AFTER_MS });
}

/** The authority comes last: when a client sees it, the rest is in place. */
async function keep(folder: string, pems: Pems): Promise<void> {
  const files: WholeFile[] = [
    { name: KEY_FILE, text: pems.keyPem, mode: 0o600 },
    { name: CERTIFICATE_FILE, text: pems.certPem, mode: 0o644 },
    { name: CA_FILE, text: pems.caPem, mode: 0o644 },
  ];
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    await writeWhole(folder, files);
  } catch (cause) {
    throw unwritable(folder, cause);
  }
}

const unwritable = (folder: string, cause: unknown): SettingsError =>
  Object.assign(new SettingsError(`LINARITE_DATA must be a folder that can be written to, not '${folder}': ${cause}`), {
    cause,
  });

async function inTemporaryFolder(names: readonly CertificateName[], clock: Clock): Promise<OwnCertificates> {
  const made = await make(names, clock);
  const folder = mkdtempSync(join(tmpdir(), 'linarite-'));
  const dispose = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    await writeWhole(folder, [{ name: CA_FILE, text: made.caPem, mode: 0o644 }]);
  } catch (error) {
    dispose();
    throw error;
  }
  return described(made, folder, { madeNow: true }, dispose);
}

/** The files, if they are what a server can work with until the next renewal; else why they are not. */
function readKept(folder: string, names: readonly CertificateName[], clock: Clock): Pems | string {
  try {
    const pems = {
      caPem: readFileSync(join(folder, CA_FILE), 'utf8'),
      certPem: readFileSync(join(folder, CERTIFICATE_FILE), 'utf8'),
      keyPem: readFileSync(join(folder, KEY_FILE), 'utf8'),
    };
    return complaintAbout(pems, names, clock.now()) ?? pems;
  } catch {
    // Whether a file is missing, unreadable or no PEM: the answer is the same, and cheap.
    return DAMAGED;
  }
}

const DAMAGED = 'a file is missing or damaged';

/** @throws when one of the texts is no certificate or key */
function complaintAbout(pems: Pems, names: readonly CertificateName[], nowMs: number): string | undefined {
  const ca = new X509Certificate(pems.caPem);
  const server = new X509Certificate(pems.certPem);
  const belongTogether =
    ca.ca &&
    ca.verify(ca.publicKey) &&
    server.checkIssued(ca) &&
    server.verify(ca.publicKey) &&
    server.checkPrivateKey(createPrivateKey(pems.keyPem));
  if (!belongTogether) return DAMAGED;
  if (![ca, server].every((one) => lasting(one, nowMs))) return 'the former one was about to expire';
  const missing = names.filter((name) => !coversName(server, name)).map(({ value }) => value);
  // The key of the authority was destroyed, so nothing can be added to what it says.
  return missing.length === 0 ? undefined : `the former one does not cover ${missing.join(', ')}`;
}

const endMs = (certificate: X509Certificate): number => Date.parse(certificate.validTo);

const lasting = (certificate: X509Certificate, nowMs: number): boolean =>
  Date.parse(certificate.validFrom) <= nowMs && nowMs < endMs(certificate) - RENEW_BEFORE_END_MS;

function coversName(certificate: X509Certificate, { type, value }: CertificateName): boolean {
  if (type === 'ip') return certificate.checkIP(value) !== undefined;
  // Compared as text, since checkHost takes no pattern such as *.localhost.
  return (certificate.subjectAltName ?? '').split(', ').includes(`DNS:${value}`);
}

/** A copied or restored data folder may have lost the permissions; file systems without any stay as they are. */
function closeToOthers(keyPath: string): void {
  if (process.platform === 'win32' || (statSync(keyPath).mode & 0o077) === 0) return;
  try {
    chmodSync(keyPath, 0o600);
  } catch {
    // Not our file or no such thing here. A certificate for loopback names is not worth refusing to start.
  }
}
