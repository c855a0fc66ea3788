import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { IdentityId, OperatorCaller, ResourceId, ServiceCaller } from '../../src/callers.ts';
import { Identities } from '../../src/identities/identities.ts';
import { IdentityStore } from '../../src/identities/identity-store.ts';
import { Imports } from '../../src/identities/imports.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { Forgetting } from '../../src/resources/forgetting.ts';
import { ResourceStore } from '../../src/resources/resource-store.ts';
import { revocable } from '../../src/revocation/event.ts';
import { RevocationStore } from '../../src/revocation/revocation-store.ts';
import type { Database } from '../../src/storage/database.ts';
import type { Rows } from '../../src/storage/sql.ts';
import { OPERATOR_KEY, withBearer } from '../harness/dev-tokens.ts';
import { assertError } from '../harness/envelope.ts';
import { givenStore } from '../harness/given-store.ts';
import { STORES } from '../harness/postgres.ts';
import { DEV_ID, givenResource, inPath, unusedId } from '../harness/resources.ts';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';

const env = { LINARITE_OPERATOR_KEY: OPERATOR_KEY, LINARITE_SIGNING_ALGORITHM: 'ES256' };

const importInto = (server: TestServer, identities: unknown, resource: string = DEV_ID) =>
  withBearer(server, OPERATOR_KEY, `POST /-/resources/${resource}/identities/:import`, { identities } as object);

const issue = (server: TestServer, id: string) =>
  server.asService(`POST ${inPath(id)}/:issueAccessToken`, { scopes: ['chat'] });

/** A store, and what imports ask of other areas, without the parts of a server. */
const rowsOf = (db: Database) => ({
  db,
  revocations: { positionIn: async (tx: Rows) => (await new RevocationStore(db).head(tx)).seq },
  resources: { isLivingIn: (tx: Rows, id: ResourceId) => new ResourceStore().isLiving(tx, id) },
});

const idOf = (suffix: string, prefix = '8:acs:'): string => `${prefix}${DEV_ID}_${suffix}`;

const suffix = fc
  .array(fc.stringMatching(/^[0-9A-Za-z-]{1,64}$/), { minLength: 1, maxLength: 3 })
  .map((segments) => segments.join('_'));
/** Whatever the original may have given: its layout, another one, with the segments of Teams and Entra users. */
const ids = fc.uniqueArray(
  fc
    .tuple(
      fc.constantFrom('8:acs:', '8:gcch-acs:', '8:dod-acs:'),
      fc.oneof(
        suffix,
        fc.uuid(),
        fc.constant(`${'x'.repeat(64)}_${'y'.repeat(64)}_${'z'.repeat(64)}`),
        fc.uuid().map((object) => `wf_${randomUUID()}_${object}`),
      ),
    )
    .map(([prefix, suffix]) => idOf(suffix, prefix)),
  { minLength: 5, maxLength: 12 },
);

for (const store of STORES) {
  describe(`identities that keep their ids, on ${store}`, () => {
    test('get tokens, are revoked and are deleted like any other, whatever their ids look like', async (t) => {
      const server = await startTestServer(t, { store, env });
      await fc.assert(
        fc.asyncProperty(ids, async (given) => {
          const { status, body } = await importInto(
            server,
            given.map((id) => ({ id })),
          );
          assert.deepEqual([status, body.refused], [200, []]);
          const [id = ''] = given;
          const { token } = (await issue(server, id)).body;
          const { status: welcome, body: me } = await server.asUser(token);
          assert.deepEqual([welcome, me?.identity?.id ?? me?.id], [200, id]);
          const [, payload = ''] = token.split('.');
          assert.equal(JSON.parse(Buffer.from(payload, 'base64url').toString()).skypeid, id.slice(2));
          assert.equal((await server.asService(`POST ${inPath(id)}/:revokeAccessTokens`)).status, 204);
          assert.equal((await server.asUser(token)).status, 401);
          const again = (await issue(server, id)).body.token;
          assert.equal((await server.asUser(again)).status, 200);
          assert.equal((await server.asService(`DELETE ${inPath(id)}`)).status, 204);
          assert.equal((await server.asUser(again)).status, 401);
          assert.equal((await issue(server, id)).body.error.code, 'IdentityNotFound');
        }),
        { numRuns: 15, examples: [[[idOf(`${'x'.repeat(64)}_${'y'.repeat(64)}_${'z'.repeat(64)}`)]]] },
      );
    });

    test('are told apart from what cannot be imported, by their place in the list', async (t) => {
      const server = await startTestServer(t, { store, env });
      const there = await server.givenIdentity({ customId: 'anna' });
      const list = [
        { id: idOf('1') },
        { id: unusedId('00000000-0000-4000-8000-000000000000') },
        { id: 'anna' },
        { id: `8:orgid:${randomUUID()}` },
        { id: '8:spool:old' },
        { id: idOf('2'), customId: 'anna' },
        { id: idOf('3'), customId: '' },
        { id: idOf('4'), createdAt: 'yesterday' },
        { id: idOf('5'), createdAt: '2999-01-01T00:00:00Z' },
        { id: there, customId: 'anna' },
        { id: there },
        { id: there, customId: 'otto' },
        { id: idOf('6'), customId: 'berta', createdAt: '2021-05-06T07:08:09Z' },
        { id: idOf('6') },
        { id: idOf('6'), customId: 'else' },
        { id: idOf('7'), customId: 'berta' },
        { id: idOf('7') },
        { id: idOf('8'), customId: null, createdAt: null },
      ];
      const { status, body } = await importInto(server, list);
      assert.equal(status, 200);
      assert.deepEqual([body.imported, body.unchanged], [3, 3]);
      assert.deepEqual(
        body.refused.map(({ index, error }: { index: number; error: { code: string; target?: string } }) => [
          index,
          error.code,
          error.target,
        ]),
        [
          [1, 'IdentityNotOwned', undefined],
          [2, 'ValidationError', 'id'],
          [3, 'ValidationError', 'id'],
          [4, 'ValidationError', 'id'],
          [5, 'CustomIdTaken', 'customId'],
          [6, 'ValidationError', 'customId'],
          [7, 'ValidationError', 'createdAt'],
          [8, 'ValidationError', 'createdAt'],
          [11, 'IdentityDiffers', 'customId'],
          [14, 'IdentityDiffers', 'customId'],
          [15, 'CustomIdTaken', 'customId'],
          [16, 'CustomIdTaken', 'customId'],
        ],
      );
      const [line, ...more] = server.log.lines.filter(({ message }) => message === 'identities imported');
      assert.deepEqual(line?.facts, { resourceId: DEV_ID, imported: 3, unchanged: 3, refused: 12 });
      assert.deepEqual(more, []);
      assert.doesNotMatch(JSON.stringify(server.log.lines), /_6/, 'no id is logged');
      assert.equal((await server.asService('POST /identities', { customId: 'berta' })).body.identity.id, idOf('6'));
      const { body: entry } = await server.asService(`GET /-/identities/${encodeURIComponent(idOf('6'))}`);
      assert.deepEqual([entry.customId, entry.createdAt], ['berta', '2021-05-06T07:08:09+00:00']);
    });

    test('are there once, however often and however many are imported', async (t) => {
      const server = await startTestServer(t, { store, env });
      const list = Array.from({ length: 1000 }, (_, index) => ({ id: idOf(`${index}`), customId: `user ${index}` }));
      assert.deepEqual((await importInto(server, list.slice(0, 250))).body, {
        imported: 250,
        unchanged: 0,
        refused: [],
      });
      assert.deepEqual((await importInto(server, list)).body, { imported: 750, unchanged: 250, refused: [] });
      assert.deepEqual((await importInto(server, list)).body, { imported: 0, unchanged: 1000, refused: [] });
      assert.deepEqual((await importInto(server, [])).body, { imported: 0, unchanged: 0, refused: [] });
      const { body } = await server.asService('GET /-/identities?pageSize=1000');
      assert.equal(body.value.length, 1000);
      assert.equal(body.continuation, undefined);
    });

    test('come back after a deletion without the tokens that they had, as the memory and the rows tell', async (t) => {
      const server = await startTestServer(t, { store, env });
      const id = idOf('back');
      await importInto(server, [{ id }]);
      const former = (await issue(server, id)).body.token;
      assert.equal((await server.asService(`DELETE ${inPath(id)}`)).status, 204);
      assert.equal((await importInto(server, [{ id }])).body.imported, 1);
      assert.equal((await server.asUser(former)).status, 401);
      assert.equal((await server.asUser((await issue(server, id)).body.token)).status, 200);

      const db = await givenStore(t, store);
      const revocations = new RevocationStore(db);
      const events = { identitiesImported: () => undefined };
      const imports = new Imports({ ...rowsOf(db), store: new IdentityStore(), clock: systemClock, events });
      await db.writer.write(async (tx) => {
        await revocations.ensureHead(tx, 41);
        const resource = { id: DEV_ID, name: 'x', location: '', region: '', created_at: 0 };
        await new ResourceStore().insert(tx, resource);
        const event = { kind: 'identityDeleted', resourceId: DEV_ID, identityId: id as IdentityId } as const;
        await revocations.append(tx, event);
      });
      await imports.run({ kind: 'operator', over: 'everything' }, DEV_ID, [{ id }]);
      const verdictAt = async (position: number) =>
        (
          await revocations.verdictFromRows(
            revocable({
              resourceId: DEV_ID,
              identityId: id as IdentityId,
              keySlot: undefined,
              trustId: undefined,
              assignmentId: undefined,
              kid: '',
              position,
              issuedAtSeconds: 0,
            }),
            0,
          )
        )?.kind;
      assert.deepEqual([await verdictAt(41), await verdictAt(42)], ['identity', undefined]);
    });

    test('are never given to anybody else: new ids avoid them', async (t) => {
      const db = await givenStore(t, store);
      const identityStore = new IdentityStore();
      const quiet = { identitiesImported: () => undefined, identityCreated: () => undefined } as never;
      const caller = { kind: 'service', resourceId: DEV_ID } as ServiceCaller;
      const operator: OperatorCaller = { kind: 'operator', over: 'everything' };
      await db.writer.write(async (tx) => {
        await new RevocationStore(db).ensureHead(tx, 41);
        await new ResourceStore().insert(tx, { id: DEV_ID, name: 'x', location: '', region: '', created_at: 0 });
      });
      let round = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.nat(30), { minLength: 1, maxLength: 20 }),
          fc.array(fc.nat(30), { maxLength: 30 }),
          async (imported, next) => {
            const at = `round-${round++}`;
            const [taken, coming] = [imported, next].map((list) => list.map((number) => idOf(`${at}-${number}`)));
            // A maker that gives taken ids again and again, and then fresh ones.
            const made = [...(coming ?? []), ...Array.from({ length: 9 }, (_, index) => idOf(`${at}-fresh-${index}`))];
            const newId = () => made.shift() as IdentityId;
            const clock = systemClock;
            const identities = new Identities({
              db,
              store: identityStore,
              revocations: {} as never,
              forgetting: new Forgetting(),
              clock,
              events: quiet,
              newId,
            });
            await new Imports({ ...rowsOf(db), store: identityStore, clock, events: quiet }).run(
              operator,
              DEV_ID,
              (taken ?? []).map((id) => ({ id })),
            );
            const created = [];
            for (let index = 0; index < 5; index += 1) created.push((await identities.create(caller)).id);
            assert.equal(new Set([...created, ...(taken ?? [])]).size, 5 + new Set(taken).size);
          },
        ),
        { numRuns: 40 },
      );
    });

    test('need a resource that is there and was not deleted', async (t) => {
      const server = await startTestServer(t, { store, env });
      const { id } = await givenResource(server);
      await server.server.resources.delete(id);
      const unknown = '00000000-0000-4000-8000-000000000000';
      for (const resource of [id, unknown]) {
        const answer = await importInto(server, [{ id: unusedId(resource) }], resource);
        assertError(answer, { status: 404, code: 'ResourceNotFound' }, resource);
      }
      assertError(await importInto(server, [], 'dev'), {
        status: 400,
        code: 'InvalidResourceId',
        target: 'resourceId',
      });
    });
  });
}

test('the creation time of an import is its own, or that of its id, or now', async (t) => {
  const clock = new TestClock(Date.UTC(2026, 5, 1));
  const server = await startTestServer(t, { env, clock });
  const given = {
    [idOf('00000019-5466-0f71-aefa-4e3a0d002539')]: '2023-06-13T11:29:17+00:00',
    [idOf('ffffffff-5466-0f71-aefa-4e3a0d002539')]: '2026-06-01T00:00:00+00:00',
    [idOf('short')]: '2026-06-01T00:00:00+00:00',
  };
  await importInto(
    server,
    Object.keys(given).map((id) => ({ id })),
  );
  for (const [id, createdAt] of Object.entries(given)) {
    const { body } = await server.asService(`GET /-/identities/${encodeURIComponent(id)}`);
    assert.equal(body.createdAt, createdAt, id);
  }
});

test('a list is bounded, and each of its entries has an id', async (t) => {
  const server = await startTestServer(t, { env });
  const list = Array.from({ length: 1001 }, (_, index) => ({ id: idOf(`${index}`) }));
  assertError(await importInto(server, list), { status: 400, code: 'ValidationError', target: 'identities' });
  for (const identities of [[{}], [{ id: 7 }], ['x'], { id: 'x' }, null, undefined])
    assertError(await importInto(server, identities), { status: 400, code: 'ValidationError', target: 'Identities' });
});

test('a caller who manages one resource imports into that one only', async (t) => {
  const db = await givenStore(t, 'sqlite');
  const events = { identitiesImported: () => undefined };
  const imports = new Imports({ ...rowsOf(db), store: new IdentityStore(), clock: systemClock, events });
  const caller: OperatorCaller = { kind: 'operator', over: new Set(['another' as ResourceId]) };
  await assert.rejects(imports.run(caller, DEV_ID, []), { error: 'GrantMissing' });
});
