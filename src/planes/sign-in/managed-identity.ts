import { ServiceError } from '../../errors.ts';
import type { DevIssuer } from './dev-issuer.ts';
import { APPLICATIONS, MANAGED_IDENTITY_RESOURCE } from './directory.ts';
import { audienceOf } from './scopes.ts';

const IDENTITY = APPLICATIONS.managedIdentity;

/** The ways to say which identity is meant, for machines that have several. This one has one, so it need not be said. */
const NAMES: Readonly<Record<string, string>> = {
  client_id: IDENTITY.clientId,
  object_id: IDENTITY.objectId,
  principal_id: IDENTITY.objectId,
  mi_res_id: MANAGED_IDENTITY_RESOURCE,
  msi_res_id: MANAGED_IDENTITY_RESOURCE,
};

/**
 * A token for the managed identity, in the answer that all flavours of the endpoint share; numbers are texts there.
 * @throws ServiceError `ParameterNotOnce`, `ManagedIdentityUnknown`, `AudienceUnknown`
 */
export async function managedIdentityToken(
  issuer: DevIssuer,
  parameters: Readonly<Record<string, string | undefined>>,
  origin: string,
): Promise<object> {
  const { resource } = parameters;
  if (!resource) throw new ServiceError('ParameterNotOnce', { values: { name: 'resource' } });
  for (const [name, known] of Object.entries(NAMES)) {
    const asked = parameters[name];
    if (asked !== undefined && asked.toLowerCase() !== known.toLowerCase())
      throw new ServiceError('ManagedIdentityUnknown');
  }
  const { jwt, iat, exp } = await issuer.applicationToken(IDENTITY, audienceOf(resource, origin));
  return {
    access_token: jwt,
    client_id: IDENTITY.clientId,
    expires_in: String(exp - iat),
    expires_on: String(exp),
    not_before: String(iat),
    resource,
    token_type: 'Bearer',
  };
}
