import { randomBytes, webcrypto } from 'node:crypto';
import type * as X509 from '@peculiar/x509';
import { type CertificateName, permittedNames } from './certificate-names.ts';

/** A fresh authority and the one server certificate it will ever have signed, all as PEM text. */
export interface MadeCertificates {
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
}

const CURVE = { name: 'ECDSA', namedCurve: 'P-256' };
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' };
const NAME_CONSTRAINTS = '2.5.29.30';

/**
 * Makes an authority, lets it sign one server certificate and forgets the authority's private key. That key cannot
 * be exported and is referred to by this call alone: nobody can take it from disk or be talked into signing with it.
 */
export async function makeCertificates(
  names: readonly CertificateName[],
  valid: { readonly fromMs: number; readonly untilMs: number },
): Promise<MadeCertificates> {
  const [x509, caKeys, serverKeys] = await Promise.all([
    loadX509(),
    webcrypto.subtle.generateKey(CURVE, false, ['sign', 'verify']),
    webcrypto.subtle.generateKey(CURVE, true, ['sign', 'verify']),
  ]);
  const span = { notBefore: new Date(valid.fromMs), notAfter: new Date(valid.untilMs) };
  // Authorities of the same name and different keys confuse clients that look issuers up by name.
  const authority = `CN=Linarite development CA ${randomBytes(4).toString('hex')}`;

  const ca = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: authority,
    issuer: authority,
    ...span,
    publicKey: caKeys.publicKey,
    signingKey: caKeys.privateKey,
    signingAlgorithm: SIGNATURE,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      new x509.Extension(NAME_CONSTRAINTS, true, permittedNames(names)),
      await x509.SubjectKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  });

  const server = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: 'CN=localhost',
    issuer: authority,
    ...span,
    publicKey: serverKeys.publicKey,
    signingKey: caKeys.privateKey,
    signingAlgorithm: SIGNATURE,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([...names]),
      await x509.SubjectKeyIdentifierExtension.create(serverKeys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  });

  return {
    caPem: `${ca.toString('pem')}\n`,
    certPem: `${server.toString('pem')}\n`,
    keyPem: await privateKeyPem(serverKeys.privateKey),
  };
}

/** Positive, not zero and within 20 bytes, as RFC 5280 wants it: the first byte lies between 0x40 and 0x7f. */
function randomSerial(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0);
  return bytes.toString('hex');
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  const body = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${body.replace(/.{64}(?!$)/g, '$&\n')}\n-----END PRIVATE KEY-----\n`;
}

/** Loads the library only here, since that takes a hundred milliseconds, which an ordinary restart has no use for. */
async function loadX509(): Promise<typeof X509> {
  await import('reflect-metadata'); // the container inside the library asks for it at its first line
  return import('@peculiar/x509');
}
