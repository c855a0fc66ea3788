import type { Migration } from '../migrate.ts';

/** Whose tokens, other than our own, are believed, and which of their users may come in. */
export const trusts: Migration = {
  name: '0003-trusts',
  compatible: false, // the log tells of trusts and assignments, which nobody from before can read
  text: `
create table trusts (
  id {id} primary key,
  name {id} not null unique,
  enabled integer not null,
  version integer not null,
  definition text not null,
  ended_seq bigint not null,
  created_at bigint not null,
  changed_at bigint not null
);

create table trust_grants (
  trust_id {id} not null references trusts (id),
  name {id} not null,
  principal_kind text not null,
  principal text not null,
  access_right text not null,
  resource {id} not null,
  primary key (trust_id, name)
);

create table assignments (
  resource_id {id} not null references resources (id),
  id {id} not null,
  tenant_id text not null,
  object_id text not null,
  principal_type text not null,
  client_ids text,
  ended_seq bigint not null,
  created_at bigint not null,
  primary key (resource_id, id)
);
`,
};
