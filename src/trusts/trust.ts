import { isDeepStrictEqual } from 'node:util';
import type { ResourceId, TrustId } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import { echo } from '../lib/echo.ts';
import { isGuid } from '../lib/guid.ts';

/**
 * What a token of somebody else's may be presented for, and the audiences it must then be made for unless the trust names
 * others (identity-protocol, sections 2.4–2.6; management-cli-connector, section 6). `{endpoint}` stands for this server.
 */
export const AUDIENCES = {
  /** The data plane, in place of an access key. */
  service: ['https://communication.azure.com/', '1fd5118e-2576-4263-8130-9503064c837a'],
  /** The management plane, in place of the operator key. */
  management: ['https://management.azure.com/', 'https://management.core.windows.net/', '{endpoint}/'],
  /** A Teams user's token, presented by a service. */
  teamsUser: [
    'https://auth.msft.communication.azure.com',
    'https://auth.msft.communication.azure.us',
    '1fd5118e-2576-4263-8130-9503064c837a',
  ],
  /** A Teams user's token, presented by the user. */
  teamsExtension: [
    'https://auth.msft.communication.azure.com',
    'https://auth.msft.communication.azure.us',
    '1fd5118e-2576-4263-8130-9503064c837a',
  ],
  /** An Entra user's token, presented by the user. */
  entraUser: ['https://communication.azure.com/clients', '2a04943b-b6a7-4f65-8786-2bb6131b59f6'],
} as const satisfies Record<string, readonly string[]>;

/** What a token of somebody else's is presented for. */
export type Purpose = keyof typeof AUDIENCES;

export const PURPOSES = Object.keys(AUDIENCES) as Purpose[];

/** Where a token says what; the defaults are Entra's. A name beginning with `/` is a JSON Pointer (RFC 6901). */
export interface ClaimNames {
  /** Who: the object id of a user or a service principal. */
  readonly objectId: string;
  /** Which directory; null where tokens do not say, and the trust names the only one. */
  readonly tenantId: string | null;
  /** Which client application; null for Entra's two spellings, `azp` and `appid`. */
  readonly applicationId: string | null;
  /** Permissions that a user gave: a list, or text with blanks. An application's own token has none. */
  readonly scopes: string;
  readonly roles: string;
  readonly groups: string;
}

export const ENTRA_CLAIMS: ClaimNames = {
  objectId: 'oid',
  tenantId: 'tid',
  applicationId: null,
  scopes: 'scp',
  roles: 'roles',
  groups: 'groups',
};

/** Algorithms of signatures that a trust may allow; all of them asymmetric. */
export const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'EdDSA'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

/** Which tokens of which issuer are trusted: the whole of it configured, nothing taken from a token. */
export interface TrustDefinition {
  /** Exact values of `iss`, the first that fits decides. `{tenantId}` stands for each of the tenants, `{endpoint}` for this server. */
  readonly issuers: readonly string[];
  /** Address of the discovery document (OpenID Connect Discovery 1.0), the only place to learn of keys from. */
  readonly metadata: string;
  /** Address of the key set, where it is at another host than the metadata and is to be trusted all the same. */
  readonly keySet: string | undefined;
  /** GUIDs of directories, lower case. Empty: the issuers alone decide, and no user's token is exchanged. */
  readonly tenants: readonly string[];
  /** Exact values of `aud`, one trailing slash more or less; for purposes that are missing {@link AUDIENCES} hold. */
  readonly audiences: Readonly<Partial<Record<Purpose, readonly string[]>>>;
  /** Client applications whose users' tokens may be exchanged; `*` for any. Empty: none. */
  readonly applications: readonly string[];
  readonly algorithms: readonly Algorithm[];
  readonly claims: ClaimNames;
  /** Whether the provider may be at a private or loopback address; in dev mode plain HTTP may be used there, too. */
  readonly privateAddresses: boolean;
  /** PEM of a certificate authority to trust for the provider, in place of the system's. */
  readonly certificateAuthority: string | undefined;
}

export const RIGHTS = ['data', 'management', 'read'] as const;
/**
 * `data`: everything that an access key opens. `management`: everything that the operator key opens, as far as it concerns
 * the resource. `read`: what only reads, on both planes, keys not included.
 */
export type Right = (typeof RIGHTS)[number];

export const PRINCIPAL_KINDS = ['objectId', 'applicationId', 'role'] as const;
export type PrincipalKind = (typeof PRINCIPAL_KINDS)[number];

/** Who may do what on which resource. */
export interface Grant {
  readonly name: string;
  /** An application id means an application acting for itself, never a user who came through it. */
  readonly principal: { readonly kind: PrincipalKind; readonly value: string };
  readonly right: Right;
  /** `*`: every resource, and on the management plane also what belongs to none. */
  readonly resource: ResourceId | '*';
}

/** An issuer of tokens that somebody decided to trust. */
export interface Trust {
  /** A GUID that is never given again: tokens issued through the trust name it. */
  readonly id: TrustId;
  readonly name: string;
  readonly enabled: boolean;
  /** Raised by every change that takes something away. */
  readonly version: number;
  readonly definition: TrustDefinition;
  readonly grants: readonly Grant[];
  readonly createdAtMs: number;
  readonly changedAtMs: number;
}

/** A definition as somebody writes it down; what is missing has its default. */
export interface TrustWish {
  issuers: readonly string[];
  metadata?: string | null | undefined;
  keySet?: string | null | undefined;
  tenants?: readonly string[] | null | undefined;
  audiences?: Readonly<Partial<Record<Purpose, readonly string[] | null | undefined>>> | null | undefined;
  applications?: readonly string[] | null | undefined;
  algorithms?: readonly string[] | null | undefined;
  claims?: Readonly<Partial<Record<keyof ClaimNames, string | null | undefined>>> | null | undefined;
  privateAddresses?: boolean | null | undefined;
  certificateAuthority?: string | null | undefined;
}

const MOST_ENTRIES = 200;
const LONGEST = 1024;
const PLAIN_HTTP =
  ': http is allowed in dev mode, and for providers at private addresses with privateAddresses (--private-addresses)';

const invalid = (target: string, why: string): ServiceError =>
  new ServiceError('TrustInvalid', { target, values: { why: `${target}: ${why}` } });

/** Checks the name of a trust or of a grant. @throws ServiceError `TrustInvalid` */
export function trustName(text: string, target = 'name'): string {
  if (!/^[-\w]{1,63}$/.test(text)) throw invalid(target, 'a name has 1 to 63 letters, digits, hyphens or underscores');
  return text.toLowerCase();
}

/**
 * Checks a definition and fills in what is not said.
 * @param plainHttp whether a provider at a private address may be reached without TLS
 * @throws ServiceError `TrustInvalid` naming the member
 */
export function trustDefinition(wish: TrustWish, { plainHttp }: { plainHttp: boolean }): TrustDefinition {
  const privateAddresses = wish.privateAddresses ?? false;
  const insecure = plainHttp && privateAddresses;
  const issuers = exactEntries(wish.issuers, 'issuers');
  const [first] = issuers;
  if (first === undefined) throw invalid('issuers', 'name at least one');
  const tenants = entries(wish.tenants ?? [], 'tenants').map((tenant) => {
    if (!isGuid(tenant)) throw invalid('tenants', `${echo(tenant, LONGEST)} is not a GUID`);
    return tenant.toLowerCase();
  });
  if (tenants.length === 0 && issuers.some((issuer) => issuer.includes('{tenantId}')))
    throw invalid('tenants', 'an issuer contains {tenantId}: name the tenants');
  const claims = claimNames(wish.claims ?? {});
  if (claims.tenantId === null && tenants.length > 1)
    throw invalid('tenants', 'the tokens have no tenant claim, so at most one tenant can be named');
  const metadata = wish.metadata ?? `${first.replace(/\/$/, '')}/.well-known/openid-configuration`;
  return {
    issuers,
    metadata: address(metadata, 'metadata', insecure),
    keySet: wish.keySet ? address(wish.keySet, 'keySet', insecure) : undefined,
    tenants,
    audiences: audiences(wish.audiences ?? {}),
    applications: entries(wish.applications ?? [], 'applications'),
    algorithms: algorithms(wish.algorithms ?? ['RS256']),
    claims,
    privateAddresses,
    certificateAuthority: authority(wish.certificateAuthority),
  };
}

function entries(list: readonly string[], target: string): string[] {
  if (list.length > MOST_ENTRIES) throw invalid(target, `must have at most ${MOST_ENTRIES} entries`);
  const bad = list.find((entry) => !/^[\x21-\x7e]+$/.test(entry) || entry.length > LONGEST);
  if (bad !== undefined)
    throw invalid(target, `an entry must be text without spaces, of at most ${LONGEST} characters`);
  return [...new Set(list)];
}

/** Entries that are compared as they are: an entry `*` would mean more than that. */
function exactEntries(list: readonly string[], target: string): string[] {
  if (list.includes('*')) throw invalid(target, "'*' does not stand for any value here: name each value");
  return entries(list, target);
}

/** Placeholders are filled in later, with what is an address again. */
function address(text: string, target: string, plainHttp: boolean): string {
  const url = URL.parse(text.replace('{endpoint}', 'https://localhost').replace('{tenantId}', 'tenant'));
  const schemes = plainHttp ? ['https:', 'http:'] : ['https:'];
  if (!url || !schemes.includes(url.protocol) || url.username || url.password || url.hash || text.length > LONGEST)
    throw invalid(
      target,
      `${echo(text, LONGEST)} is not an https address${url?.protocol === 'http:' ? PLAIN_HTTP : ''}`,
    );
  return text;
}

function audiences(wish: NonNullable<TrustWish['audiences']>): TrustDefinition['audiences'] {
  const named = PURPOSES.flatMap((purpose) => {
    const list = wish[purpose];
    return list ? [[purpose, exactEntries(list, `audiences.${purpose}`)] as const] : [];
  });
  return Object.fromEntries(named);
}

function algorithms(list: readonly string[]): Algorithm[] {
  if (list.length === 0) throw invalid('algorithms', 'name at least one');
  return list.map((name) => {
    const known = ALGORITHMS.find((algorithm) => algorithm === name);
    if (!known) throw invalid('algorithms', `must be one of ${ALGORITHMS.join(', ')}`);
    return known;
  });
}

function claimNames(wish: NonNullable<TrustWish['claims']>): ClaimNames {
  const named = Object.entries(wish).filter(([, name]) => name !== undefined);
  const unknown = named.find(([claim]) => !Object.hasOwn(ENTRA_CLAIMS, claim));
  if (unknown) throw invalid('claims', `must be one of ${Object.keys(ENTRA_CLAIMS).join(', ')}`);
  const bad = named.find(([, name]) => name !== null && !/^[\x21-\x7e]{1,256}$/.test(name ?? ''));
  if (bad) throw invalid(`claims.${bad[0]}`, 'the name of a claim must be text without spaces');
  const nullable = ['tenantId', 'applicationId'];
  // Null says that there is no such claim, where that can be said; elsewhere it says nothing.
  const said = named.filter(([claim, name]) => name !== null || nullable.includes(claim));
  return { ...ENTRA_CLAIMS, ...Object.fromEntries(said) };
}

function authority(pem: string | null | undefined): string | undefined {
  if (pem === undefined || pem === null) return undefined;
  if (!/^\s*-----BEGIN CERTIFICATE-----[\s\S]{1,65536}-----END CERTIFICATE-----\s*$/.test(pem))
    throw invalid('certificateAuthority', 'must be the PEM text of a certificate');
  return pem;
}

/**
 * Checks a grant.
 * @throws ServiceError `TrustInvalid` naming the member
 */
export function grant(
  name: string,
  wish: { principal: { kind: string; value: string }; right: string; resource: ResourceId | '*' },
  { claims }: TrustDefinition,
): Grant {
  const kind = PRINCIPAL_KINDS.find((candidate) => candidate === wish.principal.kind);
  if (!kind) throw invalid('principal.kind', `must be one of ${PRINCIPAL_KINDS.join(', ')}`);
  // Elsewhere users' tokens look the same as an application's own.
  if (kind === 'applicationId' && claims.scopes !== ENTRA_CLAIMS.scopes)
    throw invalid(
      'principal.kind',
      'only tokens with Entra’s claims tell an application from its users: grant by objectId or role',
    );
  const right = RIGHTS.find((candidate) => candidate === wish.right);
  if (!right) throw invalid('right', `must be one of ${RIGHTS.join(', ')}`);
  const [value] = exactEntries([wish.principal.value], 'principal.value');
  return { name: trustName(name), principal: { kind, value: value ?? '' }, right, resource: wish.resource };
}

/** Whether entries of a list are gone. */
const loses = (former: readonly string[], next: readonly string[]): boolean =>
  !former.every((entry) => next.includes(entry));

/** Text in which a tenant's GUID could stand without being written as `{tenantId}`. */
const MAY_NAME_TENANT = /\{endpoint\}|-[\da-f]{4}-/i;

/**
 * Whether an issuer may come to stand for another tenant: the first entry that fits decides, so an entry or a tenant that is
 * new can come before one that fitted so far.
 */
function mayMoveIssuer(former: TrustDefinition, next: TrustDefinition): boolean {
  if (next.issuers.length < 2 || !next.issuers.some((issuer) => issuer.includes('{tenantId}'))) return false;
  if (former.issuers.some((issuer, index) => issuer !== next.issuers[index])) return true;
  return loses(next.tenants, former.tenants) && next.issuers.some((issuer) => MAY_NAME_TENANT.test(issuer));
}

const differs =
  (member: keyof TrustDefinition) =>
  (former: TrustDefinition, next: TrustDefinition): boolean =>
    !isDeepStrictEqual(former[member], next[member]);

type Comparison = (former: TrustDefinition, next: TrustDefinition) => boolean;

/** For every member, whether its change takes something back. Of all lists only `applications` gives `*` a meaning. */
const TAKES_BACK: { readonly [Member in keyof TrustDefinition]: Comparison } = {
  issuers: (former, next) => loses(former.issuers, next.issuers) || mayMoveIssuer(former, next),
  metadata: differs('metadata'),
  keySet: differs('keySet'),
  // No tenants means that any would do, except for the exchanges of users' tokens.
  tenants: (former, next) =>
    loses(former.tenants, next.tenants) || (former.tenants.length === 0 && next.tenants.length > 0),
  audiences: (former, next) =>
    PURPOSES.some((purpose) => loses(audiencesFor(former, purpose), audiencesFor(next, purpose))),
  applications: (former, next) => !next.applications.includes('*') && loses(former.applications, next.applications),
  algorithms: (former, next) => loses(former.algorithms, next.algorithms),
  claims: differs('claims'),
  privateAddresses: (former, next) => former.privateAddresses && !next.privateAddresses,
  certificateAuthority: differs('certificateAuthority'),
};

/**
 * Whether a changed definition takes back anything that the former one accepted. Where that is not certain the answer is yes:
 * it costs clients a new token, and nobody keeps a token that would no longer be given.
 */
export const narrows = (former: TrustDefinition, next: TrustDefinition): boolean =>
  Object.values(TAKES_BACK).some((takesBack) => takesBack(former, next));

/** The audiences that a token must be made for. */
export const audiencesFor = ({ audiences }: TrustDefinition, purpose: Purpose): readonly string[] =>
  audiences[purpose] ?? AUDIENCES[purpose];
