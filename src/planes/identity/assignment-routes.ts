import type { AssignmentId } from '../../callers.ts';
import { ServiceError } from '../../errors.ts';
import {
  type Assignment,
  assignment,
  entraAssignmentId,
  guid,
  type Plane,
  teamsAssignmentId,
} from '../../exchanges/assignment.ts';
import type { Assignments } from '../../exchanges/assignments.ts';
import { created, noContent, ok, type Route, route } from '../../http/route.ts';
import { listOf, maybe, object, optional, recordOf, text } from '../../http/schema.ts';
import { versions } from './versions.ts';

const TEAMS = '/access/teamsExtension/tenants/{tenantId}/assignments/{objectId}';
const ENTRA = '/access/entra/assignments';
const VERSIONS = versions('2025-03-02-preview');

const TeamsBody = object({ principalType: text(), clientIds: optional(listOf(text())) });
const EntraBody = object({ tenantId: text(), principalType: text(), clientIds: optional(listOf(text())) });

const EntraPatch = recordOf(
  optional(
    object({ tenantId: optional(text()), principalType: optional(text()), clientIds: optional(listOf(text())) }),
  ),
);

const AssignmentShape = object({
  objectId: text(),
  tenantId: text(),
  principalType: text(),
  clientIds: maybe(listOf(text())),
});

const shown = ({ objectId, tenantId, principalType, clientIds }: Assignment) => ({
  objectId,
  tenantId,
  principalType,
  ...(clientIds && { clientIds }),
});

const PAGE = 100;

/** What follows the name of the plane in ids of assignments. */
const CONTINUATIONS: Record<Plane, RegExp> = {
  entra: /^[0-9a-f-]{36}$/,
  teamsExtension: /^[0-9a-f-]{36}\/[0-9a-f-]{36}$/,
};

/** Where a page begins. @throws ServiceError `ContinuationInvalid` */
function pageStart(plane: Plane, text: string | undefined): AssignmentId | undefined {
  if (text === undefined) return undefined;
  if (!CONTINUATIONS[plane].test(text)) throw new ServiceError('ContinuationInvalid');
  return `${plane}/${text}` as AssignmentId;
}

/** Assignments on the wire: identity-protocol, sections 2.5 and 2.6. */
export const assignmentRoutes = (assignments: Assignments, endpoint: string): Route[] => [
  route({
    operation: 'getTeamsExtensionAssignment',
    summary: 'Gives the assignment of a Teams user or resource account.',
    at: `GET ${TEAMS}`,
    versions: VERSIONS,
    versionMayBeMissing: true,
    access: { caller: 'service' },
    answers: { 200: AssignmentShape },
    handle: async ({ caller, path }) => ok(shown(await assignments.get(caller, teamsId(path)))),
  }),
  route({
    operation: 'putTeamsExtensionAssignment',
    summary: 'Lets a Teams user or resource account get access tokens of the resource.',
    at: `PUT ${TEAMS}`,
    versions: VERSIONS,
    versionMayBeMissing: true,
    access: { caller: 'service' },
    urgent: { when: ({ caller, path }) => assignments.has(caller, teamsId(path)) },
    body: { schema: TeamsBody, kind: 'json' },
    answers: { 200: AssignmentShape, 201: AssignmentShape },
    async handle({ caller, path, body }) {
      const made = assignment(caller.resourceId, 'teamsExtension', path.objectId, { ...body, tenantId: path.tenantId });
      return (await assignments.put(made)) ? created(shown(made)) : ok(shown(made));
    },
  }),
  route({
    operation: 'deleteTeamsExtensionAssignment',
    summary: 'Removes an assignment, and ends the tokens issued by it.',
    at: `DELETE ${TEAMS}`,
    versions: VERSIONS,
    versionMayBeMissing: true,
    access: { caller: 'service' },
    urgent: true,
    answers: { 204: 'nothing' },
    async handle({ caller, path }) {
      await assignments.delete(caller, teamsId(path));
      return noContent();
    },
  }),
  route({
    operation: 'listTeamsExtensionAssignments',
    summary: 'Lists the assignments of Teams users and resource accounts, page by page; the original has no such list.',
    at: 'GET /-/access/teamsExtension/assignments',
    access: { caller: 'service' },
    query: { continuation: text({ description: 'Where to continue: the `continuation` of the previous page.' }) },
    answers: { 200: object({ value: listOf(AssignmentShape), continuation: maybe(text()) }) },
    async handle({ caller, query }) {
      const after = pageStart('teamsExtension', query.continuation);
      const { page, next } = await assignments.list(caller, 'teamsExtension', { size: PAGE, after });
      return ok({ value: page.map(shown), ...(next && { continuation: next.slice('teamsExtension/'.length) }) });
    },
  }),
  route({
    operation: 'listEntraAssignments',
    summary: 'Lists the assignments of Entra users, groups and tenants, page by page.',
    at: `GET ${ENTRA}`,
    versions: VERSIONS,
    access: { caller: 'service' },
    query: { continuation: text({ description: 'Where the page begins, as in `nextLink` of the previous page.' }) },
    answers: { 200: object({ value: listOf(AssignmentShape), nextLink: maybe(text()) }) },
    async handle({ caller, query, version }) {
      const after = pageStart('entra', query.continuation);
      const { page, next } = await assignments.list(caller, 'entra', { size: PAGE, after });
      const last = next?.slice('entra/'.length);
      return ok({
        value: page.map(shown),
        ...(last && { nextLink: `${endpoint}${ENTRA.slice(1)}?api-version=${version}&continuation=${last}` }),
      });
    },
  }),
  route({
    operation: 'getEntraAssignment',
    summary: 'Gives the assignment of an Entra user, group or tenant.',
    at: `GET ${ENTRA}/{objectId}`,
    versions: VERSIONS,
    access: { caller: 'service' },
    answers: { 200: AssignmentShape },
    handle: async ({ caller, path }) => ok(shown(await assignments.get(caller, entraId(path.objectId)))),
  }),
  route({
    operation: 'putEntraAssignment',
    summary: 'Lets an Entra user, the members of a group or a whole tenant get access tokens of the resource.',
    at: `PUT ${ENTRA}/{objectId}`,
    versions: VERSIONS,
    access: { caller: 'service' },
    urgent: { when: ({ caller, path }) => assignments.has(caller, entraId(path.objectId)) },
    body: { schema: EntraBody, kind: 'json' },
    answers: { 200: AssignmentShape, 201: AssignmentShape },
    async handle({ caller, path, body }) {
      const made = assignment(caller.resourceId, 'entra', path.objectId, body);
      return (await assignments.put(made)) ? created(shown(made)) : ok(shown(made));
    },
  }),
  route({
    operation: 'updateEntraAssignments',
    summary: 'Creates, changes and (with null) removes several assignments at once (RFC 7396): all of them or none.',
    at: `PATCH ${ENTRA}`,
    versions: VERSIONS,
    access: { caller: 'service' },
    urgent: { bodyHas: 'null', when: ({ body }) => Object.values(body).some((change) => !change) },
    body: { schema: EntraPatch, kind: 'json' },
    answers: { 200: object({ value: listOf(AssignmentShape) }), 204: 'nothing' },
    async handle({ caller, body }) {
      const changed = await assignments.patch(caller, new Map(Object.entries(body)));
      return changed.length > 0 ? ok({ value: changed.map(shown) }) : noContent();
    },
  }),
  route({
    operation: 'deleteEntraAssignment',
    summary: 'Removes an assignment, and ends the tokens issued by it.',
    at: `DELETE ${ENTRA}/{objectId}`,
    versions: VERSIONS,
    access: { caller: 'service' },
    urgent: true,
    answers: { 204: 'nothing' },
    async handle({ caller, path }) {
      await assignments.delete(caller, entraId(path.objectId));
      return noContent();
    },
  }),
];

const entraId = (objectId: string): AssignmentId => entraAssignmentId(guid(objectId, 'objectId'));
const teamsId = ({ tenantId, objectId }: { tenantId: string; objectId: string }): AssignmentId =>
  teamsAssignmentId(guid(tenantId, 'tenantId'), guid(objectId, 'objectId'));
