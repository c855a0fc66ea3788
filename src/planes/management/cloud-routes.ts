import type { OperatorCaller } from '../../callers.ts';
import { ServiceError } from '../../errors.ts';
import { ok, type Reply, type Route, route } from '../../http/route.ts';
import { listOf, object, text } from '../../http/schema.ts';
import { echo } from '../../lib/echo.ts';
import { armTime, NAMESPACE, shownResource } from './arm-shapes.ts';
import { type CommunicationService, groupName, subscriptionId } from './communication-service.ts';
import type { CommunicationServices } from './communication-services.ts';
import { fitsFilter, type ResourceFilter, resourceFilter } from './resource-filter.ts';
import { MANAGEMENT_VERSIONS } from './versions.ts';

interface Deployment {
  /** Address of this server, without a trailing slash. */
  origin: string;
  /** Stands for the directory of the operator. */
  tenantId: string;
}

const ListShape = object({ value: listOf(object({})) });
const ProviderShape = object({ id: text(), namespace: text(), registrationState: text() });
const RESOURCE_QUERY = {
  $filter: text({ description: "Terms such as `name eq 'shop'`, joined by `and`." }),
};

/** What general clients ask of ARM beside the services themselves: where the cloud is, its provider, and lists of resources. */
export function cloudRoutes(services: CommunicationServices, { origin, tenantId }: Deployment): Route[] {
  const requireNamespace = (namespace: string): void => {
    if (namespace.toLowerCase() !== NAMESPACE.toLowerCase())
      throw new ServiceError('ProviderNotFound', { values: { namespace: echo(namespace) } });
  };
  const shownProvider = (subscription: string) => ({
    id: `/subscriptions/${subscriptionId(subscription)}/providers/${NAMESPACE}`,
    namespace: NAMESPACE,
    registrationPolicy: 'RegistrationFree',
    registrationState: 'Registered',
    resourceTypes: [
      {
        resourceType: 'communicationServices',
        locations: ['global'],
        apiVersions: MANAGEMENT_VERSIONS.toReversed(), // clients take the first that is no preview
        capabilities: 'SupportsTags, SupportsLocation',
      },
    ],
  });
  const shown = (service: CommunicationService) => ({
    ...shownResource(service, tenantId),
    createdTime: armTime(service.createdAtMs),
    changedTime: armTime(service.changedAtMs),
    provisioningState: 'Succeeded',
  });
  const resources = async (
    caller: OperatorCaller,
    subscription: string,
    group: string | undefined,
    filter: ResourceFilter,
  ): Promise<Reply> => {
    const id = subscriptionId(subscription);
    const all =
      group === undefined
        ? await services.list(caller, id)
        : await services.listInGroup(caller, { subscriptionId: id, group: groupName(group) });
    return ok({ value: all.filter((service) => fitsFilter(service, filter)).map(shown) });
  };

  return [
    route({
      operation: 'getCloudMetadata',
      summary:
        'Gives the endpoints of this server in the form that `az cloud register` and Terraform’s `metadata_host` read.',
      at: 'GET /metadata/endpoints',
      access: { caller: 'nobody' },
      answers: { 200: object({ name: text(), resourceManager: text(), microsoftGraphResourceId: text() }) },
      handle: () =>
        ok({
          name: 'Linarite',
          resourceManager: `${origin}/`,
          authentication: {
            loginEndpoint: `${origin}/adfs`, // clients take this name as it is, and ask Microsoft about others
            audiences: [`${origin}/`],
            tenant: 'common',
            identityProvider: 'AAD',
          },
          // There is no Graph; HashiCorp's client insists on the first, and az of 2023 on the second.
          microsoftGraphResourceId: `${origin}/`,
          graphEndpoint: `${origin}/`,
          suffixes: {},
        }),
    }),
    route({
      operation: 'listProviders',
      summary: 'Lists the only resource provider.',
      at: 'GET /subscriptions/{subscription}/providers',
      access: { caller: 'operator', scoped: true },
      answers: { 200: ListShape },
      handle: ({ path }) => ok({ value: [shownProvider(path.subscription)] }),
    }),
    route({
      operation: 'getProvider',
      summary: 'Gives the resource provider, which is always registered.',
      at: 'GET /subscriptions/{subscription}/providers/{namespace}',
      access: { caller: 'operator', scoped: true },
      answers: { 200: ProviderShape },
      handle({ path }) {
        requireNamespace(path.namespace);
        return ok(shownProvider(path.subscription));
      },
    }),
    route({
      operation: 'registerProvider',
      summary: 'Answers that the resource provider is registered. It always is.',
      at: 'POST /subscriptions/{subscription}/providers/{namespace}/register',
      access: { caller: 'operator', scoped: true },
      reads: true,
      answers: { 200: ProviderShape },
      handle({ path }) {
        requireNamespace(path.namespace);
        return ok(shownProvider(path.subscription));
      },
    }),
    route({
      operation: 'listResources',
      summary: 'Every resource of a subscription.',
      at: 'GET /subscriptions/{subscription}/resources',
      access: { caller: 'operator', scoped: true },
      query: RESOURCE_QUERY,
      answers: { 200: ListShape },
      handle({ caller, path, query }) {
        const filter = resourceFilter(query.$filter);
        return resources(caller, path.subscription, filter.get('resourcegroup'), filter);
      },
    }),
    route({
      operation: 'listResourcesInGroup',
      summary: 'Every resource of a resource group.',
      at: 'GET /subscriptions/{subscription}/resourceGroups/{group}/resources',
      access: { caller: 'operator', scoped: true },
      query: RESOURCE_QUERY,
      answers: { 200: ListShape },
      handle: ({ caller, path, query }) =>
        resources(caller, path.subscription, path.group, resourceFilter(query.$filter)),
    }),
  ];
}
