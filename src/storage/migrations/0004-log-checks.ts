import type { Migration } from '../migrate.ts';

/** A check value in each row of the revocation log, so that a damaged one is noticed; null in rows from before. */
export const logChecks: Migration = {
  name: '0004-log-checks',
  compatible: true,
  text: `
alter table revocation_log add column crc bigint;
`,
};
