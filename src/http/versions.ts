import { ServiceError } from '../errors.ts';

/** A date, and `-preview` with or without a number where it was not stable. */
export type ApiVersion = string;

/** Whether a version came out before another; a preview before the stable version of its date. */
export const isBefore = (version: ApiVersion, other: ApiVersion): boolean => ordered(version) < ordered(other);

const ordered = (version: string): string => (version.length === 10 ? `${version}~` : version);

/** What a request asked for and what it gets. */
export interface ServedVersion {
  readonly version: ApiVersion;
  /** The version asked for, when it is newer than all we know and the newest known one stands in for it. */
  readonly standsInFor: string | undefined;
}

interface Known {
  /** The versions of the route, oldest first. */
  readonly supported: readonly ApiVersion[];
  /** The newest version of the API that the route belongs to. */
  readonly newest: ApiVersion | undefined;
  /** Whether the newest of the route is served when none is asked for. */
  readonly mayBeMissing?: boolean | undefined;
}

const DATED = /^(\d{4}-\d{2}-\d{2})(-preview\d*)?$/;

/**
 * Settles the version of a request. An SDK update must never break a build: a version dated later than every known one of
 * the API is served as the newest known one.
 * @param asked every `api-version` value of the query, in order
 * @param uri the request's address, for the message
 * @throws ServiceError `ApiVersionMissing`, `ApiVersionAmbiguous` or `ApiVersionUnsupported`
 */
export function settleVersion(
  asked: readonly string[],
  { supported, newest = supported.at(-1) ?? '', mayBeMissing = false }: Known,
  uri: string,
): ServedVersion {
  const newestOfRoute = mayBeMissing ? supported.at(-1) : undefined;
  const [version = newestOfRoute, ...others] = asked;
  if (version === undefined || version === '') throw new ServiceError('ApiVersionMissing');
  if (others.some((other) => other !== version)) {
    throw new ServiceError('ApiVersionAmbiguous', { values: { versions: asked.slice(0, 4).join(', ') } });
  }
  const known = supported.find((candidate) => candidate === version.toLowerCase());
  if (known) return { version: known, standsInFor: undefined };

  const date = DATED.exec(version.toLowerCase())?.[1];
  const isLater = date !== undefined && date > newest.slice(0, 10) && isRealDate(date);
  // What the newest version no longer knows, a later one will not know either.
  if (isLater && supported.includes(newest)) return { version: newest, standsInFor: version };
  throw new ServiceError('ApiVersionUnsupported', { values: { uri, version: version.slice(0, 64) } });
}

/** `Date.parse` also takes the 31st of February. */
const isRealDate = (date: string): boolean => {
  const at = Date.parse(`${date}T00:00:00Z`);
  return !Number.isNaN(at) && new Date(at).toISOString().startsWith(date);
};
