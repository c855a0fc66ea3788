import type { Insertable, Selectable, Updateable } from 'kysely';
import type { ResourceId } from '../callers.ts';
import type { Rows, Tables } from '../storage/database.ts';
import type { CommunicationService, ResourceGroup } from './communication-service.ts';

type ServiceRow = Selectable<Tables['communication_services']>;
type GroupRow = Selectable<Tables['resource_groups']>;

/** Rows of the management plane. Names come in as keys, see `nameKey`. */
export class ManagementStore {
  async services(
    rows: Rows,
    { subscriptionId, groupKey }: { subscriptionId: string; groupKey?: string },
  ): Promise<CommunicationService[]> {
    const all = await rows
      .selectFrom('communication_services as service')
      .innerJoin('resource_groups as group', (join) =>
        join
          .onRef('group.subscription_id', '=', 'service.subscription_id')
          .onRef('group.name_key', '=', 'service.group_key'),
      )
      .selectAll('service')
      .select('group.name as group_name')
      .where('service.subscription_id', '=', subscriptionId)
      .$if(groupKey !== undefined, (query) => query.where('service.group_key', '=', groupKey ?? ''))
      .orderBy('service.name_key')
      .execute();
    return all.map(toService);
  }

  async service(
    rows: Rows,
    subscriptionId: string,
    groupKey: string,
    key: string,
  ): Promise<CommunicationService | undefined> {
    const all = await this.services(rows, { subscriptionId, groupKey });
    return all.find((service) => service.name.toLowerCase() === key);
  }

  async isNameTaken(rows: Rows, key: string): Promise<boolean> {
    const row = await rows
      .selectFrom('communication_services')
      .select('name')
      .where('name_key', '=', key)
      .executeTakeFirst();
    return row !== undefined;
  }

  async insertService(tx: Rows, row: Insertable<Tables['communication_services']>): Promise<void> {
    await tx.insertInto('communication_services').values(row).execute();
  }

  async updateService(tx: Rows, id: ResourceId, set: Updateable<Tables['communication_services']>): Promise<void> {
    await tx.updateTable('communication_services').set(set).where('resource_id', '=', id).execute();
  }

  async deleteService(tx: Rows, id: ResourceId): Promise<void> {
    await tx.deleteFrom('communication_services').where('resource_id', '=', id).execute();
  }

  async subscriptions(rows: Rows): Promise<string[]> {
    const all = await rows
      .selectFrom('resource_groups')
      .select('subscription_id')
      .distinct()
      .orderBy('subscription_id')
      .execute();
    return all.map((row) => row.subscription_id);
  }

  async groups(rows: Rows, subscriptionId: string): Promise<ResourceGroup[]> {
    const all = await rows
      .selectFrom('resource_groups')
      .selectAll()
      .where('subscription_id', '=', subscriptionId)
      .orderBy('name_key')
      .execute();
    return all.map(toGroup);
  }

  async group(rows: Rows, subscriptionId: string, key: string): Promise<ResourceGroup | undefined> {
    const row = await rows
      .selectFrom('resource_groups')
      .selectAll()
      .where('subscription_id', '=', subscriptionId)
      .where('name_key', '=', key)
      .executeTakeFirst();
    return row && toGroup(row);
  }

  /** Makes a group, or sets the tags of the one that is there. */
  async putGroup(tx: Rows, row: Insertable<Tables['resource_groups']>): Promise<void> {
    await tx
      .insertInto('resource_groups')
      .values(row)
      .onConflict((conflict) => conflict.columns(['subscription_id', 'name_key']).doUpdateSet({ tags: row.tags }))
      .execute();
  }

  async deleteGroup(tx: Rows, subscriptionId: string, key: string): Promise<void> {
    await tx
      .deleteFrom('resource_groups')
      .where('subscription_id', '=', subscriptionId)
      .where('name_key', '=', key)
      .execute();
  }
}

const toService = (row: ServiceRow & { group_name: string }): CommunicationService => ({
  resourceId: row.resource_id,
  subscriptionId: row.subscription_id,
  group: row.group_name,
  name: row.name,
  location: row.location,
  dataLocation: row.data_location,
  tags: JSON.parse(row.tags),
  identity: row.identity === null ? undefined : JSON.parse(row.identity),
  properties: JSON.parse(row.properties),
  createdAtMs: row.created_at,
  changedAtMs: row.changed_at,
});

const toGroup = (row: GroupRow): ResourceGroup => ({
  subscriptionId: row.subscription_id,
  name: row.name,
  location: row.location,
  tags: JSON.parse(row.tags),
  createdAtMs: row.created_at,
});
