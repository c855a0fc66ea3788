import type { Migration } from '../migrate.ts';

/**
 * Leases of chores that one node runs, and how far the removal of a deleted resource is. A node of the release before runs
 * its chores as it did: all of them may be run by several nodes at a time. Resources that it deletes have had no sweep.
 */
export const chores: Migration = {
  name: '0010-chores',
  compatible: true,
  text: `
create table chore_leases (
  name text primary key,
  holder text,
  held_until bigint not null,
  due_at bigint not null,
  succeeded_at bigint
);

alter table resources add column sweeps integer not null default 0;

alter table resources add column swept_at bigint;
`,
};
