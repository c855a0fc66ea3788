-- Written by scripts/schema.ts from a fresh database; the source are the migrations.

create table access_keys (
  resource_id text collate "C" not null,
  slot text not null,
  version integer not null,
  sealed text not null,
  changed_seq bigint not null,
  created_at bigint not null,
  constraint access_keys_pkey PRIMARY KEY (resource_id, slot),
  constraint access_keys_resource_id_fkey FOREIGN KEY (resource_id) REFERENCES resources(id)
);

create table assignments (
  resource_id text collate "C" not null,
  id text collate "C" not null,
  tenant_id text not null,
  object_id text not null,
  principal_type text not null,
  client_ids text,
  ended_seq bigint not null,
  created_at bigint not null,
  constraint assignments_pkey PRIMARY KEY (resource_id, id),
  constraint assignments_resource_id_fkey FOREIGN KEY (resource_id) REFERENCES resources(id)
);

create table chore_leases (
  name text not null,
  holder text,
  held_until bigint not null,
  due_at bigint not null,
  succeeded_at bigint,
  constraint chore_leases_pkey PRIMARY KEY (name)
);

create table communication_services (
  resource_id text collate "C" not null,
  subscription_id text collate "C" not null,
  group_key text collate "C" not null,
  name_key text collate "C" not null,
  name text not null,
  location text not null,
  data_location text not null,
  tags text not null,
  identity text,
  properties text not null,
  created_at bigint not null,
  changed_at bigint not null,
  constraint communication_services_pkey PRIMARY KEY (resource_id),
  constraint communication_services_name_key_key UNIQUE (name_key),
  constraint communication_services_resource_id_fkey FOREIGN KEY (resource_id) REFERENCES resources(id)
);

CREATE INDEX communication_services_by_group ON public.communication_services USING btree (subscription_id, group_key);

create table data_keys (
  id text not null,
  sealed text not null,
  created_at bigint not null,
  encryptions bigint not null default 0,
  constraint data_keys_pkey PRIMARY KEY (id)
);

create table fact_numbers (
  id integer not null,
  last bigint not null,
  constraint fact_numbers_pkey PRIMARY KEY (id)
);

create table facts (
  stream text collate "C" not null,
  position bigint not null,
  at bigint not null,
  kind text not null,
  payload text not null,
  number bigint,
  constraint facts_pkey PRIMARY KEY (stream, "position")
);

CREATE UNIQUE INDEX facts_by_number ON public.facts USING btree (number) WHERE (number IS NOT NULL);

CREATE INDEX facts_unnumbered ON public.facts USING btree (at, stream, "position") WHERE (number IS NULL);

create table followers (
  name text collate "C" not null,
  number bigint not null,
  term bigint not null,
  beat bigint not null,
  holder text not null,
  constraint followers_pkey PRIMARY KEY (name)
);

create table head (
  id integer not null,
  seq bigint not null,
  config bigint not null,
  constraint head_pkey PRIMARY KEY (id),
  constraint head_id_check CHECK ((id = 1))
);

create table identities (
  resource_id text collate "C" not null,
  id text collate "C" not null,
  custom_id text collate "C",
  created_at bigint not null,
  last_token_issued_at bigint,
  revoked_seq bigint not null,
  tokens_valid_from bigint,
  constraint identities_pkey PRIMARY KEY (resource_id, id)
);

CREATE INDEX identities_by_bound ON public.identities USING btree (resource_id, tokens_valid_from, id) WHERE (tokens_valid_from IS NOT NULL);

CREATE UNIQUE INDEX identities_by_custom_id ON public.identities USING btree (resource_id, custom_id) WHERE (custom_id IS NOT NULL);

create table meta (
  name text not null,
  value text not null,
  constraint meta_pkey PRIMARY KEY (name)
);

create table migrations (
  name text not null,
  applied_at bigint not null,
  constraint migrations_pkey PRIMARY KEY (name)
);

create table nodes (
  id text not null,
  applied_seq bigint not null,
  beat bigint not null,
  applied_config bigint not null default 0,
  constraint nodes_pkey PRIMARY KEY (id)
);

create table resource_groups (
  subscription_id text collate "C" not null,
  name_key text collate "C" not null,
  name text not null,
  location text not null,
  tags text not null,
  created_at bigint not null,
  constraint resource_groups_pkey PRIMARY KEY (subscription_id, name_key)
);

create table resources (
  id text collate "C" not null,
  name text collate "C" not null,
  location text not null,
  region text not null,
  created_at bigint not null,
  keys_disabled integer not null,
  deleted_seq bigint,
  sweeps integer not null default 0,
  swept_at bigint,
  constraint resources_pkey PRIMARY KEY (id),
  constraint resources_name_key UNIQUE (name)
);

create table revocation_log (
  seq bigint not null,
  kind text not null,
  resource_id text collate "C",
  subject text collate "C",
  valid_from bigint,
  at bigint not null,
  crc bigint,
  constraint revocation_log_pkey PRIMARY KEY (seq)
);

CREATE INDEX revocation_log_by_kind ON public.revocation_log USING btree (kind, seq) WHERE ((kind = 'all'::text) OR (kind = 'validFrom'::text));

create table signing_keys (
  kid text not null,
  alg text not null,
  state text not null,
  public_key text not null,
  sealed text,
  created_at bigint not null,
  active_at bigint,
  gone_at bigint,
  killed_seq bigint,
  constraint signing_keys_pkey PRIMARY KEY (kid)
);

create table streams (
  stream text collate "C" not null,
  position bigint not null,
  at bigint not null,
  constraint streams_pkey PRIMARY KEY (stream)
);

create table trust_grants (
  trust_id text collate "C" not null,
  name text collate "C" not null,
  principal_kind text not null,
  principal text not null,
  access_right text not null,
  resource text collate "C" not null,
  constraint trust_grants_pkey PRIMARY KEY (trust_id, name),
  constraint trust_grants_trust_id_fkey FOREIGN KEY (trust_id) REFERENCES trusts(id)
);

create table trusts (
  id text collate "C" not null,
  name text collate "C" not null,
  enabled integer not null,
  version integer not null,
  definition text not null,
  ended_seq bigint not null,
  created_at bigint not null,
  changed_at bigint not null,
  constraint trusts_pkey PRIMARY KEY (id),
  constraint trusts_name_key UNIQUE (name)
);
