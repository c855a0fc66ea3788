import type { Migration } from '../migrate.ts';

/** Finds the identities of a resource whose tokens are valid from an instant on that may still matter. */
export const identitiesByBound: Migration = {
  name: '0007-identities-by-bound',
  compatible: true,
  text: `
create index if not exists identities_by_bound on identities (resource_id, tokens_valid_from, id) where tokens_valid_from is not null;
`,
};
