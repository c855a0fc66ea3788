import type { Access } from '../../access.ts';
import { Backups } from '../../backup/backups.ts';
import { Recovery } from '../../backup/recovery.ts';
import type { Base } from '../../base.ts';
import { serviceDialect } from '../../http/service-dialect.ts';
import { OPEN_METRICS } from '../../monitoring/metrics.ts';
import type { Plane } from '../plane.ts';
import { backupRoutes } from './backup-routes.ts';
import { directoryRoutes } from './directory-routes.ts';
import type { Health } from './health.ts';
import { importRoutes } from './import-routes.ts';
import { introspectionRoutes } from './introspection-routes.ts';
import { keyRingRoutes } from './key-ring-routes.ts';
import { statusRoutes } from './status-routes.ts';
import { trustRoutes } from './trust-routes.ts';

interface Shows {
  health: Health;
  /** The certificate authority of our own making, in PEM. */
  caPem: () => string | undefined;
  /** Describes every plane, this one included (OpenAPI 3.1). */
  apiDocument: () => object;
  /** Whether metrics and that description are for everybody, or for the operator alone. */
  statusIsPublic: boolean;
}

/** What those who run the server ask of it, and what its own clients can ask beside the protocol: `/-/` and `/.well-known/`. */
export function operatorPlane(
  base: Base,
  access: Access,
  { health, caPem, apiDocument, statusIsPublic }: Shows,
): Plane {
  const { db, folder, clock, events, metrics, origin } = base;
  const { revocations, keys, identities, imports, tokens, trusts, keySets, keyRotation } = access;
  return {
    name: 'operator',
    dialect: serviceDialect,
    routes: [
      ...directoryRoutes(identities),
      ...importRoutes(imports),
      ...introspectionRoutes(tokens, keys, origin),
      ...trustRoutes(trusts, keySets),
      ...backupRoutes(new Backups({ db, folder, clock, events }), new Recovery({ revocations, keys, events })),
      ...keyRingRoutes(keyRotation),
      ...statusRoutes({
        health,
        metrics: () => ({ text: metrics.render(), contentType: OPEN_METRICS }),
        caPem,
        apiDocument,
        isPublic: statusIsPublic,
      }),
    ],
  };
}
