import type { KeySlot, ResourceId } from '../../src/callers.ts';
import { DEV_RESOURCE } from '../../src/resources/resource.ts';
import type { TestServer } from './server.ts';

export const DEV_ID = DEV_RESOURCE.id;

/** An access key in base64, as it stands in a connection string. */
export function accessKeyOf({ server }: TestServer, slot: KeySlot, id: ResourceId = DEV_ID): string {
  const key = server.resources.get(id).keys.find((candidate) => candidate.slot === slot);
  if (!key) throw new Error(`resource ${id} has no ${slot} key`);
  return key.secret.export().toString('base64');
}

/** Makes a second resource in the same process. */
export async function givenResource(server: TestServer, name = 'neighbour'): Promise<{ id: ResourceId; key: string }> {
  const { id } = await server.server.resources.create({ name });
  return { id, key: accessKeyOf(server, 'primary', id) };
}

/** A well-formed id of a resource that nobody was ever given. */
export const unusedId = (resourceId: string = DEV_ID): string =>
  `8:acs:${resourceId}_00000019-5466-0f71-aefa-4e3a0d002539`;

/** An identity id as a path segment. */
export const inPath = (id: string): string => `/identities/${encodeURIComponent(id)}`;
