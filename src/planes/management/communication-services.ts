import { KEY_SLOTS, type KeySlot, type OperatorCaller, type ResourceId } from '../../callers.ts';
import { ServiceError } from '../../errors.ts';
import { sameBytes } from '../../lib/bytes.ts';
import type { Clock } from '../../lib/clock.ts';
import { echo } from '../../lib/echo.ts';
import { importedKey, keyInvalid, resourceName } from '../../resources/resource.ts';
import type { Resources } from '../../resources/resources.ts';
import type { Database } from '../../storage/database.ts';
import {
  type CommunicationService,
  type ManagedIdentity,
  nameKey,
  type Place,
  type ResourceGroup,
  tokenLocation,
} from './communication-service.ts';
import type { ManagementStore } from './management-store.ts';

interface Uses {
  db: Database;
  store: ManagementStore;
  resources: Resources;
  clock: Clock;
}

/** What a client may say of a service. Undefined leaves a member as it is, or empty when the service is new. */
export interface ServiceWish {
  location?: string | undefined;
  dataLocation?: string | undefined;
  tags?: Record<string, string> | undefined;
  identity?: ManagedIdentity | undefined;
  disableLocalAuth?: boolean | undefined;
  /** Further members of `properties`. */
  properties?: Record<string, unknown> | undefined;
}

/** Both keys of a resource, in base64. */
export type KeyPair = Readonly<Record<KeySlot, string>>;

/** Access keys that were made elsewhere, in base64; a slot without one gets a fresh key. */
export type GivenKeys = Readonly<Partial<Record<KeySlot, string | undefined>>>;

/** Of a resource group, in characters; of services it is less. */
const LONGEST_NAME = 90;

/** Communication services and resource groups, as operators manage them. */
export class CommunicationServices {
  readonly #uses: Uses;

  constructor(uses: Uses) {
    this.#uses = uses;
  }

  /** Those that the caller manages. */
  async list(caller: OperatorCaller, subscriptionId: string): Promise<CommunicationService[]> {
    const all = await this.#uses.store.services(this.#uses.db.rows, subscriptionId);
    return all.filter((service) => manages(caller, service));
  }

  /** Those that the caller manages. @throws ServiceError `ResourceGroupNotFound` */
  async listInGroup(caller: OperatorCaller, place: Place): Promise<CommunicationService[]> {
    await this.getGroup(place);
    const { subscriptionId, group } = place;
    const all = await this.#uses.store.servicesInGroup(this.#uses.db.rows, subscriptionId, nameKey(group));
    return all.filter((service) => manages(caller, service));
  }

  /** @throws ServiceError `ServiceNotFound`, `ResourceGroupNotFound`; `GrantMissing` when the caller manages others only */
  async get(caller: OperatorCaller, place: Place, name: string): Promise<CommunicationService> {
    const found = await this.#findFor(caller, place, name);
    if (found) return found;
    await this.getGroup(place);
    throw new ServiceError('ServiceNotFound', {
      values: { name: echo(name, LONGEST_NAME), group: echo(place.group, LONGEST_NAME) },
    });
  }

  /** Makes a service, or changes the one that is there. @returns the service, and whether it is new */
  async put(
    caller: OperatorCaller,
    place: Place,
    name: string,
    wish: ServiceWish,
  ): Promise<{ service: CommunicationService; fresh: boolean }> {
    const existing = await this.#findFor(caller, place, name);
    if (existing) return { service: await this.#change(caller, existing, wish, 'replace'), fresh: false };
    await this.#create(place, name, wish);
    return { service: await this.get(caller, place, name), fresh: true };
  }

  /**
   * Makes a service with the GUID, and the access keys, that it has elsewhere. Once more with the same finds it done.
   * @throws ServiceError `AccessKeyInvalid`, and those of {@link put}; `ResourceIdTaken` when a resource of that GUID is
   * there and is another one, `ResourceIdDeleted` when it was
   */
  async import(
    caller: OperatorCaller,
    resourceId: ResourceId,
    { place, name, wish, keys: given }: { place: Place; name: string; wish: ServiceWish; keys: GivenKeys },
  ): Promise<{ service: CommunicationService; fresh: boolean }> {
    const { resources } = this.#uses;
    const keys = bytesOf(given);
    if (resources.has(resourceId)) {
      const service = await this.#find(place, name);
      if (service?.resourceId !== resourceId) throw taken('name, group or subscription');
      if (wish.dataLocation !== service.dataLocation) throw taken('dataLocation');
      if (!this.#hasKeys(resourceId, keys)) throw taken('access key');
      return { service, fresh: false };
    }
    if (await resources.wasDeleted(resourceId)) throw new ServiceError('ResourceIdDeleted');
    for (const slot of KEY_SLOTS) {
      const key = keys[slot];
      const owner =
        key && resources.list().find(({ id }) => KEY_SLOTS.some((slot) => this.#hasKeys(id, { [slot]: key })));
      if (owner) throw keyInvalid(`${slot}Key`, `The resource '${owner.name}' has this key`);
    }
    await this.#create(place, name, wish, { id: resourceId, keys });
    return { service: await this.get(caller, place, name), fresh: true };
  }

  /** Changes what the wish names and leaves the rest. @throws ServiceError `ServiceNotFound` */
  async update(caller: OperatorCaller, place: Place, name: string, wish: ServiceWish): Promise<CommunicationService> {
    return this.#change(caller, await this.get(caller, place, name), wish, 'merge');
  }

  /**
   * Deletes a service with everything in it and ends its tokens. @returns false when it was not there, or another call was
   * faster; what it was asked for holds all the same
   */
  async delete(caller: OperatorCaller, place: Place, name: string): Promise<boolean> {
    const existing = await this.#findFor(caller, place, name);
    if (existing) return this.#delete(existing.resourceId);
    await this.#uses.resources.settled();
    return false;
  }

  /** @throws ServiceError `ServiceNotFound` */
  async keys(caller: OperatorCaller, place: Place, name: string): Promise<KeyPair> {
    return this.#keysOf((await this.get(caller, place, name)).resourceId);
  }

  /** Replaces one key, and ends the tokens issued under its former value. @returns the new one, in base64 */
  async regenerateKey(caller: OperatorCaller, place: Place, name: string, slot: KeySlot): Promise<string> {
    const { resourceId } = await this.get(caller, place, name);
    const { secret } = await this.#uses.resources.regenerateKey(resourceId, slot);
    return secret.export().toString('base64');
  }

  /** Whether the keys of a service open anything. */
  keysDisabled({ resourceId }: CommunicationService): boolean {
    return this.#uses.resources.get(resourceId).resource.keysDisabled;
  }

  /** Whether a name could be had now. */
  async isNameFree(name: string): Promise<boolean> {
    const { db, store, resources } = this.#uses;
    const key = resourceName(name);
    return !(await store.isNameTaken(db.rows, key)) && !resources.list().some((resource) => resource.name === key);
  }

  subscriptions(): Promise<string[]> {
    return this.#uses.store.subscriptions(this.#uses.db.rows);
  }

  groups(subscriptionId: string): Promise<ResourceGroup[]> {
    return this.#uses.store.groups(this.#uses.db.rows, subscriptionId);
  }

  /** @throws ServiceError `ResourceGroupNotFound` */
  async getGroup({ subscriptionId, group }: Place): Promise<ResourceGroup> {
    const found = await this.#uses.store.group(this.#uses.db.rows, subscriptionId, nameKey(group));
    if (!found) throw new ServiceError('ResourceGroupNotFound', { values: { group: echo(group, LONGEST_NAME) } });
    return found;
  }

  /** @returns the group, and whether it is new */
  async putGroup(
    place: Place,
    location: string,
    tags: Record<string, string>,
  ): Promise<{ group: ResourceGroup; fresh: boolean }> {
    const { db, store, clock } = this.#uses;
    const { subscriptionId, group: name } = place;
    const fresh = (await store.group(db.rows, subscriptionId, nameKey(name))) === undefined;
    await db.writer.write(
      (tx) =>
        store.putGroup(tx, {
          subscription_id: subscriptionId,
          name_key: nameKey(name),
          name,
          location,
          tags: JSON.stringify(tags),
          created_at: clock.now(),
        }),
      subscriptionId,
    );
    return { group: await this.getGroup(place), fresh };
  }

  /** Deletes a group with every service in it. @returns false when it was not there */
  async deleteGroup({ subscriptionId, group }: Place): Promise<boolean> {
    const { db, store, resources } = this.#uses;
    const groupKey = nameKey(group);
    const found = await store.group(db.rows, subscriptionId, groupKey);
    if (found) {
      for (const { resourceId } of await store.servicesInGroup(db.rows, subscriptionId, groupKey))
        await this.#delete(resourceId);
      await db.writer.write((tx) => store.deleteGroup(tx, subscriptionId, groupKey), subscriptionId);
    }
    await resources.settled(); // another call may have deleted services of it, and still wait for other nodes
    return found !== undefined;
  }

  /** Gives a resource that was made otherwise a place in the management plane. */
  async adopt(resourceId: ResourceId, place: Place, name: string, dataLocation: string): Promise<void> {
    const { db, store, clock } = this.#uses;
    if (await this.#find(place, name)) return;
    await this.putGroup(place, 'global', {});
    await db.writer.write((tx) =>
      store.insertService(tx, this.#row(resourceId, place, name, { location: 'global', dataLocation }, clock.now())),
    );
  }

  /** Who manages some resources only learns nothing of the others, not even whether they are there. */
  async #findFor(caller: OperatorCaller, place: Place, name: string): Promise<CommunicationService | undefined> {
    const found = await this.#find(place, name);
    if (found ? manages(caller, found) : caller.over === 'everything') return found;
    throw new ServiceError('GrantMissing', { reason: 'grant.missing' });
  }

  #find({ subscriptionId, group }: Place, name: string): Promise<CommunicationService | undefined> {
    return this.#uses.store.service(this.#uses.db.rows, subscriptionId, nameKey(group), nameKey(name));
  }

  /** @param more what the resource has already elsewhere */
  async #create(
    place: Place,
    name: string,
    wish: ServiceWish,
    more: { id?: ResourceId; keys?: Partial<Record<KeySlot, Buffer>> } = {},
  ): Promise<void> {
    const { store, resources, clock } = this.#uses;
    await this.getGroup(place);
    if (!wish.location) throw new ServiceError('LocationRequired');
    if (!wish.dataLocation) throw new ServiceError('DataLocationRequired');
    if (!(await this.isNameFree(name))) throw new ServiceError('PlaceTaken', { values: { name } });
    const location = tokenLocation(wish.dataLocation);
    const resource = await resources.create({ name, location, ...more }, async (tx, id) => {
      await store.insertService(tx, this.#row(id, place, name, wish, clock.now()));
    });
    if (wish.disableLocalAuth) await resources.setKeysDisabled(resource.id, true);
  }

  #row(resourceId: ResourceId, { subscriptionId, group }: Place, name: string, wish: ServiceWish, now: number) {
    return {
      resource_id: resourceId,
      subscription_id: subscriptionId,
      group_key: nameKey(group),
      name_key: nameKey(name),
      name,
      location: wish.location ?? 'global',
      data_location: wish.dataLocation ?? '',
      tags: JSON.stringify(wish.tags ?? {}),
      identity: wish.identity === undefined ? null : JSON.stringify(wish.identity),
      properties: JSON.stringify(wish.properties ?? {}),
      created_at: now,
      changed_at: now,
    };
  }

  async #change(
    caller: OperatorCaller,
    service: CommunicationService,
    wish: ServiceWish,
    way: 'replace' | 'merge',
  ): Promise<CommunicationService> {
    const { db, store, resources, clock } = this.#uses;
    if (wish.dataLocation !== undefined && wish.dataLocation !== service.dataLocation)
      throw new ServiceError('DataLocationFixed');
    const kept = way === 'merge' ? service : undefined;
    const identity = wish.identity ?? kept?.identity;
    const set = {
      tags: JSON.stringify(wish.tags ?? kept?.tags ?? {}),
      identity: identity === undefined ? null : JSON.stringify(identity),
      properties: JSON.stringify({ ...kept?.properties, ...wish.properties }),
      changed_at: clock.now(),
    };
    const disabled = wish.disableLocalAuth ?? (way === 'merge' ? undefined : false);
    const { resourceId } = service;
    if (disabled === undefined) await db.writer.write((tx) => store.updateService(tx, resourceId, set), resourceId);
    else await resources.setKeysDisabled(resourceId, disabled, (tx) => store.updateService(tx, resourceId, set));
    return this.get(caller, service, service.name);
  }

  /** @returns false when another call was faster */
  async #delete(resourceId: ResourceId): Promise<boolean> {
    const { store, resources } = this.#uses;
    try {
      await resources.delete(resourceId, (tx) => store.deleteService(tx, resourceId));
      return true;
    } catch (cause) {
      if (!(cause instanceof ServiceError && cause.error === 'ResourceNotFound')) throw cause;
      await resources.settled();
      return false;
    }
  }

  /** Whether a resource has all of some keys, each in its slot. */
  #hasKeys(resourceId: ResourceId, wanted: Partial<Record<KeySlot, Buffer>>): boolean {
    return this.#uses.resources.get(resourceId).keys.every(({ slot, secret }) => {
      const key = wanted[slot];
      return key === undefined || sameBytes(key, secret.export());
    });
  }

  #keysOf(resourceId: ResourceId): KeyPair {
    const { keys } = this.#uses.resources.get(resourceId);
    const text = (slot: KeySlot): string =>
      keys
        .find((key) => key.slot === slot)
        ?.secret.export()
        .toString('base64') ?? '';
    return { primary: text('primary'), secondary: text('secondary') };
  }
}

const manages = ({ over }: OperatorCaller, { resourceId }: CommunicationService): boolean =>
  over === 'everything' || over.has(resourceId);

/** @throws ServiceError `AccessKeyInvalid` */
function bytesOf(given: GivenKeys): Partial<Record<KeySlot, Buffer>> {
  const keys = Object.fromEntries(
    KEY_SLOTS.flatMap((slot) => {
      const text = given[slot];
      return text === undefined ? [] : [[slot, importedKey(text, `${slot}Key`)]];
    }),
  ) as Partial<Record<KeySlot, Buffer>>;
  const { primary, secondary } = keys;
  if (primary && secondary && sameBytes(primary, secondary))
    throw keyInvalid('secondaryKey', 'It is the same as the primary key');
  return keys;
}

const taken = (what: string): ServiceError => new ServiceError('ResourceIdTaken', { values: { what } });
