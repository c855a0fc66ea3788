import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { SettingsError } from '../settings.ts';

/** One name a certificate covers. Values are in the form certificates carry: ASCII, lower case, no brackets. */
export interface CertificateName {
  readonly type: 'dns' | 'ip';
  readonly value: string;
}

/** What every certificate of our own making covers: this machine, also as seen from a container on it. */
const LOOPBACK_NAMES: readonly CertificateName[] = [
  { type: 'dns', value: 'localhost' },
  { type: 'dns', value: '*.localhost' },
  { type: 'dns', value: 'host.docker.internal' },
  { type: 'dns', value: 'host.containers.internal' },
  { type: 'ip', value: '127.0.0.1' },
  { type: 'ip', value: '::1' },
];

// Underscores are no host names, but names of compose services carry them.
const HOST = /^(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/;

/**
 * The loopback names and the given ones, each once.
 * @param extraHosts host names (`*.` in front allowed) and addresses (IPv6 with or without brackets), without ports
 * @throws SettingsError for a host that no certificate can name
 */
export function certificateNames(extraHosts: readonly string[]): readonly CertificateName[] {
  const names = [...LOOPBACK_NAMES, ...extraHosts.map(certificateName)];
  return [...new Map(names.map((name) => [name.value, name])).values()];
}

function certificateName(host: string): CertificateName {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  const version = isIP(bare);
  if (version === 4) return { type: 'ip', value: bare };
  // A zone is a matter of this machine's interfaces and has no place in a certificate.
  if (version === 6 && !bare.includes('%')) return { type: 'ip', value: shortIpv6(bare) };

  const star = bare.startsWith('*.') ? '*.' : '';
  const value = star + domainToASCII(bare.slice(star.length)).toLowerCase();
  if (!HOST.test(value)) {
    throw new SettingsError(`LINARITE_ALLOWED_HOSTS must hold host names or addresses without ports, not '${host}'`);
  }
  return { type: 'dns', value };
}

/** Spells an address one way, so that the same address given twice is one name. */
const shortIpv6 = (address: string): string => new URL(`http://[${address}]/`).hostname.slice(1, -1);

/**
 * The value of a nameConstraints extension (RFC 5280, 4.2.1.10) that permits these names, what lies below the DNS
 * names, and all of 127.0.0.0/8. Kinds of names that a TLS client does not look at are not mentioned.
 *
 * OpenSSL and Go hold a trusted root to this. Java does so for intermediates only (measured with 17): there it is the
 * forgotten key of the authority alone that protects.
 */
export function permittedNames(names: readonly CertificateName[]): Buffer {
  const domains = new Set(names.filter(isDns).map((name) => name.value.replace(/^\*\./, '')));
  // A domain permits what lies below it: host.localhost needs no entry beside localhost.
  const widest = [...domains].filter((domain) => !parents(domain).some((parent) => domains.has(parent)));
  const addresses = names.filter((name) => !isDns(name) && !name.value.startsWith('127.'));
  const subtrees = [
    ...widest.map((domain) => der(DNS_NAME, Buffer.from(domain, 'ascii'))),
    der(IP_ADDRESS, Buffer.from([127, 0, 0, 0, 255, 0, 0, 0])),
    ...addresses.map((name) => der(IP_ADDRESS, withFullMask(addressBytes(name.value)))),
  ];
  return der(SEQUENCE, der(PERMITTED, ...subtrees.map((base) => der(SEQUENCE, base))));
}

const isDns = (name: CertificateName): boolean => name.type === 'dns';
const parents = (domain: string): string[] =>
  domain
    .split('.')
    .map((_, index, labels) => labels.slice(index + 1).join('.'))
    .filter(Boolean);
const withFullMask = (address: Buffer): Buffer => Buffer.concat([address, Buffer.alloc(address.length, 0xff)]);

/** The four or sixteen bytes of an address that {@link certificateName} has let through. */
function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail] = shortIpv6(address).split('::');
  const left = groups(head);
  const right = groups(tail ?? '');
  const zeros = Buffer.alloc(16 - left.length - right.length);
  return Buffer.concat([left, zeros, right]);
}

const groups = (text: string): Buffer =>
  Buffer.from(
    text
      .split(':')
      .filter(Boolean)
      .map((group) => group.padStart(4, '0'))
      .join(''),
    'hex',
  );

const SEQUENCE = 0x30;
const PERMITTED = 0xa0;
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;

/** One DER element: tag, length in its shortest form, content. */
function der(tag: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat(content);
  const length =
    body.length < 0x80
      ? [body.length]
      : body.length < 0x100
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}
