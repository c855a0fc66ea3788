import { type ApiVersion, isBefore } from '../../http/versions.ts';

/** Every api-version of the identity API, oldest first (identity-protocol, section 1). */
export const IDENTITY_VERSIONS = [
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

type IdentityVersion = (typeof IDENTITY_VERSIONS)[number];

/** The versions from one to another, both included. */
export const versions = (from: IdentityVersion, to: IdentityVersion = '2026-09-23'): readonly ApiVersion[] =>
  IDENTITY_VERSIONS.slice(IDENTITY_VERSIONS.indexOf(from), IDENTITY_VERSIONS.indexOf(to) + 1);

/** Whether a version came out before one of this API. */
export const precedes = (version: ApiVersion, other: IdentityVersion): boolean => isBefore(version, other);
