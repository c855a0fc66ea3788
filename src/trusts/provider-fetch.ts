import { lookup } from 'node:dns';
import type { IncomingMessage, RequestOptions } from 'node:http';
import https from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { type JsonObject, readJsonObject } from '../lib/compact-jws.ts';
import { http } from '../lib/node-http.ts';
import { VERSION } from '../version.ts';

/** What an identity provider may be reached by. */
export interface ProviderAccess {
  /** Whether `http:` will do. */
  readonly plainHttp: boolean;
  /** Whether the provider may be at an address that is not of the public internet. */
  readonly privateAddresses: boolean;
  /** PEM of the authority to trust, in place of those that Node trusts. */
  readonly certificateAuthority: string | undefined;
  /** For all of it: name, connection, headers and body. */
  readonly timeoutMs: number;
}

/** Why a provider gave nothing, in words that hold no secret. */
export class ProviderFailure extends Error {
  override readonly name = 'ProviderFailure';
}

interface TlsOptions {
  readonly rejectUnauthorized: true;
  readonly ca?: string;
}

const MOST_BYTES = 1024 * 1024;

/**
 * Reads a JSON object from an address that somebody configured (security-and-reliability, section 4.7): one GET with
 * nothing in it that proves anything, no redirects, no proxy, status 200 only, at most 1 MiB.
 * @throws ProviderFailure
 */
export async function fetchJsonObject(address: string, access: ProviderAccess): Promise<JsonObject> {
  const url = URL.parse(address);
  const secure = url?.protocol === 'https:';
  if (!url || !(secure || (access.plainHttp && url.protocol === 'http:'))) {
    throw new ProviderFailure('the address is not an https address');
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  // A literal address is connected to without a look-up.
  if (!access.privateAddresses && isIP(host) && isPrivate(host)) throw privateAddress();
  const options = {
    host,
    port: url.port || (secure ? 443 : 80),
    path: `${url.pathname}${url.search}`,
    headers: {
      Host: url.host,
      Accept: 'application/json',
      'Accept-Encoding': 'identity',
      'User-Agent': `linarite/${VERSION}`,
    },
    // A connection of its own: the proxies that the environment may name belong to the global agent.
    agent: false,
    ...(!access.privateAddresses && { lookup: publicLookup }),
  };
  const { certificateAuthority } = access;
  // Said out loud, since NODE_TLS_REJECT_UNAUTHORIZED could say otherwise.
  const tls: TlsOptions = { rejectUnauthorized: true, ...(certificateAuthority && { ca: certificateAuthority }) };
  const body = await get(options, secure ? tls : undefined, access.timeoutMs);
  return readJsonObject(body, 'answer', (detail) => new ProviderFailure(detail));
}

async function get(options: RequestOptions, tls: TlsOptions | undefined, timeoutMs: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const sent = begin(options, tls, resolve);
  // One limit from the beginning to the end: a body that trickles must not prolong it.
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    sent.destroy(new Error('late'));
  }, timeoutMs);
  sent.on('error', reject);
  sent.end();
  try {
    return await bodyOf(await promise);
  } catch (cause) {
    throw late ? new ProviderFailure(`no complete answer within ${timeoutMs / 1000} s`) : failure(cause);
  } finally {
    clearTimeout(timer);
    sent.destroy();
  }
}

function begin(options: RequestOptions, tls: TlsOptions | undefined, answer: (response: IncomingMessage) => void) {
  try {
    return tls ? https.request({ ...options, ...tls }, answer) : http.request(options, answer);
  } catch (cause) {
    throw failure(cause); // a certificate authority that cannot be read
  }
}

async function bodyOf(response: IncomingMessage): Promise<Buffer> {
  const { statusCode = 0 } = response;
  if (statusCode >= 300 && statusCode < 400) throw new ProviderFailure(`it redirects (${statusCode})`);
  if (statusCode !== 200) throw new ProviderFailure(`it answers ${statusCode}`);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    size += chunk.length;
    if (size > MOST_BYTES) throw new ProviderFailure(`its answer is larger than ${MOST_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const privateAddress = () =>
  new ProviderFailure('its address is not on the public internet, and the trust does not have privateAddresses');

function failure(cause: unknown): ProviderFailure {
  if (cause instanceof ProviderFailure) return cause;
  const { code = 'failed' } = cause as { code?: string };
  return new ProviderFailure(`the connection failed (${code})`, { cause });
}

/** Looks a name up and insists on public addresses. The connection is made to what this answers, so no later answer counts. */
const publicLookup: LookupFunction = (hostname, options, done) => {
  lookup(hostname, options, (error, found, family) => {
    const addresses = Array.isArray(found) ? found.map(({ address }) => address) : [found];
    if (!error && addresses.some(isPrivate)) done(privateAddress(), '', 0);
    else done(error, found, family);
  });
};

/** Whether an address is not of the public internet (IANA special-purpose registries; RFC 6890 and its updates). */
export const isPrivate = (address: string): boolean =>
  isIP(address) === 4 ? PRIVATE_V4.check(address, 'ipv4') : PRIVATE_V6.check(address, 'ipv6');

const PRIVATE_V4 = new BlockList();
for (const [network, bits] of [
  ['0.0.0.0', 8], // this network, and unspecified
  ['10.0.0.0', 8],
  ['100.64.0.0', 10], // between a carrier and its customers
  ['127.0.0.0', 8],
  ['169.254.0.0', 16], // link-local: cloud metadata
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3], // multicast, reserved, broadcast
] as const) {
  PRIVATE_V4.addSubnet(network, bits, 'ipv4');
}

/** Public are those of 2000::/3 only; what embeds an IPv4 address (mapped, NAT64, 6to4, Teredo) could mean a private one. */
const PRIVATE_V6 = new BlockList();
for (const [network, bits] of [
  ['::', 3],
  ['4000::', 2],
  ['8000::', 1],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const) {
  PRIVATE_V6.addSubnet(network, bits, 'ipv6');
}
