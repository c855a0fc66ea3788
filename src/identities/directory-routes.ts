import { ok, type Route, route } from '../http/route.ts';
import { listOf, maybe, object, text } from '../http/schema.ts';
import { wholeSeconds } from '../lib/instants.ts';
import type { Identities } from './identities.ts';
import { customId, type Identity, identityId, pageSize, pageStart } from './identity.ts';

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
    summary:
      'Lists the identities of the resource by id, page by page: `pageSize` up to 1000, `continuation` from the page before, `customId` for the one that has it.',
    at: 'GET /-/identities',
    access: { caller: 'service' },
    answers: { 200: object({ value: listOf(EntryShape), continuation: maybe(text()) }) },
    async handle({ caller, query }) {
      const name = query.get('customId');
      const { page, next } = await identities.list(caller, {
        size: pageSize(query.get('pageSize')),
        after: pageStart(query.get('continuation')),
        customId: name === null ? undefined : customId(name),
      });
      return ok({ value: page.map(entry), ...(next !== undefined && { continuation: next }) });
    },
  }),
  route({
    operation: 'showIdentity',
    summary: 'Gives what is known of an identity.',
    at: 'GET /-/identities/{id}',
    access: { caller: 'service' },
    answers: { 200: EntryShape },
    async handle({ caller, path }) {
      return ok(entry(await identities.get(caller, identityId(path.id, caller.resourceId))));
    },
  }),
];
