import { created, noContent, ok, type Route, route } from '../../http/route.ts';
import { int32, listOf, maybe, object, optional, recordOf, text, truth } from '../../http/schema.ts';
import { wholeSeconds } from '../../lib/instants.ts';
import type { KeySets } from '../../trusts/key-sets.ts';
import { type Grant, PURPOSES, type Trust } from '../../trusts/trust.ts';
import type { Trusts } from '../../trusts/trusts.ts';

const Texts = listOf(text());

const TrustBody = object({
  enabled: optional(truth()),
  issuers: Texts,
  metadata: optional(text()),
  keySet: optional(text()),
  tenants: optional(Texts),
  audiences: optional(object(Object.fromEntries(PURPOSES.map((purpose) => [purpose, optional(Texts)])))),
  applications: optional(Texts),
  algorithms: optional(Texts),
  claims: optional(recordOf(optional(text()))),
  privateAddresses: optional(truth()),
  certificateAuthority: optional(text()),
});

const GrantBody = object({
  principal: object({ kind: text(), value: text() }),
  right: text(),
  resource: text(),
});

const GrantShape = object({
  name: text(),
  principal: object({ kind: text(), value: text() }),
  right: text(),
  resource: text(),
});

const TrustShape = object({
  id: text(),
  name: text(),
  enabled: truth(),
  issuers: Texts,
  metadata: text(),
  keySet: maybe(text()),
  tenants: Texts,
  audiences: object({}),
  applications: Texts,
  algorithms: Texts,
  claims: object({}),
  privateAddresses: truth(),
  certificateAuthority: maybe(text()),
  grants: listOf(GrantShape),
  createdAt: text({ format: 'date-time' }),
  changedAt: text({ format: 'date-time' }),
});

const CheckShape = object({ tenantId: maybe(text()), keys: maybe(int32()), failure: maybe(text()) });

const shownGrant = ({ name, principal, right, resource }: Grant) => ({ name, principal, right, resource });

const shown = ({ id, name, enabled, definition, grants, createdAtMs, changedAtMs }: Trust) => ({
  id,
  name,
  enabled,
  ...definition,
  grants: grants.map(shownGrant),
  createdAt: wholeSeconds(createdAtMs),
  changedAt: wholeSeconds(changedAtMs),
});

/** Whose tokens are trusted, for the operator. */
export const trustRoutes = (trusts: Trusts, keySets: Pick<KeySets, 'check'>): Route[] => [
  route({
    operation: 'listTrusts',
    summary: 'Lists the trusts: the other issuers whose tokens are accepted, and what these tokens permit.',
    at: 'GET /-/trusts',
    access: { caller: 'operator' },
    answers: { 200: object({ value: listOf(TrustShape) }) },
    handle: () => ok({ value: trusts.list().map(shown) }),
  }),
  route({
    operation: 'getTrust',
    summary: 'Gives a trust.',
    at: 'GET /-/trusts/{name}',
    access: { caller: 'operator' },
    answers: { 200: TrustShape },
    handle: ({ path }) => ok(shown(trusts.get(path.name))),
  }),
  route({
    operation: 'putTrust',
    summary: 'Creates a trust, or replaces what it accepts. If it then accepts less, the tokens issued through it end.',
    at: 'PUT /-/trusts/{name}',
    access: { caller: 'operator' },
    urgent: true,
    body: { schema: TrustBody, kind: 'json' },
    answers: { 200: TrustShape, 201: TrustShape },
    async handle({ path, body }) {
      const { enabled, ...wish } = body;
      const { trust, fresh } = await trusts.put(path.name, wish, enabled ?? undefined);
      return fresh ? created(shown(trust)) : ok(shown(trust));
    },
  }),
  route({
    operation: 'checkTrust',
    summary: "Reads the keys of a trust's issuer now, and says why when they cannot be read.",
    at: 'POST /-/trusts/{name}/:check',
    access: { caller: 'operator' },
    reads: true,
    answers: { 200: object({ value: listOf(CheckShape) }) },
    handle: async ({ path }) => ok({ value: await keySets.check(trusts.get(path.name)) }),
  }),
  route({
    operation: 'disableTrust',
    summary: 'Disables a trust, and ends the tokens issued through it.',
    at: 'POST /-/trusts/{name}/:disable',
    access: { caller: 'operator' },
    urgent: true,
    answers: { 200: TrustShape },
    handle: async ({ path }) => ok(shown(await trusts.setEnabled(path.name, false))),
  }),
  route({
    operation: 'enableTrust',
    summary: 'Enables a trust again. Tokens that were ended stay ended.',
    at: 'POST /-/trusts/{name}/:enable',
    access: { caller: 'operator' },
    answers: { 200: TrustShape },
    handle: async ({ path }) => ok(shown(await trusts.setEnabled(path.name, true))),
  }),
  route({
    operation: 'deleteTrust',
    summary: 'Deletes a trust with its grants, and ends the tokens issued through it.',
    at: 'DELETE /-/trusts/{name}',
    access: { caller: 'operator' },
    urgent: true,
    answers: { 204: 'nothing' },
    async handle({ path }) {
      await trusts.delete(path.name);
      return noContent();
    },
  }),
  route({
    operation: 'putGrant',
    summary: 'Lets a principal of a trust act on a resource, or on all.',
    at: 'PUT /-/trusts/{name}/grants/{grant}',
    access: { caller: 'operator' },
    body: { schema: GrantBody, kind: 'json' },
    answers: { 200: GrantShape, 201: GrantShape },
    async handle({ path, body }) {
      const { grant, fresh } = await trusts.putGrant(path.name, path.grant, body);
      return fresh ? created(shownGrant(grant)) : ok(shownGrant(grant));
    },
  }),
  route({
    operation: 'deleteGrant',
    summary: 'Removes a grant. Tokens that the principal has requested stay valid; disabling the trust ends them.',
    at: 'DELETE /-/trusts/{name}/grants/{grant}',
    access: { caller: 'operator' },
    urgent: true,
    answers: { 204: 'nothing' },
    async handle({ path }) {
      await trusts.deleteGrant(path.name, path.grant);
      return noContent();
    },
  }),
];
