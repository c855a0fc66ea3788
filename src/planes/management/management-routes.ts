import { KEY_SLOTS } from '../../callers.ts';
import { ServiceError } from '../../errors.ts';
import { created, noContent, ok, type Reply, type Route, route } from '../../http/route.ts';
import {
  anything,
  keptText,
  listOf,
  maybe,
  object,
  optional,
  recordOf,
  type Shape,
  secret,
  text,
  truth,
} from '../../http/schema.ts';
import { resourceId } from '../../resources/resource.ts';
import { armTime, shownResource } from './arm-shapes.ts';
import {
  type CommunicationService,
  FIRST_SUBSCRIPTION,
  groupName,
  type Place,
  type ResourceGroup,
  serviceName,
  subscriptionId,
} from './communication-service.ts';
import type { CommunicationServices, ServiceWish } from './communication-services.ts';
import { MANAGEMENT_VERSIONS } from './versions.ts';

const SERVICES =
  '/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Communication/communicationServices';
const VERSIONS = MANAGEMENT_VERSIONS;

const Tags = recordOf(text());

/** Clients send `principalId` and `tenantId` back; both are ours to say. */
const Identity = object({
  type: text(),
  userAssignedIdentities: maybe(anything()),
});

const ServiceBody = object({
  location: optional(keptText()),
  tags: optional(Tags),
  identity: optional(Identity),
  properties: optional(
    object({
      dataLocation: optional(keptText()),
      disableLocalAuth: optional(truth()),
      linkedDomains: optional(listOf(text())),
      publicNetworkAccess: optional(text()),
    }),
  ),
});

/** What of a service is the same here as elsewhere, beside its GUID. */
const ImportBody = object({
  subscriptionId: text(),
  resourceGroup: text(),
  name: text(),
  location: keptText(),
  dataLocation: keptText(),
  tags: optional(Tags),
  primaryKey: optional(secret()),
  secondaryKey: optional(secret()),
});

const ServiceShape = object({
  id: text(),
  name: text(),
  type: text(),
  location: text(),
});
const ListShape = object({ value: listOf(object({})) });
const KeysShape = object({
  primaryKey: maybe(secret()),
  secondaryKey: maybe(secret()),
  primaryConnectionString: maybe(secret()),
  secondaryConnectionString: maybe(secret()),
});
const GroupBody = object({ location: keptText(), tags: optional(Tags) });
const GroupShape = object({ id: text(), name: text(), location: text() });

interface Deployment {
  /** Endpoint of connection strings, with its trailing slash. */
  endpoint: string;
  /** Stands for the directory of the operator. */
  tenantId: string;
}

type Named = { subscription: string; group: string; name: string };

const placeOf = ({ subscription, group }: { subscription: string; group: string }): Place => ({
  subscriptionId: subscriptionId(subscription),
  group: groupName(group),
});

const shownGroup = ({ subscriptionId, name, location, tags }: ResourceGroup) => ({
  id: `/subscriptions/${subscriptionId}/resourceGroups/${name}`,
  name,
  type: 'Microsoft.Resources/resourceGroups',
  location,
  tags,
  properties: { provisioningState: 'Succeeded' },
});

/** What of a body is a wish; `null` and absent are the same. */
function wishOf(body: Shape<typeof ServiceBody>): ServiceWish {
  const { dataLocation, disableLocalAuth, linkedDomains, publicNetworkAccess } = body.properties ?? {};
  const identity = body.identity ?? undefined;
  const others = Object.entries({ linkedDomains, publicNetworkAccess }).filter(
    ([, value]) => value !== undefined && value !== null,
  );
  return {
    location: body.location ?? undefined,
    dataLocation: dataLocation ?? undefined,
    tags: body.tags ?? undefined,
    identity: identity && {
      type: identity.type,
      ...(identity.userAssignedIdentities != null && { userAssignedIdentities: identity.userAssignedIdentities }),
    },
    disableLocalAuth: disableLocalAuth ?? undefined,
    properties: others.length > 0 ? Object.fromEntries(others) : undefined,
  };
}

/**
 * The management plane in the shape of ARM: management-cli-connector, section 1. Everything completes at once: the answers
 * say `Succeeded` and carry no header that would make a client poll.
 */
export function managementRoutes(services: CommunicationServices, { endpoint, tenantId }: Deployment): Route[] {
  const shown = (service: CommunicationService) => ({
    ...shownResource(service, tenantId),
    systemData: {
      createdAt: armTime(service.createdAtMs),
      createdByType: 'Application',
      lastModifiedAt: armTime(service.changedAtMs),
      lastModifiedByType: 'Application',
    },
    properties: {
      provisioningState: 'Succeeded',
      hostName: new URL(endpoint).hostname,
      dataLocation: service.dataLocation,
      immutableResourceId: service.resourceId,
      disableLocalAuth: services.keysDisabled(service),
      publicNetworkAccess: 'Enabled',
      ...service.properties,
    },
  });
  const connectionString = (key: string): string => `endpoint=${endpoint};accesskey=${key}`;
  const shownKey = {
    primary: (key: string) => ({ primaryKey: key, primaryConnectionString: connectionString(key) }),
    secondary: (key: string) => ({ secondaryKey: key, secondaryConnectionString: connectionString(key) }),
  };
  const shownSubscription = (id: string) => ({
    id: `/subscriptions/${id}`,
    subscriptionId: id,
    tenantId,
    displayName: 'Linarite',
    state: 'Enabled',
    authorizationSource: 'RoleBased',
    managedByTenants: [],
    subscriptionPolicies: {
      locationPlacementId: 'Public_2014-09-01',
      quotaId: 'PayAsYouGo_2014-09-01',
      spendingLimit: 'Off',
    },
  });
  const at = (path: Named) => [placeOf(path), serviceName(path.name)] as const;

  return [
    route({
      operation: 'listOperations',
      summary: 'Operations of the provider.',
      at: 'GET /providers/Microsoft.Communication/operations',
      versions: VERSIONS,
      access: { caller: 'operator', scoped: true },
      answers: { 200: ListShape },
      handle: () =>
        ok({
          value: PROVIDER_OPERATIONS.map(([name, operation]) => ({
            name,
            isDataAction: false,
            display: { provider: 'Microsoft.Communication', resource: 'CommunicationServices', operation },
          })),
        }),
    }),
    route({
      operation: 'checkNameAvailability',
      summary: 'Tells whether a name is available.',
      at: 'POST /subscriptions/{subscription}/providers/Microsoft.Communication/checkNameAvailability',
      versions: VERSIONS,
      access: { caller: 'operator' },
      reads: true,
      body: { schema: object({ name: text(), type: optional(text()) }), kind: 'json' },
      answers: {
        200: object({
          nameAvailable: truth(),
          reason: maybe(text()),
          message: maybe(text()),
        }),
      },
      async handle({ path, body }) {
        subscriptionId(path.subscription);
        if (!/^[-\w]{1,63}$/.test(body.name)) {
          return ok({
            nameAvailable: false,
            reason: 'Invalid',
            message: 'A name has 1 to 63 letters, digits, hyphens or underscores.',
          });
        }
        if (await services.isNameFree(body.name)) return ok({ nameAvailable: true });
        return ok({ nameAvailable: false, reason: 'AlreadyExists', message: 'The name is taken.' });
      },
    }),
    route({
      operation: 'listCommunicationServices',
      summary: 'Every communication service of a subscription.',
      at: 'GET /subscriptions/{subscription}/providers/Microsoft.Communication/communicationServices',
      versions: VERSIONS,
      access: { caller: 'operator', scoped: true },
      answers: { 200: ListShape },
      handle: async ({ caller, path }) =>
        ok({ value: (await services.list(caller, subscriptionId(path.subscription))).map(shown) }),
    }),
    route({
      operation: 'listCommunicationServicesInGroup',
      summary: 'Every communication service of a resource group.',
      at: `GET ${SERVICES}`,
      versions: VERSIONS,
      access: { caller: 'operator', scoped: true },
      answers: { 200: ListShape },
      handle: async ({ caller, path }) => ok({ value: (await services.listInGroup(caller, placeOf(path))).map(shown) }),
    }),
    route({
      operation: 'getCommunicationService',
      summary: 'Gives a communication service.',
      at: `GET ${SERVICES}/{name}`,
      versions: VERSIONS,
      access: { caller: 'operator', scoped: true },
      answers: { 200: ServiceShape },
      handle: async ({ caller, path }) => ok(shown(await services.get(caller, ...at(path)))),
    }),
    route({
      operation: 'putCommunicationService',
      summary: 'Creates a communication service with two access keys, or changes it.',
      at: `PUT ${SERVICES}/{name}`,
      versions: VERSIONS,
      access: { caller: 'operator', scoped: true },
      urgent: { bodyHas: 'disableLocalAuth', when: ({ body }) => body.properties?.disableLocalAuth === true },
      body: { schema: ServiceBody, kind: 'json' },
      answers: { 200: ServiceShape, 201: ServiceShape },
      async handle({ caller, path, body }) {
        const { service, fresh } = await services.put(caller, ...at(path), wishOf(body));
        return fresh ? created(shown(service)) : ok(shown(service));
      },
    }),
    route({
      operation: 'importCommunicationService',
      summary: 'Creates a communication service with the GUID and the access keys that it has in the original.',
      at: 'PUT /-/resources/{resource}',
      access: { caller: 'operator' },
      body: { schema: ImportBody, kind: 'json' },
      answers: { 200: ServiceShape, 201: ServiceShape },
      async handle({ caller, path, body }) {
        const { subscriptionId: subscription, resourceGroup: group, location, dataLocation, tags } = body;
        const { service, fresh } = await services.import(caller, resourceId(path.resource), {
          place: placeOf({ subscription, group }),
          name: serviceName(body.name),
          wish: { location, dataLocation, tags: tags ?? undefined },
          keys: { primary: body.primaryKey ?? undefined, secondary: body.secondaryKey ?? undefined },
        });
        return fresh ? created(shown(service)) : ok(shown(service));
      },
    }),
    route({
      operation: 'updateCommunicationService',
      summary: 'Changes the given properties of a communication service.',
      at: `PATCH ${SERVICES}/{name}`,
      versions: VERSIONS,
      access: { caller: 'operator', scoped: true },
      urgent: { bodyHas: 'disableLocalAuth', when: ({ body }) => body.properties?.disableLocalAuth === true },
      body: { schema: ServiceBody, kind: 'json' },
      answers: { 200: ServiceShape },
      handle: async ({ caller, path, body }) => ok(shown(await services.update(caller, ...at(path), wishOf(body)))),
    }),
    route({
      operation: 'deleteCommunicationService',
      summary: 'Deletes a communication service, its identities and its tokens.',
      at: `DELETE ${SERVICES}/{name}`,
      versions: VERSIONS,
      access: { caller: 'operator', scoped: true },
      urgent: true,
      answers: { 200: 'nothing', 204: 'nothing' },
      handle: async ({ caller, path }): Promise<Reply> =>
        (await services.delete(caller, ...at(path))) ? { status: 200 } : noContent(),
    }),
    route({
      operation: 'listKeys',
      summary: 'Both access keys and their connection strings.',
      at: `POST ${SERVICES}/{name}/listKeys`,
      versions: VERSIONS,
      access: { caller: 'operator', scoped: true },
      answers: { 200: KeysShape },
      async handle({ caller, path }) {
        const { primary, secondary } = await services.keys(caller, ...at(path));
        return ok({ ...shownKey.primary(primary), ...shownKey.secondary(secondary) });
      },
    }),
    route({
      operation: 'regenerateKey',
      summary: 'Replaces one access key; tokens issued under its former value end.',
      at: `POST ${SERVICES}/{name}/regenerateKey`,
      versions: VERSIONS,
      access: { caller: 'operator', scoped: true },
      urgent: true,
      body: { schema: object({ keyType: text() }), kind: 'json' },
      answers: { 200: KeysShape },
      async handle({ caller, path, body }) {
        const slot = KEY_SLOTS.find((candidate) => candidate === body.keyType.toLowerCase());
        if (!slot) throw new ServiceError('KeyTypeInvalid');
        return ok(shownKey[slot](await services.regenerateKey(caller, ...at(path), slot))); // the original gives the new one only
      },
    }),
    route({
      operation: 'linkNotificationHub',
      summary: 'Gives the answer of the original, but links nothing: this server has no push notifications.',
      at: `POST ${SERVICES}/{name}/linkNotificationHub`,
      versions: VERSIONS,
      access: { caller: 'operator', scoped: true },
      body: { schema: object({ resourceId: text() }), kind: 'json' },
      answers: { 200: object({ resourceId: text() }) },
      async handle({ caller, path, body }) {
        await services.get(caller, ...at(path));
        return ok({ resourceId: body.resourceId });
      },
    }),

    route({
      operation: 'listTenants',
      summary: 'Lists the only directory of operators.',
      at: 'GET /tenants',
      access: { caller: 'operator', scoped: true },
      answers: { 200: ListShape },
      handle: () =>
        ok({ value: [{ id: `/tenants/${tenantId}`, tenantId, displayName: 'Linarite', tenantCategory: 'Home' }] }),
    }),
    route({
      operation: 'listSubscriptions',
      summary: 'Lists the subscriptions that have resource groups, and the default one.',
      at: 'GET /subscriptions',
      access: { caller: 'operator', scoped: true },
      answers: { 200: ListShape },
      async handle() {
        const ids = new Set([FIRST_SUBSCRIPTION, ...(await services.subscriptions())]);
        return ok({ value: [...ids].map(shownSubscription) });
      },
    }),
    route({
      operation: 'getSubscription',
      summary: 'Gives a subscription. Every GUID is accepted.',
      at: 'GET /subscriptions/{subscription}',
      access: { caller: 'operator', scoped: true },
      answers: { 200: object({ subscriptionId: text() }) },
      handle: ({ path }) => ok(shownSubscription(subscriptionId(path.subscription))),
    }),
    route({
      operation: 'listResourceGroups',
      summary: 'Every resource group of a subscription.',
      at: 'GET /subscriptions/{subscription}/resourceGroups',
      access: { caller: 'operator' },
      answers: { 200: ListShape },
      handle: async ({ path }) =>
        ok({ value: (await services.groups(subscriptionId(path.subscription))).map(shownGroup) }),
    }),
    route({
      operation: 'getResourceGroup',
      summary: 'Gives a resource group.',
      at: 'GET /subscriptions/{subscription}/resourceGroups/{group}',
      access: { caller: 'operator' },
      answers: { 200: GroupShape },
      handle: async ({ path }) => ok(shownGroup(await services.getGroup(placeOf(path)))),
    }),
    route({
      operation: 'resourceGroupExists',
      summary: 'Tells whether a resource group exists.',
      at: 'HEAD /subscriptions/{subscription}/resourceGroups/{group}',
      access: { caller: 'operator' },
      answers: { 204: 'nothing' },
      async handle({ path }) {
        await services.getGroup(placeOf(path));
        return noContent();
      },
    }),
    route({
      operation: 'putResourceGroup',
      summary: 'Creates a resource group, or sets its tags.',
      at: 'PUT /subscriptions/{subscription}/resourceGroups/{group}',
      access: { caller: 'operator' },
      body: { schema: GroupBody, kind: 'json' },
      answers: { 200: GroupShape, 201: GroupShape },
      async handle({ path, body }) {
        const { group, fresh } = await services.putGroup(placeOf(path), body.location, body.tags ?? {});
        return fresh ? created(shownGroup(group)) : ok(shownGroup(group));
      },
    }),
    route({
      operation: 'deleteResourceGroup',
      summary: 'Deletes a resource group with every service in it, and ends their tokens.',
      at: 'DELETE /subscriptions/{subscription}/resourceGroups/{group}',
      access: { caller: 'operator' },
      urgent: true,
      answers: { 200: 'nothing', 204: 'nothing' },
      handle: async ({ path }): Promise<Reply> =>
        (await services.deleteGroup(placeOf(path))) ? { status: 200 } : noContent(),
    }),
  ];
}

const PROVIDER_OPERATIONS = [
  ['Microsoft.Communication/CommunicationServices/Read', 'Read a communication service'],
  ['Microsoft.Communication/CommunicationServices/Write', 'Create or update a communication service'],
  ['Microsoft.Communication/CommunicationServices/Delete', 'Delete a communication service'],
  ['Microsoft.Communication/CommunicationServices/ListKeys/action', 'Read the access keys'],
  ['Microsoft.Communication/CommunicationServices/RegenerateKey/action', 'Replace an access key'],
] as const;
