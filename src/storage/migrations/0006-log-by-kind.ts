import type { Migration } from '../migrate.ts';

/** Finds the few entries of the revocation log that matter at any age, among millions that do not. */
export const logByKind: Migration = {
  name: '0006-log-by-kind',
  compatible: true,
  text: `
create index revocation_log_by_kind on revocation_log (kind, seq) where kind = 'all' or kind = 'validFrom';
`,
};
