import { ServiceError } from '../errors.ts';

/**
 * Every api-version of the identity plane that a client was ever built with, oldest first (identity-protocol, section 1).
 * Order is what counts: `2021-10-31-preview` comes before `2021-11-01`, and a version not listed is newer when its date is.
 */
export const API_VERSIONS = [
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
] as const;

export type ApiVersion = (typeof API_VERSIONS)[number];

export const NEWEST: ApiVersion = '2026-09-23';

/** The versions from one to another, both included. */
export const versions = (from: ApiVersion, to: ApiVersion = NEWEST): readonly ApiVersion[] =>
  API_VERSIONS.slice(API_VERSIONS.indexOf(from), API_VERSIONS.indexOf(to) + 1);

/** Whether a version came out before another. */
export const isBefore = (version: ApiVersion, other: ApiVersion): boolean =>
  API_VERSIONS.indexOf(version) < API_VERSIONS.indexOf(other);

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
 * @param supported the versions of the route, oldest first
 * @param uri the request's address, for the message
 * @throws ServiceError `ApiVersionMissing`, `ApiVersionAmbiguous` or `ApiVersionUnsupported`
 */
export function settleVersion(asked: readonly string[], supported: readonly ApiVersion[], uri: string): ServedVersion {
  const [version, ...others] = asked;
  if (version === undefined || version === '') throw new ServiceError('ApiVersionMissing');
  if (others.some((other) => other !== version)) {
    throw new ServiceError('ApiVersionAmbiguous', { values: { versions: asked.slice(0, 4).join(', ') } });
  }
  const known = supported.find((candidate) => candidate === version.toLowerCase());
  if (known) return { version: known, standsInFor: undefined };

  const date = DATED.exec(version.toLowerCase())?.[1];
  const isLater = date !== undefined && date > NEWEST.slice(0, 10) && isRealDate(date);
  // What the newest version no longer knows, a later one will not know either.
  if (isLater && supported.includes(NEWEST)) return { version: NEWEST, standsInFor: version };
  throw new ServiceError('ApiVersionUnsupported', { values: { uri, version: version.slice(0, 64) } });
}

/** `Date.parse` also takes the 31st of February. */
const isRealDate = (date: string): boolean => {
  const at = Date.parse(`${date}T00:00:00Z`);
  return !Number.isNaN(at) && new Date(at).toISOString().startsWith(date);
};
