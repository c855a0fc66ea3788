import type { ResourceId } from '../../callers.ts';
import type { CommunicationServiceRow, ResourceGroupRow } from '../../storage/database.ts';
import { type Rows, sql } from '../../storage/sql.ts';
import type { CommunicationService, ResourceGroup } from './communication-service.ts';

type ServiceRow = CommunicationServiceRow & { group_name: string };

const SERVICES = sql`
  select service.resource_id, service.subscription_id, service.name, service.location, service.data_location,
    service.tags, service.identity, service.properties, service.created_at, service.changed_at,
    resource_groups.name as group_name
  from communication_services service
  join resource_groups on resource_groups.subscription_id = service.subscription_id
    and resource_groups.name_key = service.group_key`;

/** Rows of the management plane. Names come in as keys, see `nameKey`. */
export class ManagementStore {
  async services(rows: Rows, subscriptionId: string): Promise<CommunicationService[]> {
    const all = await rows.all<ServiceRow>(
      sql`${SERVICES} where service.subscription_id = ${subscriptionId} order by service.name_key`,
    );
    return all.map(toService);
  }

  async servicesInGroup(rows: Rows, subscriptionId: string, groupKey: string): Promise<CommunicationService[]> {
    const all = await rows.all<ServiceRow>(sql`${SERVICES}
      where service.subscription_id = ${subscriptionId} and service.group_key = ${groupKey}
      order by service.name_key`);
    return all.map(toService);
  }

  async service(
    rows: Rows,
    subscriptionId: string,
    groupKey: string,
    key: string,
  ): Promise<CommunicationService | undefined> {
    const row = await rows.first<ServiceRow>(sql`${SERVICES}
      where service.subscription_id = ${subscriptionId} and service.group_key = ${groupKey}
        and service.name_key = ${key}`);
    return row && toService(row);
  }

  async isNameTaken(rows: Rows, key: string): Promise<boolean> {
    return (await rows.first(sql`select 1 as taken from communication_services where name_key = ${key}`)) !== undefined;
  }

  async insertService(tx: Rows, row: CommunicationServiceRow): Promise<void> {
    await tx.run(sql`
      insert into communication_services (resource_id, subscription_id, group_key, name_key, name, location,
        data_location, tags, identity, properties, created_at, changed_at)
      values (${row.resource_id}, ${row.subscription_id}, ${row.group_key}, ${row.name_key}, ${row.name}, ${row.location},
        ${row.data_location}, ${row.tags}, ${row.identity}, ${row.properties}, ${row.created_at}, ${row.changed_at})`);
  }

  async updateService(
    tx: Rows,
    id: ResourceId,
    {
      tags,
      identity,
      properties,
      changed_at,
    }: Pick<CommunicationServiceRow, 'tags' | 'identity' | 'properties' | 'changed_at'>,
  ): Promise<void> {
    await tx.run(sql`
      update communication_services
      set tags = ${tags}, identity = ${identity}, properties = ${properties}, changed_at = ${changed_at}
      where resource_id = ${id}`);
  }

  async deleteService(tx: Rows, id: ResourceId): Promise<void> {
    await tx.run(sql`delete from communication_services where resource_id = ${id}`);
  }

  async subscriptions(rows: Rows): Promise<string[]> {
    const all = await rows.all<{ subscription_id: string }>(
      sql`select distinct subscription_id from resource_groups order by subscription_id`,
    );
    return all.map((row) => row.subscription_id);
  }

  async groups(rows: Rows, subscriptionId: string): Promise<ResourceGroup[]> {
    const all = await rows.all<ResourceGroupRow>(sql`
      select subscription_id, name, location, tags, created_at from resource_groups
      where subscription_id = ${subscriptionId} order by name_key`);
    return all.map(toGroup);
  }

  async group(rows: Rows, subscriptionId: string, key: string): Promise<ResourceGroup | undefined> {
    const row = await rows.first<ResourceGroupRow>(sql`
      select subscription_id, name, location, tags, created_at from resource_groups
      where subscription_id = ${subscriptionId} and name_key = ${key}`);
    return row && toGroup(row);
  }

  /** Makes a group, or sets the tags of the one that is there. */
  async putGroup(tx: Rows, row: ResourceGroupRow): Promise<void> {
    await tx.run(sql`
      insert into resource_groups (subscription_id, name_key, name, location, tags, created_at)
      values (${row.subscription_id}, ${row.name_key}, ${row.name}, ${row.location}, ${row.tags}, ${row.created_at})
      on conflict (subscription_id, name_key) do update set tags = excluded.tags`);
  }

  async deleteGroup(tx: Rows, subscriptionId: string, key: string): Promise<void> {
    await tx.run(sql`delete from resource_groups where subscription_id = ${subscriptionId} and name_key = ${key}`);
  }
}

const toService = (row: ServiceRow): CommunicationService => ({
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

const toGroup = (row: ResourceGroupRow): ResourceGroup => ({
  subscriptionId: row.subscription_id,
  name: row.name,
  location: row.location,
  tags: JSON.parse(row.tags),
  createdAtMs: row.created_at,
});
