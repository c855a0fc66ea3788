import type { Migration } from '../migrate.ts';

/** What the rotation of data keys goes by. */
export const keyRing: Migration = {
  name: '0005-key-ring',
  compatible: true,
  text: `
alter table data_keys add column encryptions bigint not null default 0;
`,
};
