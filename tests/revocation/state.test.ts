import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AssignmentId, IdentityId, ResourceId, TrustId } from '../../src/callers.ts';
import { ServiceError } from '../../src/errors.ts';
import { type RevocableToken, revocable } from '../../src/revocation/event.ts';
import { RevocationState } from '../../src/revocation/revocation-state.ts';
import { RevocationStore } from '../../src/revocation/revocation-store.ts';
import { Revocations } from '../../src/revocation/revocations.ts';
import type { Database } from '../../src/storage/database.ts';
import { sql } from '../../src/storage/sql.ts';
import { givenStore } from '../harness/given-store.ts';
import { STORES } from '../harness/postgres.ts';
import { TestClock } from '../harness/server.ts';

const RESOURCE = '00000000-0000-4000-8000-000000000001' as ResourceId;
const HOUR_MS = 3_600_000;
const WINDOW_MS = 25 * HOUR_MS;
const MANY_BYTES = 2 ** 28;

const identity = (n: number): IdentityId => `8:acs:${RESOURCE}_${n}` as IdentityId;

const tokenAt = (position: number, n: number): RevocableToken =>
  revocable({
    resourceId: RESOURCE,
    identityId: identity(n),
    keySlot: 'primary',
    trustId: undefined,
    assignmentId: undefined,
    kid: 'K',
    position,
    issuedAtSeconds: 0,
  });

const revoked = (seq: number, n: number) =>
  ({ kind: 'identity', resourceId: RESOURCE, identityId: identity(n), seq }) as const;

describe('what a node remembers', () => {
  test('is dropped when no living token can meet it, and the floor says so', () => {
    const state = new RevocationState(100, 0, WINDOW_MS, MANY_BYTES);
    state.apply(revoked(101, 1), 0);
    state.apply(revoked(102, 2), 20 * HOUR_MS);
    assert.equal(state.floor, 100);
    state.apply(revoked(103, 3), 26 * HOUR_MS); // the current generation outlived a window: now it is the previous one
    assert.equal(state.floor, 100);
    assert.deepEqual(state.verdict(tokenAt(100, 1)), { kind: 'identity', seq: 101 });
    state.apply(revoked(104, 4), 52 * HOUR_MS);
    assert.equal(state.floor, 102, 'up to here rows decide');
    assert.equal(state.verdict(tokenAt(100, 1)), undefined);
    assert.deepEqual(state.verdict(tokenAt(102, 3)), { kind: 'identity', seq: 103 });
    assert.equal(state.size, 2);
  });

  test('keeps every event above the floor, whatever the clock does', () => {
    const state = new RevocationState(0, 0, WINDOW_MS, MANY_BYTES);
    const jumps = [0, 30, -50, 200, 201, -1000, 26, 27, 5000, 5026, 0, 30];
    for (const [index, hours] of jumps.entries()) {
      state.apply(revoked(index + 1, index), hours * HOUR_MS);
      for (let n = state.floor; n <= index; n += 1)
        assert.deepEqual(state.verdict(tokenAt(n, n)), { kind: 'identity', seq: n + 1 }, `${n} after ${index}`);
    }
  });

  test('stays below the memory it is given, also while a table grows', () => {
    const mostBytes = 2 ** 20;
    const state = new RevocationState(0, 0, WINDOW_MS, mostBytes);
    let most = 0;
    for (let seq = 1; seq <= 200_000; seq += 1) {
      state.apply(revoked(seq, seq), 0);
      if (seq % 500 === 0) {
        for (let n = seq; n > state.floor && n > seq - 20; n -= 1)
          assert.deepEqual(state.verdict(tokenAt(n - 1, n)), { kind: 'identity', seq: n });
        most = Math.max(most, state.size * 24);
      }
    }
    assert.ok(most <= mostBytes, `${most} bytes`);
    assert.ok(state.floor > 150_000);
    assert.ok(state.size > 5000, 'and it uses what it is given');
  });

  test('is kept to the last millisecond of a window, at any time of day', () => {
    const start = Date.parse('2026-06-01');
    const state = new RevocationState(100, start, WINDOW_MS, MANY_BYTES);
    state.apply(revoked(101, 1), start);
    state.apply(revoked(102, 2), start + WINDOW_MS);
    state.apply(revoked(103, 3), start + WINDOW_MS);
    assert.equal(state.floor, 100);
    state.apply(revoked(104, 4), start + WINDOW_MS + 1);
    state.apply(revoked(105, 5), start + 2 * WINDOW_MS + 1);
    assert.equal(state.floor, 100);
    state.apply(revoked(106, 6), start + 2 * WINDOW_MS + 2);
    assert.equal(state.floor, 103);
  });

  test('knows no hole in the log, except before the end of everything', () => {
    const state = new RevocationState(100, 0, WINDOW_MS, MANY_BYTES);
    assert.throws(() => state.apply(revoked(102, 1), 0), /102 follows 100/);
    assert.throws(() => state.apply(revoked(100, 1), 0), /100 follows 100/);
    assert.throws(() => state.apply({ kind: 'all', seq: 99 }, 0), /99 follows 100/);
    state.apply({ kind: 'all', seq: 2000 }, 0);
    assert.deepEqual(state.verdict(tokenAt(1999, 1)), { kind: 'all', seq: 2000 });
    assert.equal(state.verdict(tokenAt(2000, 1)), undefined);
  });

  test('combines all levels into one maximum', () => {
    const state = new RevocationState(0, 0, WINDOW_MS, MANY_BYTES);
    state.apply({ kind: 'key', resourceId: RESOURCE, slot: 'primary', seq: 1 }, 0);
    state.apply(revoked(2, 1), 0);
    state.apply({ kind: 'signingKey', kid: 'K', seq: 3 }, 0);
    state.apply({ kind: 'key', resourceId: RESOURCE, slot: 'secondary', seq: 4 }, 0);
    state.apply({ kind: 'resource', resourceId: 'another' as ResourceId, seq: 5 }, 0);
    for (const [position, kind] of [0, 1, 2, 3, 4, 5].map((at) => [at, at < 3 ? 'signingKey' : undefined] as const))
      assert.equal(state.verdict(tokenAt(position, 1))?.kind, kind, `at ${position}`);
    assert.equal(state.verdict({ ...tokenAt(3, 1), keySlot: 'secondary' })?.kind, 'key');
    assert.equal(state.verdict({ ...tokenAt(3, 1), keySlot: undefined }), undefined);
    state.apply({ kind: 'trust', trustId: 'T' as TrustId, seq: 6 }, 0);
    state.apply({ kind: 'assignment', resourceId: RESOURCE, assignmentId: ASSIGNMENT, seq: 7 }, 0);
    const foreign = { ...tokenAt(6, 1), keySlot: undefined, trustId: 'T' as TrustId, assignmentId: ASSIGNMENT };
    const verdict = (more: Partial<RevocableToken> = {}) => state.verdict(revocable({ ...foreign, ...more }));
    assert.deepEqual(verdict(), { kind: 'assignment', seq: 7 });
    assert.equal(verdict({ assignmentId: undefined }), undefined);
    assert.deepEqual(verdict({ assignmentId: undefined, position: 5 }), { kind: 'trust', seq: 6 });
    assert.equal(verdict({ resourceId: 'another' as ResourceId }), undefined);
    assert.equal(verdict({ trustId: 'U' as TrustId, position: 7 }), undefined);
  });

  test('keeps users of Teams apart, whose id is the same in every resource', () => {
    const state = new RevocationState(0, 0, WINDOW_MS, MANY_BYTES);
    const identityId = `8:orgid:${randomUUID()}` as IdentityId;
    const elsewhere = 'another' as ResourceId;
    state.apply({ kind: 'identity', resourceId: RESOURCE, identityId, seq: 1 }, 0);
    state.apply({ kind: 'validFrom', resourceId: RESOURCE, identityId, validFromMs: 5000, seq: 2 }, 0);
    const here = revocable({ ...tokenAt(0, 1), identityId });
    assert.equal(state.verdict(here)?.kind, 'identity');
    assert.ok(state.needsRows(here), 'because of the bound');
    const there = revocable({ ...here, resourceId: elsewhere });
    assert.equal(state.verdict(there), undefined);
    assert.ok(!state.needsRows(there));
  });
});

const KINDS = ['identity', 'identityDeleted', 'key', 'trust', 'assignment', 'signingKey', 'resource', 'all'] as const;
type Kind = (typeof KINDS)[number];

/** One living resource with three identities, and a node over its rows. */
interface Place {
  readonly db: Database;
  readonly revocations: Revocations;
  readonly resourceId: ResourceId;
  readonly kid: string;
  readonly trustId: TrustId;
}

const ASSIGNMENT = `entra/${randomUUID()}` as AssignmentId;

/** A token that came through the trust and by the assignment, in place of a key. */
const through = ({ trustId }: Place, token: RevocableToken): RevocableToken =>
  revocable({ ...token, keySlot: undefined, trustId, assignmentId: ASSIGNMENT });

const inPlace = ({ resourceId, kid }: Place, position: number, n: number): RevocableToken => {
  const identityId = `8:acs:${resourceId}_${n}` as IdentityId;
  return revocable({ ...tokenAt(position, n), resourceId, kid, identityId });
};

async function givenNode(db: Database, mostBytes: number): Promise<Revocations> {
  const revocations = new Revocations(
    {
      store: new RevocationStore(db),
      writer: db.writer,
      clock: new TestClock(),
      events: { notice: () => undefined, tokensEnded: () => undefined },
      sleep,
    },
    { nodeId: 'one', exclusive: true, leaseMs: 2000, windowMs: WINDOW_MS, mostBytes },
  );
  await revocations.start();
  return revocations;
}

async function givenPlace(db: Database, revocations: Revocations): Promise<Place> {
  const [resourceId, trustId, kid] = [randomUUID() as ResourceId, randomUUID() as TrustId, randomUUID()];
  const place = { db, revocations, resourceId, kid, trustId };
  await db.rows.run(sql`insert into resources (id, name, location, region, created_at, keys_disabled)
    values (${resourceId}, ${resourceId}, 'unitedstates', 'amer', 0, 0)`);
  await db.rows.run(sql`insert into access_keys (resource_id, slot, version, sealed, changed_seq, created_at)
    values (${resourceId}, 'primary', 1, '', 0, 0)`);
  await db.rows.run(sql`insert into signing_keys (kid, alg, state, public_key, created_at)
    values (${kid}, 'RS256', 'active', '', 0)`);
  await db.rows.run(sql`insert into trusts (id, name, enabled, version, definition, ended_seq, created_at, changed_at)
    values (${trustId}, ${trustId}, 1, 1, '{}', 0, 0, 0)`);
  await db.rows.run(sql`
    insert into assignments (resource_id, id, tenant_id, object_id, principal_type, ended_seq, created_at)
    values (${resourceId}, ${ASSIGNMENT}, '', '', 'user', 0, 0)`);
  for (const n of [1, 2, 3])
    await db.rows.run(sql`insert into identities (resource_id, id, created_at, revoked_seq)
      values (${resourceId}, ${inPlace(place, 0, n).identityId}, 0, 0)`);
  return place;
}

/** Ends tokens as the operations do: an event and what they note in their own rows. @returns its position */
async function end({ db, revocations, resourceId, kid, trustId }: Place, kind: Kind): Promise<number> {
  const identityId = `8:acs:${resourceId}_1` as IdentityId;
  const { rows } = db;
  let seq: number;
  switch (kind) {
    case 'identity':
      seq = await revocations.record({ kind, resourceId, identityId });
      await rows.run(sql`update identities set revoked_seq = ${seq} where id = ${identityId}`);
      return seq;
    case 'identityDeleted':
      seq = await revocations.record({ kind, resourceId, identityId });
      await rows.run(sql`delete from identities where id = ${identityId}`);
      return seq;
    case 'key':
      seq = await revocations.record({ kind, resourceId, slot: 'primary' });
      await rows.run(sql`update access_keys set changed_seq = ${seq} where resource_id = ${resourceId}`);
      return seq;
    case 'trust':
      seq = await revocations.record({ kind, trustId });
      await rows.run(sql`update trusts set ended_seq = ${seq} where id = ${trustId}`);
      return seq;
    case 'assignment':
      seq = await revocations.record({ kind, resourceId, assignmentId: ASSIGNMENT });
      await rows.run(sql`update assignments set ended_seq = ${seq} where resource_id = ${resourceId}`);
      return seq;
    case 'signingKey':
      seq = await revocations.record({ kind, kid });
      await rows.run(sql`update signing_keys set killed_seq = ${seq} where kid = ${kid}`);
      return seq;
    case 'resource':
      seq = await revocations.record({ kind, resourceId });
      await rows.run(sql`update resources set deleted_seq = ${seq} where id = ${resourceId}`);
      return seq;
    case 'all':
      return revocations.record({ kind });
  }
}

async function reason(revocations: Revocations, token: RevocableToken): Promise<string> {
  try {
    await revocations.check(token);
    return 'accepted';
  } catch (cause) {
    if (cause instanceof ServiceError) return cause.reason;
    throw cause;
  }
}

for (const store of STORES) {
  test(`tokens from below the floor are judged by rows as by memory, on ${store}`, async (t) => {
    const db = await givenStore(t, store);
    const verdicts = new Map<number, string[][]>();
    for (const mostBytes of [MANY_BYTES, 0]) {
      const revocations = await givenNode(db, mostBytes);
      const found: string[][] = [];
      for (const kind of KINDS) {
        const place = await givenPlace(db, revocations);
        const before = revocations.position;
        const seq = await end(place, kind);
        // Others, so that a small memory has let go of the first one.
        const { resourceId } = place;
        const { identityId } = inPlace(place, 0, 3);
        for (let n = 0; n < 3; n += 1) await revocations.record({ kind: 'identity', resourceId, identityId });
        const isForeign = kind === 'trust' || kind === 'assignment';
        const tokens = [
          isForeign ? through(place, inPlace(place, before, 1)) : inPlace(place, before, 1),
          through(place, inPlace(place, before, 2)),
          inPlace(place, before, 2),
          { ...inPlace(place, before, 2), keySlot: 'secondary' as const },
          ...(kind === 'resource' ? [] : [through(place, inPlace(place, seq, 2))]), // cannot be issued
          ...(kind === 'resource' || kind === 'identityDeleted' ? [] : [inPlace(place, seq, 1)]), // neither
        ];
        found.push(await Promise.all(tokens.map((token) => reason(revocations, token))));
        assert.equal(found.at(-1)?.[0], `revoked.${kind}`);
      }
      verdicts.set(mostBytes, found);
    }
    assert.deepEqual(verdicts.get(0), verdicts.get(MANY_BYTES));
  });
}

for (const store of STORES) {
  test(`a start begins to read before the first event of the window, on ${store}`, async (t) => {
    const db = await givenStore(t, store);
    const log = new RevocationStore(db);
    await db.writer.write((tx) => log.ensureHead(tx, 100));
    assert.equal(await log.startOfWindow(WINDOW_MS), 100, 'no event yet');

    const now = Date.now();
    const add = (kind: string, hours: number): Promise<number> =>
      db.writer.write(async (tx) => {
        await tx.run(sql`update head set seq = seq + 1`);
        return tx.run(sql`insert into revocation_log (seq, kind, at)
          select seq, ${kind}, ${now - Math.round(hours * HOUR_MS)} from head`);
      });
    for (let hours = 40; hours > 30; hours -= 1) await add('signingKey', hours); // 101 to 110
    assert.equal(await log.startOfWindow(WINDOW_MS), 110, 'all too old');
    for (let hours = 29.5; hours > 20; hours -= 1) await add('signingKey', hours); // 111 to 120; 115 is 25.5 hours old
    for (const [hours, start] of [
      [50, 100],
      [25, 115],
      [24, 116],
      [20, 120],
    ] as const)
      assert.equal(await log.startOfWindow(hours * HOUR_MS), start, `${hours} hours`);

    await db.writer.write((tx) => log.jump(tx, 2 ** 40));
    await add('all', 10);
    await add('signingKey', 9);
    const end = 121 + 2 ** 40;
    for (const [hours, start] of [
      [50, end - 1], // what came before the end of everything does not matter any more
      [10.5, end - 1],
      [9.5, end],
      [8.5, end + 1],
    ] as const)
      assert.equal(await log.startOfWindow(hours * HOUR_MS), start, `${hours} hours, after the end of everything`);
  });
}
