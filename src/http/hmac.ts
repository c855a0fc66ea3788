import { createHmac, type KeyObject } from 'node:crypto';
import { KEY_SLOTS, type KeySlot, type ResourceId, type ServiceCaller } from '../callers.ts';
import { type Reason, ServiceError } from '../errors.ts';
import { fromBase64, sameBytes } from '../lib/bytes.ts';
import type { Clock } from '../lib/clock.ts';
import { parseHttpDate } from './http-date.ts';
import { KeySearch } from './key-search.ts';
import { clientAddress, isLocal } from './peer.ts';
import type { WireRequest } from './wire.ts';

/** Who may have signed: a resource with its keys. */
export interface Signatory {
  readonly resource: { readonly id: ResourceId };
  readonly keys: readonly SignatoryKey[];
}

interface SignatoryKey {
  readonly slot: KeySlot;
  readonly version: number;
  readonly secret: KeyObject;
  /** True for the published development key. */
  readonly wellKnown: boolean;
}

interface Match {
  readonly signatory: Signatory;
  readonly key: SignatoryKey;
}

interface Uses {
  /** The resources whose keys may have signed a request to a host name. */
  candidatesFor: (host: string) => Iterable<Signatory>;
  clock: Clock;
}

interface Options {
  windowMinutes: number;
  /** `loopback`: the published development key is taken from loopback peers only. */
  wellKnownKey: 'loopback' | 'everywhere';
  /** Proxies that say for whom they ask. */
  trustedProxies?: readonly string[];
  /** Values of Host that clients may have signed before a proxy wrote another one. */
  publicHosts?: readonly string[];
}

/** A request whose headers were signed with one of our keys. Its body has yet to be compared with what was signed. */
export interface SignedRequest {
  readonly caller: ServiceCaller;
  /** SHA-256 of the body that the caller signed. */
  readonly bodyHash: Buffer;
  /** True when the published key was taken from somewhere else than loopback, by explicit setting. */
  readonly exposed: boolean;
}

/** The string to sign, in its parts. */
interface Signed {
  method: string;
  target: string;
  date: string;
  host: string;
  hash: string;
}

const AUTHORIZATION = /^HMAC-SHA256 SignedHeaders=([A-Za-z0-9;-]{1,128})&Signature=([A-Za-z0-9+/]{43}=)$/;

/**
 * Verifies requests signed with an access key (identity-protocol, section 3.1). Everything is taken raw, as it came over
 * the wire: target, host and date. Nothing is decoded, normalised or rebuilt.
 */
export class SignatureVerifier {
  readonly #uses: Uses;
  readonly #options: Options;
  readonly #keySearch: KeySearch;

  constructor(uses: Uses, options: Options) {
    this.#uses = uses;
    this.#options = options;
    this.#keySearch = new KeySearch(uses.clock);
  }

  /**
   * @throws ServiceError `Denied` or `ClockSkewed`, the same to the caller for every cause but the clock; `TooManyRequests` when
   * the keys of many resources would have to be tried and wrong signatures have used up what may be spent on that
   */
  verify(request: WireRequest): SignedRequest {
    const { names, signature } = readAuthorization(only(request, 'authorization', 'authorization.missing'));
    const dateName = names.includes('x-ms-date') ? 'x-ms-date' : 'date';
    const parts: Signed = {
      method: request.method,
      target: request.target,
      date: only(request, dateName, 'date.missing'),
      host: only(request, 'host', 'signedHeaders.unexpected'),
      hash: only(request, 'x-ms-content-sha256', 'contentHash.missing'),
    };
    const bodyHash = fromBase64(parts.hash);
    if (bodyHash?.length !== 32) throw denied('contentHash.missing', 'not a SHA-256 in base64');

    const candidates = [...this.#uses.candidatesFor(hostName(parts.host))];
    const match = this.#find(candidates, parts, names, signature, request);
    if (!match) throw denied(...this.#differenceOf(candidates, parts, names, signature, request));
    // Only now: who holds no key learns nothing about our clock.
    this.#requireRecent(parts.date, dateName);
    const exposed = match.key.wellKnown && this.#requireLoopback(request);
    return {
      caller: {
        kind: 'service',
        resourceId: match.signatory.resource.id,
        credential: { kind: 'accessKey', slot: match.key.slot, version: match.key.version },
      },
      bodyHash,
      exposed,
    };
  }

  /** Tries the keys of few candidates; of many those first that are likely, since most have a host that is shared. */
  #find(
    candidates: readonly Signatory[],
    parts: Signed,
    names: readonly string[],
    signature: Buffer,
    request: WireRequest,
  ): Match | undefined {
    const variants = [...spellings(parts)];
    if (candidates.length <= FEW) return find(candidates, variants, names, signature);
    const search = this.#keySearch;
    const client = clientAddress(request, this.#options.trustedProxies ?? []);
    const likely = new Set<string | undefined>([...search.provenBy(client), resourceIn(parts.target)]);
    const isLikely = ({ resource }: Signatory): boolean => likely.has(resource.id);
    let match = find(candidates.filter(isLikely), variants, names, signature);
    if (!match) {
      search.requireAllowance(client);
      const others = candidates.filter((candidate) => !isLikely(candidate));
      match = find(others, variants, names, signature);
      if (!match) search.failed(client, others.length * KEY_SLOTS.length * variants.length);
    }
    if (match) search.proved(client, match.signatory.resource.id);
    return match;
  }

  /**
   * Finds out which part of a signature differed, for the person who will read the log: by what the client says it signed
   * (the Java SDK does), else by trying what proxies and frameworks commonly change. Nothing found here opens anything.
   */
  #differenceOf(
    candidates: readonly Signatory[],
    parts: Signed,
    names: readonly string[],
    signature: Buffer,
    request: WireRequest,
  ): [Reason, string?] {
    const signedText = request.header('x-ms-hmac-string-to-sign-base64')[0];
    const claimed = signedText === undefined ? undefined : fromBase64(signedText)?.toString('utf8');
    if (claimed !== undefined && claimed.length < 8192) {
      const some = candidates.slice(0, FEW);
      const ours = some.some(({ keys }) => keys.some((key) => fits(key.secret, claimed, signature)));
      if (!ours) return ['signature.key'];
      return compare(claimed, stringToSign(parts, names), names);
    }
    if (parts.target.length > MOST_DIAGNOSED.characters) return ['signature.key'];
    const some = candidates.slice(0, MOST_DIAGNOSED.candidates);
    for (const [reason, variants] of suspects(parts, request)) {
      if (find(some, variants, names, signature)) return [reason];
    }
    return [this.#isSignedForPublicHost(parts, names, signature) ? 'signature.host' : 'signature.key'];
  }

  /** Whether the signature fits one of our public hosts: a proxy in front has written another Host. */
  #isSignedForPublicHost(parts: Signed, names: readonly string[], signature: Buffer): boolean {
    const hosts = this.#options.publicHosts ?? [];
    return hosts.slice(0, MOST_DIAGNOSED.hosts).some((host) => {
      // The host may name the resource.
      const some = [...this.#uses.candidatesFor(hostName(host))].slice(0, MOST_DIAGNOSED.candidates);
      return find(some, [{ ...parts, host }], names, signature) !== undefined;
    });
  }

  #requireRecent(date: string, name: string): void {
    const { windowMinutes } = this.#options;
    const at = parseHttpDate(date);
    if (at === undefined) throw denied('date.malformed', `${name} is not an IMF-fixdate`);
    // The date has whole seconds, cut off: cut ours off as well, so that the window is the same on both sides.
    const offSeconds = at / 1000 - Math.floor(this.#uses.clock.now() / 1000);
    if (Math.abs(offSeconds) > windowMinutes * 60) {
      throw new ServiceError('ClockSkewed', {
        reason: 'date.skewed',
        detail: `${name} is ${offSeconds} s from the server clock`,
        values: { minutes: windowMinutes },
      });
    }
  }

  /** @returns true when the published key was taken although the peer is not on this machine */
  #requireLoopback(request: WireRequest): boolean {
    const near = isLocal(request);
    if (!near && this.#options.wellKnownKey === 'loopback') throw denied('accessKey.loopbackOnly');
    return !near;
  }
}

const denied = (reason: Reason, detail?: string): ServiceError =>
  new ServiceError('Denied', { reason, ...(detail !== undefined && { detail }) });

/** The value of a header that must be there once: with two, one side of a proxy might use the other one. */
function only(request: WireRequest, name: string, missing: Reason): string {
  const [value, ...more] = request.header(name);
  if (value === undefined || value === '') throw denied(missing, name);
  if (more.length > 0) throw denied('header.repeated', name);
  return value;
}

function readAuthorization(header: string): { names: readonly string[]; signature: Buffer } {
  if (!header.startsWith('HMAC-SHA256 ')) throw denied('authorization.scheme');
  const match = AUTHORIZATION.exec(header);
  const signature = match?.[2] === undefined ? undefined : fromBase64(match[2]);
  if (!match?.[1] || !signature) throw denied('authorization.malformed');
  const names = match[1].toLowerCase().split(';');
  const expected = [names.includes('x-ms-date') ? 'x-ms-date' : 'date', 'host', 'x-ms-content-sha256'];
  if (names.length !== 3 || !expected.every((name) => names.includes(name))) throw denied('signedHeaders.unexpected');
  return { names, signature };
}

/** A host without its port, which the first JavaScript clients send twice. */
export const hostName = (host: string): string => host.replace(/(?::\d{1,5}){1,2}$/, '');

/** The name that a request was sent to; empty where it names none. */
export const hostOf = (request: Pick<WireRequest, 'header'>): string => hostName(request.header('host')[0] ?? '');

/**
 * The closed list of what released SDKs sign: the request as it is (which covers the JavaScript clients that send and sign
 * a doubled port), the host without its port (Java), and the path without its leading slash (Python over plain http).
 * Exact strings all; a new one needs a security review.
 */
function* spellings(parts: Signed): Generator<Signed> {
  yield parts;
  const bare = hostName(parts.host);
  if (bare !== parts.host) yield { ...parts, host: bare };
  // One slash, the leading one: otherwise `//x` would pass for a signed `/x`.
  if (!parts.target.startsWith('//')) yield { ...parts, target: parts.target.slice(1) };
}

const stringToSign = ({ method, target, date, host, hash }: Signed, names: readonly string[]): string => {
  const values = names.map((name) => (name === 'host' ? host : name === 'x-ms-content-sha256' ? hash : date));
  return `${method}\n${target}\n${values.join(';')}`;
};

/** Tries every key of every candidate against each spelling; always all keys of a spelling, whichever fits. */
function find(
  candidates: readonly Signatory[],
  variants: Iterable<Signed>,
  names: readonly string[],
  signature: Buffer,
): Match | undefined {
  for (const variant of variants) {
    const text = stringToSign(variant, names);
    let found: Match | undefined;
    for (const signatory of candidates) {
      for (const key of signatory.keys) if (fits(key.secret, text, signature)) found = { signatory, key };
    }
    if (found) return found;
  }
  return undefined;
}

const fits = (secret: KeyObject, text: string, signature: Buffer): boolean =>
  sameBytes(createHmac('sha256', secret).update(text).digest(), signature);

/** Candidates whose keys are tried for everybody: no more than some hundred HMACs. */
const FEW = 16;
/** Unauthenticated requests cause it: they may cost some hundred signatures over a text of ordinary length. */
const MOST_DIAGNOSED = { candidates: 2, hosts: 12, characters: 2048 };

/** The resource of the identity that a target names, if it does. */
const resourceIn = (target: string): string | undefined =>
  /8(?::|%3A)acs(?::|%3A)([\da-f-]{36})/i.exec(target)?.[1]?.toLowerCase();

function compare(claimed: string, expected: string, names: readonly string[]): [Reason, string?] {
  const [method, target, values = ''] = claimed.split('\n');
  const [ourMethod, ourTarget, ourValues = ''] = expected.split('\n');
  if (method !== ourMethod) return ['signature.method'];
  if (target !== ourTarget) return ['signature.path'];
  const ours = ourValues.split(';');
  const index = values.split(';').findIndex((value, position) => value !== ours[position]);
  const name = names[index];
  if (name === 'host') return ['signature.host'];
  return [name === 'x-ms-content-sha256' ? 'signature.contentHash' : 'signature.date'];
}

const EMPTY_HASH = '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=';

function suspects(parts: Signed, request: WireRequest): [Reason, Signed[]][] {
  const path = parts.target.split('?')[0] ?? '';
  const targets = [
    path,
    decoded(parts.target),
    parts.target.replace(/^\/+/, '/'),
    parts.target.replace(/(?<!\/)\/+(?=\?|$)/, ''),
  ];
  const name = hostName(parts.host);
  const hosts = [
    `${name}:7417`,
    `${name}:443`,
    `${name}:80`,
    `${parts.host}/`,
    `${name}/`,
    'localhost',
    'localhost:7417',
    '127.0.0.1:7417',
  ];
  const forwarded = request.header('x-forwarded-host')[0];
  const dates = [...request.header('date'), ...request.header('x-ms-date')];
  return [
    ['signature.path', targets.map((target) => ({ ...parts, target }))],
    ['signature.host', [...hosts, ...(forwarded ? [forwarded] : [])].map((host) => ({ ...parts, host }))],
    ['signature.method', ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].map((method) => ({ ...parts, method }))],
    ['signature.date', dates.slice(0, 4).map((date) => ({ ...parts, date }))],
    ['signature.contentHash', [{ ...parts, hash: EMPTY_HASH }]],
  ];
}

function decoded(target: string): string {
  try {
    return decodeURIComponent(target);
  } catch {
    return target;
  }
}
