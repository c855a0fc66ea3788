-- Written by scripts/schema.ts from a fresh database; the source are the migrations.

CREATE TABLE access_keys (
  resource_id text not null references resources (id),
  slot text not null,
  version integer not null,
  sealed text not null,
  changed_seq bigint not null,
  created_at bigint not null,
  primary key (resource_id, slot)
);

CREATE TABLE assignments (
  resource_id text not null references resources (id),
  id text not null,
  tenant_id text not null,
  object_id text not null,
  principal_type text not null,
  client_ids text,
  ended_seq bigint not null,
  created_at bigint not null,
  primary key (resource_id, id)
);

CREATE TABLE chore_leases (
  name text primary key,
  holder text,
  held_until bigint not null,
  due_at bigint not null,
  succeeded_at bigint
);

CREATE TABLE communication_services (
  resource_id text primary key references resources (id),
  subscription_id text not null,
  group_key text not null,
  name_key text not null unique,
  name text not null,
  location text not null,
  data_location text not null,
  tags text not null,
  identity text,
  properties text not null,
  created_at bigint not null,
  changed_at bigint not null
);

CREATE INDEX communication_services_by_group on communication_services (subscription_id, group_key);

CREATE TABLE data_keys (
  id text primary key,
  sealed text not null,
  created_at bigint not null
, encryptions bigint not null default 0);

CREATE TABLE fact_numbers (
  id integer primary key,
  last bigint not null
);

CREATE TABLE facts (
  stream text not null,
  position bigint not null,
  at bigint not null,
  kind text not null,
  payload text not null,
  number bigint,
  primary key (stream, position)
) without rowid;

CREATE UNIQUE INDEX facts_by_number on facts (number) where number is not null;

CREATE INDEX facts_unnumbered on facts (at, stream, position) where number is null;

CREATE TABLE followers (
  name text primary key,
  number bigint not null,
  term bigint not null,
  beat bigint not null,
  holder text not null
) without rowid;

CREATE TABLE head (
  id integer primary key check (id = 1),
  seq bigint not null,
  config bigint not null
);

CREATE TABLE identities (
  resource_id text not null,
  id text not null,
  custom_id text,
  created_at bigint not null,
  last_token_issued_at bigint,
  revoked_seq bigint not null,
  tokens_valid_from bigint,
  primary key (resource_id, id)
) without rowid;

CREATE INDEX identities_by_bound on identities (resource_id, tokens_valid_from, id) where tokens_valid_from is not null;

CREATE UNIQUE INDEX identities_by_custom_id on identities (resource_id, custom_id) where custom_id is not null;

CREATE TABLE meta (
  name text primary key,
  value text not null
);

CREATE TABLE migrations (name text primary key, applied_at bigint not null);

CREATE TABLE nodes (
  id text primary key,
  applied_seq bigint not null,
  beat bigint not null
, applied_config bigint not null default 0);

CREATE TABLE resource_groups (
  subscription_id text not null,
  name_key text not null,
  name text not null,
  location text not null,
  tags text not null,
  created_at bigint not null,
  primary key (subscription_id, name_key)
);

CREATE TABLE resources (
  id text primary key,
  name text not null unique,
  location text not null,
  region text not null,
  created_at bigint not null,
  keys_disabled integer not null,
  deleted_seq bigint
, sweeps integer not null default 0, swept_at bigint);

CREATE TABLE revocation_log (
  seq bigint primary key,
  kind text not null,
  resource_id text,
  subject text,
  valid_from bigint,
  at bigint not null
, crc bigint);

CREATE INDEX revocation_log_by_kind on revocation_log (kind, seq) where kind = 'all' or kind = 'validFrom';

CREATE TABLE signing_keys (
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

CREATE TABLE streams (
  stream text primary key,
  position bigint not null,
  at bigint not null
) without rowid;

CREATE TABLE trust_grants (
  trust_id text not null references trusts (id),
  name text not null,
  principal_kind text not null,
  principal text not null,
  access_right text not null,
  resource text not null,
  primary key (trust_id, name)
);

CREATE TABLE trusts (
  id text primary key,
  name text not null unique,
  enabled integer not null,
  version integer not null,
  definition text not null,
  ended_seq bigint not null,
  created_at bigint not null,
  changed_at bigint not null
);
