import type { Migration } from '../migrate.ts';

/** What the management plane keeps about resources beyond what tokens need: where they stand, and what clients set. */
export const management: Migration = {
  name: '0002-management',
  compatible: true,
  text: `
create table resource_groups (
  subscription_id {id} not null,
  name_key {id} not null,
  name text not null,
  location text not null,
  tags text not null,
  created_at bigint not null,
  primary key (subscription_id, name_key)
);

create table communication_services (
  resource_id {id} primary key references resources (id),
  subscription_id {id} not null,
  group_key {id} not null,
  name_key {id} not null unique,
  name text not null,
  location text not null,
  data_location text not null,
  tags text not null,
  identity text,
  properties text not null,
  created_at bigint not null,
  changed_at bigint not null
);

create index communication_services_by_group on communication_services (subscription_id, group_key);
`,
};
