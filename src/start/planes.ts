import type { Access } from '../access.ts';
import type { Base } from '../base.ts';
import type { ServerCertificates } from '../certificates/server-certificates.ts';
import { apiDocument } from '../http/openapi.ts';
import { serviceDialect } from '../http/service-dialect.ts';
import { identityPlane } from '../planes/identity/identity-plane.ts';
import { managementPlane } from '../planes/management/management-plane.ts';
import type { Health } from '../planes/operator/health.ts';
import { operatorPlane } from '../planes/operator/operator-plane.ts';
import type { Plane } from '../planes/plane.ts';
import { readSettings, type Settings } from '../settings.ts';
import { devMode } from './dev-mode.ts';
import type { Mode } from './mode.ts';
import { productionMode } from './production-mode.ts';

export const modeOf = (settings: Settings): Mode =>
  settings.mode === 'dev' ? devMode(settings) : productionMode(settings);

/** Every plane of a server. A new plane is a line here. */
export function allPlanes(
  mode: Mode,
  base: Base,
  access: Access,
  { health, certificates }: { health: Health; certificates: ServerCertificates },
): Plane[] {
  const planes: Plane[] = [
    identityPlane(base, access),
    managementPlane(base, access),
    operatorPlane(base, access, {
      health,
      caPem: () => certificates.caPem,
      apiDocument: () => apiDocument(planes, serviceDialect),
      statusIsPublic: mode.statusIsPublic,
    }),
    ...mode.planes(base, access, certificates),
  ];
  return planes;
}

/** The planes of a mode for those who describe them. Nothing is behind their routes, so none of these can be called. */
export function describedPlanes(mode: Settings['mode']): Plane[] {
  const settings = readSettings({ LINARITE_MODE: mode });
  const nothing = {} as never;
  const base = { settings, origin: 'https://localhost' } as Base;
  return allPlanes(modeOf(settings), base, nothing, { health: nothing, certificates: nothing });
}
