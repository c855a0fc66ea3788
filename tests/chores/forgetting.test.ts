import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IdentityId, ResourceId, ServiceCaller } from '../../src/callers.ts';
import type { Chore } from '../../src/chores/chore.ts';
import { Identities } from '../../src/identities/identities.ts';
import { IdentityStore } from '../../src/identities/identity-store.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { finishDeletions } from '../../src/resources/deletion-chores.ts';
import { type Forgetter, Forgetting } from '../../src/resources/forgetting.ts';
import type { Resources } from '../../src/resources/resources.ts';
import { RevocationStore } from '../../src/revocation/revocation-store.ts';
import { Revocations } from '../../src/revocation/revocations.ts';
import type { Database } from '../../src/storage/database.ts';
import { batches, list, type Rows, sql } from '../../src/storage/sql.ts';
import { ROWS_PER_STEP, removeInSteps } from '../../src/storage/steps.ts';
import { untilChoreRan } from '../harness/chores/chores.ts';
import { givenStore } from '../harness/given-store.ts';
import { STORES } from '../harness/postgres.ts';
import { givenResource } from '../harness/resources.ts';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';

const HOUR_MS = 3_600_000;
/** Identities of a deleted resource; 100000 for a release. */
const MANY = Number(process.env.TEST_FORGOTTEN ?? 5000);
const RESOURCE = '00000000-0000-4000-8000-000000000001' as ResourceId;
const OTHER = '00000000-0000-4000-8000-000000000002' as ResourceId;
const CALLER = { resourceId: RESOURCE } as ServiceCaller;
const never = (): AbortSignal => new AbortController().signal;

/** A made-up area that keeps one note for each identity. */
class Notes {
  readonly forgetter: Forgetter;
  isBroken = false;

  constructor() {
    this.forgetter = {
      name: 'notes',
      identity: async (resourceId, id, tx) => {
        await tx.run(sql`delete from notes where resource_id = ${resourceId} and identity_id = ${id}`);
        if (this.isBroken) throw new Error('out of order');
      },
    };
  }

  async count(rows: Rows): Promise<number> {
    return (await rows.first<{ count: number }>(sql`select count(*) as count from notes`))?.count ?? 0;
  }
}

/** Identities on a store of their own, beside the notes. */
async function given(t: TestContext, store: (typeof STORES)[number]) {
  const db = await givenStore(t, store);
  await db.rows.run(sql`create table notes (resource_id text, identity_id text)`);
  const forgetting = new Forgetting();
  const events = { notice: () => undefined, tokensEnded: () => undefined, identityCreated: () => undefined } as never;
  const revocations = new Revocations(
    { store: new RevocationStore(db), writer: db.writer, clock: systemClock, events, sleep },
    { nodeId: randomUUID(), exclusive: db.exclusive, leaseMs: 2000, windowMs: HOUR_MS },
  );
  await revocations.start();
  t.after(() => revocations.stop());
  const identities = new Identities({
    db,
    store: new IdentityStore(),
    revocations,
    forgetting,
    clock: systemClock,
    events,
  });
  const givenIdentity = async (): Promise<IdentityId> => {
    const { id } = await identities.create(CALLER);
    await db.rows.run(sql`insert into notes (resource_id, identity_id) values (${RESOURCE}, ${id})`);
    return id;
  };
  return { db, forgetting, revocations, identities, givenIdentity };
}

for (const store of STORES)
  describe(`what belongs to an identity, on ${store}`, () => {
    test('goes with it, in the same transaction', async (t) => {
      const { db, forgetting, identities, givenIdentity } = await given(t, store);
      const notes = new Notes();
      forgetting.register(notes.forgetter);
      const [gone] = [await givenIdentity(), await givenIdentity()];
      await identities.delete(CALLER, gone);
      assert.equal(await notes.count(db.rows), 1);
      await identities.delete(CALLER, gone);
      assert.equal(await notes.count(db.rows), 1);
    });

    test('is not written again by a request that was under way', async (t) => {
      const { db, forgetting, identities, givenIdentity } = await given(t, store);
      const notes = new Notes();
      forgetting.register(notes.forgetter);
      const id = await givenIdentity();
      const write = (requires: boolean) =>
        db.writer.write(async (tx) => {
          if (requires) await identities.requireIn(tx, { resourceId: RESOURCE, identityId: id });
          await tx.run(sql`insert into notes (resource_id, identity_id) values (${RESOURCE}, ${id})`);
        }, RESOURCE);
      await write(true);
      const deleting = identities.delete(CALLER, id);
      const late = write(true).catch((cause: unknown) => cause);
      await deleting;
      await late; // before or after the deletion
      await assert.rejects(write(true), { error: 'TokenRefused', reason: 'revoked.identityDeleted' });
      assert.equal(await notes.count(db.rows), 0);
      await write(false); // planted
      assert.equal(await notes.count(db.rows), 1);
    });

    test('stays with it when it cannot be removed: nothing of the deletion is left', async (t) => {
      const { db, forgetting, revocations, identities, givenIdentity } = await given(t, store);
      const notes = new Notes();
      forgetting.register(notes.forgetter);
      const id = await givenIdentity();
      const { position } = revocations;
      notes.isBroken = true;
      await assert.rejects(identities.delete(CALLER, id), /out of order/);
      assert.equal((await identities.get(CALLER, id)).id, id);
      assert.equal(await notes.count(db.rows), 1);
      await revocations.heartbeat();
      assert.equal(revocations.position, position, 'and its tokens were not ended');
      notes.isBroken = false;
      await identities.delete(CALLER, id);
      assert.equal(await notes.count(db.rows), 0);
    });

    test('would stay when the area were not asked, or asked in another transaction', async (t) => {
      const { db, identities, forgetting, givenIdentity } = await given(t, store);
      const notes = new Notes();
      await identities.delete(CALLER, await givenIdentity());
      assert.equal(await notes.count(db.rows), 1, 'nobody asked');
      const id = await givenIdentity();
      let removing: Promise<void> | undefined;
      const late = async () => {
        removing = db.writer.write(async (tx) => {
          await tx.run(sql`delete from notes`);
        });
        throw new Error('out of order');
      };
      forgetting.register({ name: 'late', identity: late });
      await assert.rejects(identities.delete(CALLER, id), /out of order/);
      await removing;
      assert.equal((await identities.get(CALLER, id)).id, id);
      assert.equal(await notes.count(db.rows), 0, 'the identity has lost its notes');
    });
  });

describe('those who forget', () => {
  const named = (name: string, calls: string[], resource?: Forgetter['resource']): Forgetter => ({
    name,
    identity: async () => void calls.push(`${name} identity`),
    resource: async (id, signal) => {
      calls.push(name);
      await resource?.(id, signal);
    },
  });

  test('are called one after the other, those registered last first', async () => {
    const calls: string[] = [];
    const forgetting = new Forgetting();
    forgetting.register(named('core', calls), named('above it', calls));
    forgetting.register(named('plane', calls, () => sleep(5)));
    await forgetting.resource(RESOURCE, never());
    await forgetting.identityIn({} as Rows, RESOURCE, 'id' as IdentityId);
    const order = ['plane', 'above it', 'core'];
    assert.deepEqual(calls, [...order, ...order.map((name) => `${name} identity`)]);
  });

  test('have a name each', () => {
    const forgetting = new Forgetting();
    forgetting.register(named('one', []));
    assert.throws(() => forgetting.register(named('one', [])), /registered already/);
  });

  test('are not called after one that failed, or that was told to end', async () => {
    const calls: string[] = [];
    const forgetting = new Forgetting();
    const ending = new AbortController();
    const outcomes = [
      () => Promise.reject(new Error('out of order')),
      async () => ending.abort(new Error('the server stops')),
      async () => undefined,
    ];
    forgetting.register(
      named('core', calls),
      named('plane', calls, () => outcomes.shift()?.() ?? Promise.resolve()),
    );
    await assert.rejects(forgetting.resource(RESOURCE, never()), /out of order/);
    await assert.rejects(forgetting.resource(RESOURCE, ending.signal), /the server stops/);
    assert.deepEqual(calls, ['plane', 'plane']);
    await forgetting.resource(RESOURCE, never());
    assert.deepEqual(calls, ['plane', 'plane', 'plane', 'core']);
  });

  test('one resource that cannot be forgotten does not hold up the others, and is tried again', async () => {
    const left = new Set([RESOURCE, OTHER]);
    let isBroken = true;
    const chore = finishDeletions({
      resources: { unfinishedDeletions: async () => [...left], noteSweep: async (id) => void left.delete(id) },
      forgetting: {
        resource: async (id) => {
          if (isBroken && id === RESOURCE) throw new Error('out of order');
        },
      },
    });
    await assert.rejects(chore.run(never()), AggregateError);
    assert.deepEqual([...left], [RESOURCE]);
    isBroken = false;
    await chore.run(never());
    assert.deepEqual([...left], []);
  });
});

/** A server whose own run is over: the next one comes after the test. */
async function givenServer(t: TestContext, store: (typeof STORES)[number], clock?: TestClock): Promise<TestServer> {
  const server = await startTestServer(t, { store, ...(clock && { clock }) });
  await untilChoreRan('deletions', async () => (await server.send({ target: '/-/metrics' })).text);
  return server;
}

const choreOf = (resources: Resources, forgetter: Forgetter): Chore => {
  const forgetting = new Forgetting();
  forgetting.register(forgetter);
  return finishDeletions({ resources, forgetting });
};

for (const store of STORES)
  describe(`what belongs to a resource, on ${store}`, () => {
    test('is tried again until all of it is removed', async (t) => {
      const server = await givenServer(t, store);
      const { resources } = server.server;
      const { id } = await givenResource(server);
      await resources.delete(id);
      const called: ResourceId[] = [];
      const forget = async (one: ResourceId) => {
        called.push(one);
        if (called.length < 3) throw new Error('out of order');
      };
      const chore = choreOf(resources, { name: 'plane', resource: forget });
      for (let count = 0; count < 2; count += 1) {
        await assert.rejects(chore.run(never()), AggregateError);
        assert.deepEqual(await resources.unfinishedDeletions(), [id]);
      }
      for (let count = 0; count < 3; count += 1) await chore.run(never());
      assert.deepEqual(await resources.unfinishedDeletions(), []);
      assert.deepEqual(called, [id, id, id]);
    });

    test('is removed once more an hour later, for a request that was under way at the deletion', async (t) => {
      const clock = new TestClock();
      const server = await givenServer(t, store, clock);
      const { resources, identities } = server.server;
      const { id } = await givenResource(server);
      const caller = { resourceId: id } as ServiceCaller;
      const left = () => identities.list(caller, { size: 9, after: undefined, customId: undefined });
      await resources.delete(id);
      const chore = choreOf(resources, identities.forgetter);
      await Promise.all([chore.run(never()), chore.run(never())]); // which count as one
      await identities.create(caller); // too late
      await chore.run(never());
      assert.equal((await left()).page.length, 1, 'not due');
      clock.advance(HOUR_MS);
      assert.deepEqual(await resources.unfinishedDeletions(), [id]);
      await chore.run(never());
      assert.equal((await left()).page.length, 0);
      clock.advance(24 * HOUR_MS);
      assert.deepEqual(await resources.unfinishedDeletions(), []);
    });

    /**
     * Rows that may be removed between asking for a write and its answer: a few steps. PostgreSQL has several transactions at a
     * time, so there a write waits for no step, and takes as long as it takes.
     */
    const MOST_BETWEEN = store === 'sqlite' ? 8 * ROWS_PER_STEP : MANY / 2;

    async function givenMany(db: Database): Promise<void> {
      const ids = Array.from({ length: MANY }, (_, index) => `8:acs:${RESOURCE}_${String(index).padStart(6, '0')}`);
      await db.writer.write(async (tx) => {
        for (const some of batches(ids)) {
          const rows = some.map((id) => sql`(${RESOURCE}, ${id}, 0, 0)`);
          await tx.run(sql`insert into identities (resource_id, id, created_at, revoked_seq) values ${list(rows)}`);
        }
      });
    }

    /** Writes of another resource beside a removal. @returns the most rows that were removed while one of them waited */
    async function writesBeside(
      db: Database,
      remove: (store: IdentityStore) => Promise<void>,
    ): Promise<{ most: number; writes: number }> {
      const identities = new IdentityStore();
      let removed = 0;
      const counting = Object.create(identities, {
        deleteSome: {
          value: async (...args: Parameters<IdentityStore['deleteSome']>) => {
            const count = await identities.deleteSome(...args);
            removed += count;
            return count;
          },
        },
      }) as IdentityStore;
      let isOver = false;
      let [most, writes] = [0, 0];
      const removing = remove(counting).finally(() => {
        isOver = true;
      });
      while (!isOver) {
        const before = removed;
        const identity = { resourceId: OTHER, id: `8:acs:${OTHER}_${writes}` as IdentityId };
        await db.writer.write(
          (tx) => identities.insert(tx, { ...identity, customId: undefined, createdAtMs: 0 }),
          OTHER,
        );
        most = Math.max(most, removed - before);
        writes += 1;
      }
      await removing;
      return { most, writes };
    }

    const countOf = async ({ rows }: Database): Promise<number> =>
      (
        await rows.first<{ count: number }>(
          sql`select count(*) as count from identities where resource_id = ${RESOURCE}`,
        )
      )?.count ?? -1;

    test(`of ${MANY} rows does not hold up the writes of others`, async (t) => {
      const db = await givenStore(t, store);
      await givenMany(db);
      const { most, writes } = await writesBeside(db, async (rows) => {
        const uses = { db, store: rows } as ConstructorParameters<typeof Identities>[0];
        await new Identities(uses).forgetter.resource?.(RESOURCE, never());
      });
      t.diagnostic(`at most ${most} rows were removed while a write waited, ${writes} writes`);
      assert.equal(await countOf(db), 0);
      // PostgreSQL has several transactions at a time: a write there may be slow, and never waits for a step.
      if (store === 'sqlite') assert.ok(most <= MOST_BETWEEN, `${most} rows were removed while a write waited`);
      assert.ok(writes >= MANY / ROWS_PER_STEP / 10, `${writes} writes`);
    });

    // PostgreSQL has several transactions at a time.
    if (store === 'sqlite')
      test('would hold them up in one transaction', async (t) => {
        const db = await givenStore(t, store);
        await givenMany(db);
        const { most } = await writesBeside(db, (rows) =>
          db.writer.write(async (tx) => {
            while ((await rows.deleteSome(tx, RESOURCE, ROWS_PER_STEP)) > 0);
          }),
        );
        assert.ok(most > MOST_BETWEEN, String(most));
      });

    test('is left where it is when the server stops, in the middle', async (t) => {
      const db = await givenStore(t, store);
      await givenMany(db);
      const stopping = new AbortController();
      let steps = 0;
      const removing = removeInSteps(db, { turn: RESOURCE, signal: stopping.signal }, (tx, limit) => {
        steps += 1;
        if (steps === 5) stopping.abort(new Error('the server stops'));
        return new IdentityStore().deleteSome(tx, RESOURCE, limit);
      });
      await assert.rejects(removing, /the server stops/);
      assert.equal(await countOf(db), MANY - 5 * ROWS_PER_STEP);
    });
  });
