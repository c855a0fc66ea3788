import type { Migration } from '../migrate.ts';

/**
 * Facts by stream, and who follows them. A fact has a `number`, its place among the facts of all streams, once it was
 * committed and a follower wanted to know: see cluster/fact-store.ts.
 */
export const facts: Migration = {
  name: '0009-facts',
  compatible: true,
  text: `
create table streams (
  stream {id} primary key,
  position bigint not null,
  at bigint not null
){clustered};

create table facts (
  stream {id} not null,
  position bigint not null,
  at bigint not null,
  kind text not null,
  payload text not null,
  number bigint,
  primary key (stream, position)
){clustered};

create index facts_unnumbered on facts (at, stream, position) where number is null;

create unique index facts_by_number on facts (number) where number is not null;

create table fact_numbers (
  id integer primary key,
  last bigint not null
);

insert into fact_numbers (id, last) values (1, 0);

create table followers (
  name {id} primary key,
  number bigint not null,
  term bigint not null,
  beat bigint not null,
  holder text not null
){clustered};
`,
};
