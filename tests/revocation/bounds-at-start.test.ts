import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IdentityId, ResourceId } from '../../src/callers.ts';
import { ServiceError } from '../../src/errors.ts';
import { revocable } from '../../src/revocation/event.ts';
import { RevocationStore } from '../../src/revocation/revocation-store.ts';
import { Revocations } from '../../src/revocation/revocations.ts';
import type { Database } from '../../src/storage/database.ts';
import { list, sql } from '../../src/storage/sql.ts';
import { givenStore } from '../harness/given-store.ts';
import { STORES } from '../harness/postgres.ts';
import { TestClock } from '../harness/server.ts';

// What a start reads of the bounds on the instant of issue: those that matter, in pages.

const PAGE = 1000;
const HOUR_MS = 3_600_000;
const NOW_SECONDS = 1_800_000_000;
const [BUSY, QUIET, GONE] = ['busy', 'quiet', 'gone'] as ResourceId[] as [ResourceId, ResourceId, ResourceId];

const identity = (resourceId: ResourceId, n: number): IdentityId => `8:acs:${resourceId}_${n}` as IdentityId;

/** The bound of each identity: many have the same, and pages end within them. */
const boundSeconds = (n: number): number => NOW_SECONDS + Math.floor(n / 700);

async function givenBounds(t: TestContext, dialect: Database['dialect']): Promise<Database> {
  const db = await givenStore(t, dialect);
  const insert = async (resourceId: ResourceId, count: number, seconds: (n: number) => number | null) => {
    const deleted = resourceId === GONE ? 1 : null;
    await db.rows.run(sql`insert into resources (id, name, location, region, created_at, keys_disabled, deleted_seq)
      values (${resourceId}, ${resourceId}, 'unitedstates', 'amer', 0, 0, ${deleted})`);
    for (let from = 0; from < count; from += PAGE) {
      const rows = Array.from({ length: Math.min(PAGE, count - from) }, (_, index) => {
        const bound = seconds(from + index);
        return sql`(${resourceId}, ${identity(resourceId, from + index)}, 0, 0, ${bound && bound * 1000})`;
      });
      await db.rows.run(
        sql`insert into identities (resource_id, id, created_at, revoked_seq, tokens_valid_from) values ${list(rows)}`,
      );
    }
  };
  await insert(BUSY, 2 * PAGE + 300, boundSeconds);
  // One that lies ahead, one that no living token was issued before, and one without.
  await insert(QUIET, 3, (n) => [NOW_SECONDS + 1000, NOW_SECONDS - 100 * 3600, null][n] ?? null);
  await insert(GONE, 1, () => NOW_SECONDS + 1000);
  return db;
}

interface Read {
  readonly pages: { resourceId: ResourceId; rows: number }[];
  /** What the rows were asked about after the start. */
  asked: number;
}

async function givenNode(db: Database, mostBytes?: number) {
  const store = new RevocationStore(db);
  const read: Read = { pages: [], asked: 0 };
  const { boundsAfter, verdictFromRows } = store;
  store.boundsAfter = async (...values) => {
    const page = await boundsAfter.apply(store, values);
    read.pages.push({ resourceId: values[0], rows: page.length });
    return page;
  };
  store.verdictFromRows = (...values) => {
    read.asked += 1;
    return verdictFromRows.apply(store, values);
  };
  const revocations = new Revocations(
    {
      store,
      writer: db.writer,
      clock: new TestClock(NOW_SECONDS * 1000),
      events: { notice: assert.fail, tokensEnded: () => undefined },
      sleep,
    },
    {
      nodeId: 'one',
      exclusive: true,
      leaseMs: 2000,
      windowMs: 25 * HOUR_MS,
      ...(mostBytes !== undefined && { mostBytes }),
    },
  );
  await revocations.start();
  const judge = async (resourceId: ResourceId, n: number, issuedAtSeconds: number): Promise<string> => {
    const token = revocable({
      resourceId,
      identityId: identity(resourceId, n),
      keySlot: undefined,
      trustId: undefined,
      assignmentId: undefined,
      kid: 'K',
      position: revocations.position,
      issuedAtSeconds,
    });
    return revocations.check(token).then(
      () => 'accepted',
      (cause: unknown) => (cause instanceof ServiceError ? cause.reason : Promise.reject(cause)),
    );
  };
  return { read, judge };
}

for (const store of STORES) {
  describe(`a start on ${store}`, () => {
    test('reads the bounds that a living token can meet, each once, and those of no deleted resource', async (t) => {
      const { read, judge } = await givenNode(await givenBounds(t, store));
      const pagesOf = (id: ResourceId) =>
        read.pages.filter(({ resourceId }) => resourceId === id).map(({ rows }) => rows);
      assert.deepEqual(pagesOf(BUSY), [PAGE, PAGE, 300]);
      assert.deepEqual(pagesOf(QUIET), [1]);
      assert.deepEqual(pagesOf(GONE), []);
      for (let n = 0; n < 2 * PAGE + 300; n += 1) {
        assert.equal(await judge(BUSY, n, boundSeconds(n) - 1), 'revoked.validFrom', `${n}`);
        read.asked = 0;
        assert.equal(await judge(BUSY, n, boundSeconds(n)), 'accepted', `${n}`);
        assert.equal(read.asked, 0, 'memory has the very bound');
      }
      assert.equal(await judge(QUIET, 0, NOW_SECONDS), 'revoked.validFrom');
      for (const n of [1, 2]) assert.equal(await judge(QUIET, n, NOW_SECONDS), 'accepted');
    });

    test('stops to read those of a resource that has more than fit, whose tokens the rows decide', async (t) => {
      const db = await givenBounds(t, store);
      const { read, judge } = await givenNode(db, (8 * 9 * 20_000) / 4); // 20,000 bytes for bounds
      assert.deepEqual(
        read.pages.filter(({ resourceId }) => resourceId === BUSY).map(({ rows }) => rows),
        [PAGE],
      );
      for (const n of [0, 700, 2 * PAGE + 299]) {
        assert.equal(await judge(BUSY, n, boundSeconds(n) - 1), 'revoked.validFrom');
        assert.equal(await judge(BUSY, n, boundSeconds(n)), 'accepted');
      }
      read.asked = 0;
      assert.equal(await judge(QUIET, 2, NOW_SECONDS), 'accepted');
      assert.equal(read.asked, 0, 'another resource stays in memory');
      assert.equal(await judge(QUIET, 0, NOW_SECONDS), 'revoked.validFrom');
    });
  });
}
