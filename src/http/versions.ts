import { ServiceError } from '../errors.ts';

/**
 * Every api-version that a client was ever built with, by plane, oldest first: what a plane lists last is its newest.
 * Identity: identity-protocol, section 1. Management: management-cli-connector, section 1.
 */
export const API_VERSIONS = {
  identity: [
    '2020-07-20-preview1',
    '2020-07-20-preview2',
    '2021-02-22-preview1',
    '2021-03-07',
    '2021-03-31-preview1',
    '2021-10-31-preview',
    '2021-11-01',
    '2022-06-01',
    '2022-09-01',
    '2022-10-01',
    '2023-08-01',
    '2023-10-01',
    '2025-03-02-preview',
    '2025-04-01-preview',
    '2025-06-30',
    '2026-07-22',
    '2026-09-23',
  ],
  management: [
    '2020-08-20-preview',
    '2020-08-20',
    '2021-10-01-preview',
    '2022-07-01-preview',
    '2023-03-01-preview',
    '2023-03-31',
    '2023-04-01-preview',
    '2023-04-01',
    '2023-06-01-preview',
    '2024-09-01-preview',
    '2025-05-01-preview',
    '2025-05-01',
    '2025-09-01',
    '2026-03-18',
  ],
} as const;

type IdentityVersion = (typeof API_VERSIONS.identity)[number];
export type ApiVersion = IdentityVersion | (typeof API_VERSIONS.management)[number];

/** The versions of the identity plane from one to another, both included. */
export function versions(from: IdentityVersion, to: IdentityVersion = '2026-09-23'): readonly ApiVersion[] {
  const { identity } = API_VERSIONS;
  return identity.slice(identity.indexOf(from), identity.indexOf(to) + 1);
}

/** Whether a version came out before another; a preview before the stable version of its date. */
export const isBefore = (version: ApiVersion, other: ApiVersion): boolean => ordered(version) < ordered(other);

const ordered = (version: string): string => (version.length === 10 ? `${version}~` : version);

/** What a request asked for and what it gets. */
export interface ServedVersion {
  readonly version: ApiVersion;
  /** The version asked for, when it is newer than all we know and the newest known one stands in for it. */
  readonly standsInFor: string | undefined;
}

const DATED = /^(\d{4}-\d{2}-\d{2})(-preview\d*)?$/;

/**
 * Settles the version of a request. An SDK update must never break a build: a version dated later than every known one is
 * served as the newest known one.
 * @param asked every `api-version` value of the query, in order
 * @param mayBeMissing whether the newest is served when none is asked for
 * @param supported the versions of the route, oldest first
 * @param uri the request's address, for the message
 * @throws ServiceError `ApiVersionMissing`, `ApiVersionAmbiguous` or `ApiVersionUnsupported`
 */
export function settleVersion(
  asked: readonly string[],
  supported: readonly ApiVersion[],
  uri: string,
  mayBeMissing = false,
): ServedVersion {
  const newestOfRoute = mayBeMissing ? supported.at(-1) : undefined;
  const [version = newestOfRoute, ...others] = asked;
  if (version === undefined || version === '') throw new ServiceError('ApiVersionMissing');
  if (others.some((other) => other !== version)) {
    throw new ServiceError('ApiVersionAmbiguous', { values: { versions: asked.slice(0, 4).join(', ') } });
  }
  const known = supported.find((candidate) => candidate === version.toLowerCase());
  if (known) return { version: known, standsInFor: undefined };

  const newest = newestBeside(supported);
  const date = DATED.exec(version.toLowerCase())?.[1];
  const isLater = date !== undefined && date > newest.slice(0, 10) && isRealDate(date);
  // What the newest version no longer knows, a later one will not know either.
  if (isLater && supported.includes(newest)) return { version: newest, standsInFor: version };
  throw new ServiceError('ApiVersionUnsupported', { values: { uri, version: version.slice(0, 64) } });
}

/** The newest version of the plane that a route belongs to. */
function newestBeside(supported: readonly ApiVersion[]): ApiVersion {
  const plane = Object.values(API_VERSIONS).find((list) => list.some((version) => version === supported[0]));
  return plane?.at(-1) ?? '2026-09-23';
}

/** `Date.parse` also takes the 31st of February. */
const isRealDate = (date: string): boolean => {
  const at = Date.parse(`${date}T00:00:00Z`);
  return !Number.isNaN(at) && new Date(at).toISOString().startsWith(date);
};
