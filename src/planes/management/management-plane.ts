import type { Access } from '../../access.ts';
import type { Base } from '../../base.ts';
import { HOME_TENANT } from '../../callers.ts';
import { serviceDialect } from '../../http/service-dialect.ts';
import type { Plane } from '../plane.ts';
import { cloudRoutes } from './cloud-routes.ts';
import { CommunicationServices } from './communication-services.ts';
import { managementRoutes } from './management-routes.ts';
import { ManagementStore } from './management-store.ts';
import { MANAGEMENT_VERSIONS } from './versions.ts';

export const communicationServices = ({ db, clock }: Base, { resources }: Access): CommunicationServices =>
  new CommunicationServices({ db, store: new ManagementStore(), resources, clock });

/** Resources in the shape of Azure Resource Manager (management-cli-connector, sections 1 and 2). */
export function managementPlane(base: Base, access: Access): Plane {
  const { origin } = base;
  const services = communicationServices(base, access);
  return {
    name: 'management',
    versions: MANAGEMENT_VERSIONS,
    dialect: serviceDialect,
    routes: [
      ...managementRoutes(services, { endpoint: `${origin}/`, tenantId: HOME_TENANT }),
      ...cloudRoutes(services, { origin, tenantId: HOME_TENANT }),
    ],
  };
}
