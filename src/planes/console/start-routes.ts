import { SCOPES } from '../../capabilities/tables.ts';
import { ServiceError } from '../../errors.ts';
import { ok, type Reply, type Route, route } from '../../http/route.ts';
import { maybe, object, text } from '../../http/schema.ts';
import { VERSION } from '../../version.ts';
import type { Start } from './start.ts';
import type { Attempt } from './start-page.ts';

/** What looking at the page would fill the list of last requests with. */
export const START_OPERATIONS: readonly string[] = ['showStart', 'issueFromStart'];

const StartShape = object({
  name: text(),
  version: text(),
  mode: text(),
  endpoint: text(),
  connectionString: maybe(text()),
  openapi: text(),
});

const IssueBody = object({ user: maybe(text()), ...Object.fromEntries(SCOPES.map((scope) => [scope, maybe(text())])) });

const FOR_OWN_PAGE = { caller: 'nobody', from: 'loopback', pages: 'own' } as const;

/** The start page of dev mode, for the person at the machine. */
export const startRoutes = (start: Start): Route[] => [
  route({
    operation: 'showStart',
    summary:
      'Shows what a person or a program needs first. A browser gets a page with a form that issues tokens, and with the last requests and their reasons.',
    at: 'GET /',
    access: FOR_OWN_PAGE,
    answers: { 200: StartShape },
    async handle({ header }) {
      if (/\btext\/html\b/.test(header('accept') ?? '')) return page(start, 200);
      const { endpoint, connectionString } = start.facts();
      const openapi = `${endpoint}-/openapi.json`;
      const body = { name: 'Linarite', version: VERSION, mode: 'dev', endpoint, connectionString, openapi };
      return { ...ok(body), headers: { Vary: 'Accept' } };
    },
  }),
  route({
    operation: 'issueFromStart',
    summary:
      'Issues a token of the development resource for the page at /, if the key of the resource is the published one.',
    at: 'POST /',
    access: FOR_OWN_PAGE,
    body: { schema: IssueBody, kind: 'form' },
    answers: { 200: 'text' },
    async handle({ body }) {
      const fields = body as Readonly<Record<string, string | undefined>>;
      const scopes = SCOPES.filter((scope) => fields[scope] !== undefined);
      const user = (fields.user ?? '').trim().slice(0, 256);
      try {
        const token = await start.issue(scopes, user === '' ? undefined : user);
        return await page(start, 200, token && { scopes, user, outcome: { token } });
      } catch (cause) {
        if (!(cause instanceof ServiceError) || cause.shape.status >= 500) throw cause;
        return page(start, cause.shape.status, { scopes, user, outcome: { complaint: cause.message } });
      }
    },
  }),
];

/** The page itself is loaded when somebody looks at it. */
async function page(start: Start, status: number, attempt?: Attempt): Promise<Reply> {
  const { startPage, START_HEADERS } = await import('./start-page.ts');
  const body = startPage(start.facts(), attempt);
  return { status, body, contentType: 'text/html; charset=utf-8', headers: START_HEADERS };
}
