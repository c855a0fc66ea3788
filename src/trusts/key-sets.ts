import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { own } from '../lib/compact-jws.ts';
import { RecentMap } from '../lib/recent-map.ts';
import type { Events } from '../monitoring/events.ts';
import { CachedKeySet, type Finding } from './cached-key-set.ts';
import { fillIn, issuerIn } from './issuers.ts';
import { type ForeignKey, type KeySet, readKeySet } from './key-set.ts';
import { fetchJsonObject, type ProviderAccess, ProviderFailure } from './provider-fetch.ts';
import type { Trust, TrustDefinition } from './trust.ts';

interface Uses {
  clock: Clock;
  /** Origin of this server, without a slash at the end. */
  endpoint: string;
  events: Pick<Events, 'notice'>;
  /** The keys of an issuer inside this server, by its address as configured: nothing is fetched from `{endpoint}`. */
  ownKeys?: (metadataAddress: string) => { readonly keys: readonly object[] } | undefined;
}

interface Options {
  /** Whether providers that may be at private addresses may also be without TLS. */
  plainHttp: boolean;
  /** For one document. */
  timeoutMs?: number;
}

interface Entry {
  /** What was configured when it was made. */
  readonly source: string;
  readonly keySet: CachedKeySet;
}

/** What came of reading the keys at one address: how many there are that the trust can use, or why there are none. */
export type KeySetCheck = { readonly tenantId?: string } & ({ readonly keys: number } | { readonly failure: string });

const TIMEOUT_MS = 5000;
const NO_ISSUER = 'this server has no issuer at that address';
/** Tenants whose addresses are read when a trust is checked. */
const MOST_CHECKED = 10;
/** More than anybody uses at a time, remembered for certain; bounds what deleted trusts leave behind. */
const LEAST_REMEMBERED = 500;

/** The keys of outside issuers: read from the configured addresses and nowhere else, and remembered. */
export class KeySets {
  readonly #uses: Uses;
  readonly #options: Options;
  /** By trust and, where it is part of the address, by tenant. */
  readonly #entries = new RecentMap<Entry>(LEAST_REMEMBERED);

  constructor(uses: Uses, options: Options) {
    this.#uses = uses;
    this.#options = options;
  }

  /**
   * Finds a key of a trust by its exact id.
   * @param tenantId one of the trust's tenants; for addresses that differ by tenant
   * @returns undefined when the provider has no such key
   * @throws ServiceError `ProviderUnavailable` when the provider did not answer and the key is not known
   */
  async find(trust: Trust, tenantId: string | undefined, kid: string): Promise<ForeignKey | undefined> {
    const finding = await this.#finding(trust, tenantId, kid);
    if ('key' in finding) return finding.key;
    throw new ServiceError('ProviderUnavailable', { reason: 'provider.unavailable', detail: finding.failure });
  }

  /**
   * Reads the keys of a trust now, whether or not they are known, and remembers nothing: for somebody who has just
   * configured it.
   * @returns one entry, or one per tenant where the address differs by tenant, for the first of them
   */
  async check(trust: Trust): Promise<KeySetCheck[]> {
    const { metadata, keySet = metadata, tenants, algorithms } = trust.definition;
    if (keySet.startsWith('{endpoint}')) {
      const ours = this.#uses.ownKeys?.(metadata);
      return [ours ? { keys: readKeySet({ keys: ours.keys }, algorithms).size } : { failure: NO_ISSUER }];
    }
    const places = keySet.includes('{tenantId}') ? tenants.slice(0, MOST_CHECKED) : [undefined];
    return Promise.all(places.map((tenantId) => this.#check(trust.definition, tenantId)));
  }

  async #check(definition: TrustDefinition, tenantId: string | undefined): Promise<KeySetCheck> {
    const place = tenantId === undefined ? {} : { tenantId };
    try {
      return { ...place, keys: (await this.#read(definition, tenantId)).size };
    } catch (cause) {
      if (!(cause instanceof ProviderFailure)) throw cause;
      return { ...place, failure: cause.message };
    }
  }

  async #finding(trust: Trust, tenantId: string | undefined, kid: string): Promise<Finding> {
    const { metadata, keySet = metadata, algorithms } = trust.definition;
    if (keySet.startsWith('{endpoint}')) {
      const ours = this.#uses.ownKeys?.(metadata);
      if (!ours) return { failure: NO_ISSUER };
      return { key: readKeySet({ keys: ours.keys }, algorithms).get(kid) };
    }
    return this.#keySetOf(trust, keySet.includes('{tenantId}') ? tenantId : undefined).find(kid);
  }

  #keySetOf(trust: Trust, tenantId: string | undefined): CachedKeySet {
    const { id, name, definition } = trust;
    const { issuers, metadata, keySet, tenants, algorithms, privateAddresses, certificateAuthority } = definition;
    const source = JSON.stringify([
      [issuers, metadata, keySet, tenants, algorithms],
      [privateAddresses, certificateAuthority],
    ]);
    const place = `${id} ${tenantId}`;
    const known = this.#entries.get(place);
    if (known?.source === source) return known.keySet;
    const made = new CachedKeySet({
      clock: this.#uses.clock,
      read: () => this.#read(definition, tenantId),
      changed: (failure) => this.#tell(name, failure),
    });
    this.#entries.set(place, { source, keySet: made });
    return made;
  }

  #tell(trust: string, failure: string | undefined): void {
    const { events } = this.#uses;
    if (failure === undefined) events.notice('info', 'the keys of a trust can be read again', { trust });
    else events.notice('warn', 'the keys of a trust could not be read', { trust, failure });
  }

  async #read(definition: TrustDefinition, tenantId: string | undefined): Promise<KeySet> {
    const { privateAddresses, certificateAuthority, algorithms } = definition;
    const { plainHttp, timeoutMs = TIMEOUT_MS } = this.#options;
    const access = { plainHttp: plainHttp && privateAddresses, privateAddresses, certificateAuthority, timeoutMs };
    const values = { endpoint: this.#uses.endpoint, tenantId };
    const address = definition.keySet
      ? fillIn(definition.keySet, values)
      : await discoverKeySet(definition, values, access);
    return readKeySet(await fetchJsonObject(address, access), algorithms);
  }
}

/**
 * Learns from the discovery document (OpenID Connect Discovery 1.0, section 4) where the keys are: at the host of the
 * document, and of an issuer that the trust believes.
 * @throws ProviderFailure
 */
async function discoverKeySet(
  definition: TrustDefinition,
  values: { endpoint: string; tenantId: string | undefined },
  access: ProviderAccess,
): Promise<string> {
  const metadata = fillIn(definition.metadata, values);
  const document = await fetchJsonObject(metadata, access);
  if (!isIssuerOf(definition, own(document, 'issuer'), values)) {
    throw new ProviderFailure('the metadata names an issuer that the trust does not name');
  }
  const address = own(document, 'jwks_uri');
  if (typeof address !== 'string') throw new ProviderFailure('the metadata has no jwks_uri');
  if (URL.parse(address)?.origin !== URL.parse(metadata)?.origin) {
    throw new ProviderFailure('the metadata names a key set on another host: to accept it, set keySet to its address');
  }
  return address;
}

function isIssuerOf(
  definition: TrustDefinition,
  issuer: unknown,
  { endpoint, tenantId }: { endpoint: string; tenantId: string | undefined },
): boolean {
  if (typeof issuer !== 'string') return false;
  // Entra's document for all tenants has a placeholder of its own, `{tenantid}`.
  const pattern = issuer.replace(/\{tenantid\}/i, '{tenantId}');
  if (pattern.includes('{tenantId}')) return definition.issuers.includes(pattern);
  const found = issuerIn(definition, issuer, endpoint);
  return found !== undefined && (tenantId === undefined || found.tenantId === undefined || found.tenantId === tenantId);
}
