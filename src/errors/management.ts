import type { ErrorShape } from './shape.ts';

/** Resources, and the management API in the words of ARM. */
// biome-ignore format: a table
export const MANAGEMENT_ERRORS = {
  // Resources.
  ResourceNameInvalid:      { status: 400, code: 'InvalidResourceName', message: 'A resource name has 1 to 63 letters, digits, hyphens or underscores.', target: 'name', raisedBy: 'action' },
  ResourceNameTaken:        { status: 409, code: 'ResourceNameTaken', message: 'Another resource has that name.', target: 'name', raisedBy: 'action' },
  ResourceIdInvalid:        { status: 400, code: 'InvalidResourceId', message: 'A resource id must be a GUID.', target: 'resourceId', raisedBy: 'action' },
  ResourceIdTaken:          { status: 409, code: 'ResourceIdTaken', message: 'A resource with that id exists already, with another {what}.', target: 'resourceId', raisedBy: 'action' },
  ResourceIdDeleted:        { status: 409, code: 'ResourceIdDeleted', message: 'A resource with that id was deleted here. The id of a deleted resource is never used again in this store, so that none of its tokens becomes valid again. Import the resource into a new store.', target: 'resourceId', raisedBy: 'action' },
  AccessKeyInvalid:         { status: 400, code: 'InvalidAccessKey', message: '{field}: {why}.', raisedBy: 'action' },
  ResourceNotFound:         { status: 404, code: 'ResourceNotFound', message: 'The resource does not exist.', raisedBy: 'action' },

  // ARM.
  ServiceNotFound:          { status: 404, code: 'ResourceNotFound', message: "The Resource 'Microsoft.Communication/communicationServices/{name}' under resource group '{group}' was not found.", raisedBy: 'action' },
  ResourceGroupNotFound:    { status: 404, code: 'ResourceGroupNotFound', message: "Resource group '{group}' could not be found.", raisedBy: 'action' },
  ResourceGroupNameInvalid: { status: 400, code: 'InvalidParameter', message: 'A resource group name has 1 to 90 letters, digits, underscores, hyphens, periods and parentheses, and does not end with a period.', target: 'resourceGroupName', raisedBy: 'action' },
  SubscriptionIdInvalid:    { status: 400, code: 'InvalidSubscriptionId', message: "The provided subscription identifier '{id}' is malformed or invalid.", raisedBy: 'action' },
  LocationRequired:         { status: 400, code: 'LocationRequired', message: 'The location property is required for this definition.', target: 'location', raisedBy: 'action' },
  DataLocationRequired:     { status: 400, code: 'RequiredProperty', message: 'The property dataLocation is required.', target: 'properties.dataLocation', raisedBy: 'action' },
  DataLocationFixed:        { status: 409, code: 'PropertyChangeNotAllowed', message: 'The property dataLocation cannot be changed.', target: 'properties.dataLocation', raisedBy: 'action' },
  PlaceTaken:               { status: 409, code: 'NameNotAvailable', message: "The name '{name}' is taken.", target: 'name', raisedBy: 'action' },
  ProviderNotFound:         { status: 404, code: 'InvalidResourceNamespace', message: "The resource namespace '{namespace}' is invalid: there is Microsoft.Communication only.", raisedBy: 'action' },
  ResourceFilterInvalid:    { status: 400, code: 'InvalidFilterInQueryString', message: "Invalid $filter '{filter}': expected terms such as name eq 'x', joined by and, for {names}.", target: '$filter', raisedBy: 'action' },
  KeyTypeInvalid:           { status: 400, code: 'InvalidKeyType', message: 'The keyType must be Primary or Secondary.', target: 'keyType', raisedBy: 'action' },
} as const satisfies Record<string, ErrorShape>;
