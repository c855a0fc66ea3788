import type { ApiVersion } from '../http/versions.ts';

const IDENTITY_VERSION: ApiVersion = '2023-10-01';

/** Target of a request about identities. @param id one of them @param action such as `/:issueAccessToken` */
export const identityPath = (id?: string, action = ''): string =>
  `/identities${id === undefined ? '' : `/${encodeURIComponent(id)}`}${action}?api-version=${IDENTITY_VERSION}`;
