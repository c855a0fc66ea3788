import type { Migration } from '../migrate.ts';

/** Identities, access tokens, and everything that can end them. The columns are explained in storage/database.ts. */
export const core: Migration = {
  name: '0001-core',
  compatible: false,
  text: `
create table meta (
  name text primary key,
  value text not null
);

create table data_keys (
  id text primary key,
  sealed text not null,
  created_at bigint not null
);

create table head (
  id integer primary key check (id = 1),
  seq bigint not null,
  config bigint not null
);

create table revocation_log (
  seq bigint primary key,
  kind text not null,
  resource_id {id},
  subject {id},
  valid_from bigint,
  at bigint not null
);

create table nodes (
  id text primary key,
  applied_seq bigint not null,
  beat bigint not null
);

create table resources (
  id {id} primary key,
  name {id} not null unique,
  location text not null,
  region text not null,
  created_at bigint not null,
  keys_disabled integer not null,
  deleted_seq bigint
);

create table access_keys (
  resource_id {id} not null references resources (id),
  slot text not null,
  version integer not null,
  sealed text not null,
  changed_seq bigint not null,
  created_at bigint not null,
  primary key (resource_id, slot)
);

create table identities (
  resource_id {id} not null,
  id {id} not null,
  custom_id {id},
  created_at bigint not null,
  last_token_issued_at bigint,
  revoked_seq bigint not null,
  tokens_valid_from bigint,
  primary key (resource_id, id)
){clustered};

create unique index identities_by_custom_id on identities (resource_id, custom_id) where custom_id is not null;

create table signing_keys (
  kid text primary key,
  alg text not null,
  state text not null,
  public_key text not null,
  sealed text,
  created_at bigint not null,
  active_at bigint,
  gone_at bigint,
  killed_seq bigint
);
`,
};
