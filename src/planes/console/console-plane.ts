import type { Access } from '../../access.ts';
import type { Base } from '../../base.ts';
import type { ServerCertificates } from '../../certificates/server-certificates.ts';
import { serviceDialect } from '../../http/service-dialect.ts';
import type { RecentRequests } from '../../monitoring/recent-requests.ts';
import type { Plane } from '../plane.ts';
import { Start } from './start.ts';
import { startRoutes } from './start-routes.ts';

interface Shows {
  recent: RecentRequests;
  certificates: ServerCertificates;
}

/** What a person in front of the machine sees in a browser. */
export const consolePlane = (
  { origin }: Base,
  { resources, tokens, lifetimes }: Access,
  { recent, certificates }: Shows,
): Plane => ({
  name: 'console',
  dialect: serviceDialect,
  routes: startRoutes(new Start({ resources, tokens, recent, lifetimes, origin, caPath: () => certificates.caPath })),
});
