import { ok, type Route, route } from '../../http/route.ts';
import { listOf, maybe, object, text } from '../../http/schema.ts';
import type { Identities } from '../../identities/identities.ts';
import { customId, type Identity, identityId, pageSize, pageStart } from '../../identities/identity.ts';
import { wholeSeconds } from '../../lib/instants.ts';

const EntryShape = object({
  id: text(),
  customId: maybe(text()),
  createdAt: text({ format: 'date-time' }),
  lastTokenIssuedAt: maybe(text({ format: 'date-time' })),
});

const entry = ({ id, customId, createdAtMs, lastTokenIssuedAtMs }: Identity) => ({
  id,
  ...(customId !== undefined && { customId }),
  createdAt: wholeSeconds(createdAtMs),
  ...(lastTokenIssuedAtMs !== undefined && { lastTokenIssuedAt: wholeSeconds(lastTokenIssuedAtMs) }),
});

/** The directory as the original does not show it: for people who look after a resource's users. */
export const directoryRoutes = (identities: Identities): Route[] => [
  route({
    operation: 'listIdentities',
    summary: 'Lists the identities of the resource by id, page by page.',
    at: 'GET /-/identities',
    access: { caller: 'service' },
    query: {
      pageSize: text({
        pattern: '^[0-9]{1,4}$',
        description: 'Largest number of entries on the page, 1 to 1000. Default: 100.',
      }),
      continuation: text({ description: 'Where to continue: the `continuation` of the previous page.' }),
      customId: text({ description: 'Only the identity with this custom id.' }),
    },
    answers: { 200: object({ value: listOf(EntryShape), continuation: maybe(text()) }) },
    async handle({ caller, query }) {
      const { page, next } = await identities.list(caller, {
        size: pageSize(query.pageSize),
        after: pageStart(query.continuation),
        customId: query.customId === undefined ? undefined : customId(query.customId),
      });
      return ok({ value: page.map(entry), ...(next !== undefined && { continuation: next }) });
    },
  }),
  route({
    operation: 'showIdentity',
    summary: 'Gives an identity with its custom id and its times.',
    at: 'GET /-/identities/{id}',
    access: { caller: 'service' },
    answers: { 200: EntryShape },
    async handle({ caller, path }) {
      return ok(entry(await identities.get(caller, identityId(path.id, caller.resourceId))));
    },
  }),
];
