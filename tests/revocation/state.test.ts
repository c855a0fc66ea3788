import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IdentityId, ResourceId } from '../../src/callers.ts';
import { ServiceError } from '../../src/errors.ts';
import { fingerprint, type RevocableToken } from '../../src/revocation/event.ts';
import { RevocationState } from '../../src/revocation/revocation-state.ts';
import { RevocationStore } from '../../src/revocation/revocation-store.ts';
import { Revocations } from '../../src/revocation/revocations.ts';
import { sql } from '../../src/storage/sql.ts';
import { STORES } from '../harness/postgres.ts';
import { TestClock } from '../harness/server.ts';
import { givenStore } from '../stores/given-store.ts';

const RESOURCE = '00000000-0000-4000-8000-000000000001' as ResourceId;
const HOUR_MS = 3_600_000;
const WINDOW_MS = 25 * HOUR_MS;
const MANY_BYTES = 2 ** 28;

const identity = (n: number): IdentityId => `8:acs:${RESOURCE}_${n}` as IdentityId;

const tokenAt = (position: number, n: number): RevocableToken => ({
  resourceId: RESOURCE,
  identityId: identity(n),
  fingerprint: fingerprint(identity(n)),
  keySlot: 'primary',
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
    state.apply(revoked(103, 3), 26 * HOUR_MS); // the young generation has outlived a window and becomes the old one
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
    const before = process.memoryUsage().arrayBuffers;
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
    void before;
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
  });
});

for (const store of STORES) {
  describe(`tokens from below the floor on ${store}`, () => {
    /** A node that remembers next to nothing, over the rows of one living resource and three identities. */
    async function given(t: TestContext, mostBytes: number): Promise<Revocations> {
      const db = await givenStore(t, store);
      const clock = new TestClock();
      const log = new RevocationStore(db);
      const revocations = new Revocations(
        {
          store: log,
          writer: db.writer,
          clock,
          events: { notice: () => undefined, tokensEnded: () => undefined },
          sleep,
        },
        { nodeId: 'one', exclusive: true, leaseMs: 2000, windowMs: WINDOW_MS, mostBytes },
      );
      await revocations.start();
      await db.rows.run(sql`insert into resources (id, name, location, region, created_at, keys_disabled)
        values (${RESOURCE}, 'r', 'unitedstates', 'amer', 0, 0)`);
      await db.rows.run(sql`insert into access_keys (resource_id, slot, version, sealed, changed_seq, created_at)
        values (${RESOURCE}, 'primary', 1, '', 0, 0)`);
      await db.rows.run(sql`insert into signing_keys (kid, alg, state, public_key, created_at)
        values ('K', 'RS256', 'active', '', 0)`);
      for (const n of [1, 2, 3])
        await db.rows.run(sql`insert into identities (resource_id, id, created_at, revoked_seq)
          values (${RESOURCE}, ${identity(n)}, 0, 0)`);
      const mark: Record<string, (seq: number) => Promise<number>> = {
        identity: (seq) => db.rows.run(sql`update identities set revoked_seq = ${seq} where id = ${identity(1)}`),
        identityDeleted: () => db.rows.run(sql`delete from identities where id = ${identity(1)}`),
        key: (seq) => db.rows.run(sql`update access_keys set changed_seq = ${seq}`),
        signingKey: (seq) => db.rows.run(sql`update signing_keys set killed_seq = ${seq}`),
        resource: (seq) => db.rows.run(sql`update resources set deleted_seq = ${seq}`),
        all: async () => 0,
      };
      return Object.assign(revocations, { mark });
    }

    const reason = async (revocations: Revocations, token: RevocableToken): Promise<string> => {
      try {
        await revocations.check(token);
        return 'accepted';
      } catch (cause) {
        if (cause instanceof ServiceError) return cause.reason;
        throw cause;
      }
    };

    for (const kind of ['identity', 'identityDeleted', 'key', 'signingKey', 'resource', 'all'] as const) {
      test(`are refused by rows as they are by memory: ${kind}`, async (t) => {
        const verdicts: string[][] = [];
        for (const mostBytes of [MANY_BYTES, 0]) {
          const revocations = await given(t, mostBytes);
          const before = revocations.position;
          const seq = await revocations.record(
            kind === 'identity' || kind === 'identityDeleted'
              ? { kind, resourceId: RESOURCE, identityId: identity(1) }
              : kind === 'key'
                ? { kind, resourceId: RESOURCE, slot: 'primary' }
                : kind === 'signingKey'
                  ? { kind, kid: 'K' }
                  : kind === 'resource'
                    ? { kind, resourceId: RESOURCE }
                    : { kind },
          );
          await (revocations as unknown as { mark: Record<string, (seq: number) => Promise<number>> }).mark[kind]?.(
            seq,
          );
          // Others, so that a small memory has let go of the first one.
          for (const n of [3, 3, 3])
            await revocations.record({ kind: 'identity', resourceId: RESOURCE, identityId: identity(n) });
          const tokens = [
            tokenAt(before, 1),
            tokenAt(before, 2),
            { ...tokenAt(before, 2), keySlot: 'secondary' as const },
          ];
          if (kind !== 'resource' && kind !== 'identityDeleted') tokens.push(tokenAt(seq, 1));
          verdicts.push(await Promise.all(tokens.map((token) => reason(revocations, token))));
        }
        const [byMemory, byRows] = verdicts;
        assert.deepEqual(byRows, byMemory);
        assert.equal(byMemory?.[0], `revoked.${kind}`);
      });
    }
  });
}
