import { ok, type Route, route } from '../../http/route.ts';
import { int32, listOf, maybe, object, optional, text } from '../../http/schema.ts';
import type { Imports } from '../../identities/imports.ts';
import { resourceId } from '../../resources/resource.ts';

const ImportBody = object({
  identities: listOf(object({ id: text(), customId: optional(text()), createdAt: optional(text()) })),
});

const RefusalShape = object({
  /** Place in the list, from 0. */
  index: int32(),
  error: object({ code: text(), message: text(), target: maybe(text()) }),
});

/** For people who move a product here: the original has nothing like it. */
export const importRoutes = (imports: Imports): Route[] => [
  route({
    operation: 'importIdentities',
    summary:
      'Imports up to 1000 identities with the ids they have in the original. Identities that exist already stay as they are. Entries that cannot be imported are listed by their index, and the others are imported.',
    at: 'POST /-/resources/{resource}/identities/:import',
    access: { caller: 'operator', scoped: true },
    body: { schema: ImportBody, kind: 'json' },
    answers: { 200: object({ imported: int32(), unchanged: int32(), refused: listOf(RefusalShape) }) },
    async handle({ caller, path, body }) {
      const result = await imports.run(caller, resourceId(path.resource), body.identities);
      const refused = result.refused.map(({ index, error }) => ({
        index,
        error: { code: error.shape.code, message: error.message, target: error.target },
      }));
      return ok({ ...result, refused });
    },
  }),
];
