import type { Migration } from '../migrate.ts';

/** How far each node has followed what all of them keep in memory. One of the release before says nothing: it stays at 0. */
export const nodeConfig: Migration = {
  name: '0008-node-config',
  compatible: true,
  text: `
alter table nodes add column applied_config bigint not null default 0;
`,
};
