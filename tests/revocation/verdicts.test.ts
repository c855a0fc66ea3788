import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import type { AssignmentId, IdentityId, ResourceId, TrustId } from '../../src/callers.ts';
import {
  assignmentFingerprint,
  fingerprint,
  type LoggedEvent,
  REASON_OF,
  type RevocableToken,
  type RevocationEvent,
  revocable,
  subjectOf,
} from '../../src/revocation/event.ts';
import { RevocationState } from '../../src/revocation/revocation-state.ts';

const WINDOW_MS = 1000;
const MANY_BYTES = 2 ** 28;
const [RESOURCE, ELSEWHERE] = ['one', 'two'] as ResourceId[] as [ResourceId, ResourceId];
const [ME, YOU] = ['8:acs:me', '8:acs:you'] as IdentityId[] as [IdentityId, IdentityId];

const given = (mostBytes = MANY_BYTES, applied = 0) => new RevocationState(applied, 0, WINDOW_MS, mostBytes);

/** A token that every kind of event can end. */
const tokenAt = (position: number, more: Partial<RevocableToken> = {}): RevocableToken =>
  revocable({
    resourceId: RESOURCE,
    identityId: ME,
    keySlot: 'primary',
    trustId: 'T' as TrustId,
    assignmentId: 'entra/A' as AssignmentId,
    kid: 'K',
    position,
    issuedAtSeconds: 100,
    ...more,
  });

/** Each event that ends the token, and tokens that it does not concern. */
const EVENTS: [event: RevocationEvent, others: Partial<RevocableToken>[]][] = [
  [{ kind: 'identity', resourceId: RESOURCE, identityId: ME }, [{ identityId: YOU }, { resourceId: ELSEWHERE }]],
  [{ kind: 'identityDeleted', resourceId: RESOURCE, identityId: ME }, [{ identityId: YOU }, { resourceId: ELSEWHERE }]],
  [
    { kind: 'key', resourceId: RESOURCE, slot: 'primary' },
    [{ keySlot: 'secondary' }, { keySlot: undefined }, { resourceId: ELSEWHERE }],
  ],
  [{ kind: 'resource', resourceId: RESOURCE }, [{ resourceId: ELSEWHERE }]],
  [{ kind: 'trust', trustId: 'T' as TrustId }, [{ trustId: 'U' as TrustId }, { trustId: undefined }]],
  [
    { kind: 'assignment', resourceId: RESOURCE, assignmentId: 'entra/A' as AssignmentId },
    [{ assignmentId: 'entra/B' as AssignmentId }, { assignmentId: undefined }, { resourceId: ELSEWHERE }],
  ],
  [{ kind: 'signingKey', kid: 'K' }, [{ kid: 'L' }]],
  [{ kind: 'all' }, []],
];

describe('an event', () => {
  for (const [event, others] of EVENTS) {
    const { kind } = event;
    test(`of kind ${kind} ends what was issued before it, and what it concerns`, () => {
      for (const seq of [1, 2, 7]) {
        const state = given(MANY_BYTES, seq - 1);
        assert.equal(state.verdict(tokenAt(seq - 1)), undefined);
        state.apply({ ...event, seq }, 0);
        assert.equal(state.applied, seq);
        assert.deepEqual(state.verdict(tokenAt(seq - 1)), { kind, seq });
        assert.equal(state.verdict(tokenAt(seq)), undefined);
        for (const other of others) assert.equal(state.verdict(tokenAt(seq - 1, other)), undefined);
      }
    });

    test(`of kind ${kind} is the verdict where it is the newest of all kinds`, () => {
      const state = given();
      const events = [...EVENTS.filter(([other]) => other !== event), [event] as const];
      for (const [index, [next]] of events.entries()) state.apply({ ...next, seq: index + 1 } as LoggedEvent, 0);
      assert.deepEqual(state.verdict(tokenAt(0)), { kind, seq: events.length });
      assert.deepEqual(state.verdict(tokenAt(events.length - 1)), { kind, seq: events.length });
      assert.equal(state.verdict(tokenAt(events.length)), undefined);
    });

    test(`of kind ${kind} takes the one number that is next`, () => {
      const state = given(MANY_BYTES, 10);
      for (const seq of [9, 10, ...(kind === 'all' ? [] : [12])])
        assert.throws(() => state.apply({ ...event, seq }, 0), {
          name: 'StoreError',
          message: `the store is damaged: revocation log: ${seq} follows 10`,
        });
      assert.equal(state.applied, 10);
      state.apply({ ...event, seq: 11 }, 0);
    });
  }

  test('that ends everything may follow a hole', () => {
    const state = given(MANY_BYTES, 10);
    state.apply({ kind: 'all', seq: 1000 }, 0);
    assert.equal(state.applied, 1000);
    assert.deepEqual(state.verdict(tokenAt(999)), { kind: 'all', seq: 1000 });
  });
});

test('an event says in the log what it is about, and in a refusal what it was', () => {
  const bound: RevocationEvent = { kind: 'validFrom', resourceId: RESOURCE, identityId: ME, validFromMs: 0 };
  assert.deepEqual(
    [...EVENTS.map(([event]) => event), bound].map((event) => [REASON_OF[event.kind], subjectOf(event)]),
    [
      ['revoked.identity', ME],
      ['revoked.identityDeleted', ME],
      ['revoked.key', 'primary'],
      ['revoked.resource', undefined],
      ['revoked.trust', 'T'],
      ['revoked.assignment', 'entra/A'],
      ['revoked.signingKey', 'K'],
      ['revoked.all', undefined],
      ['revoked.validFrom', ME],
    ],
  );
});

test('a fingerprint is the first 128 bits of SHA-256 over resource and identity, or over resource and assignment', () => {
  const digest = (text: string) => {
    const bytes = createHash('sha256').update(text).digest();
    return [0, 4, 8, 12].map((at) => bytes.readUInt32LE(at));
  };
  assert.deepEqual([...fingerprint(RESOURCE, ME)], digest('one 8:acs:me'));
  assert.deepEqual([...assignmentFingerprint(RESOURCE, 'entra/A' as AssignmentId)], digest('assignment one entra/A'));
  const token = tokenAt(0);
  assert.deepEqual(token.fingerprint, fingerprint(RESOURCE, ME));
  assert.deepEqual(token.assignmentFingerprint, assignmentFingerprint(RESOURCE, 'entra/A' as AssignmentId));
  assert.equal(tokenAt(0, { assignmentId: undefined }).assignmentFingerprint, undefined);
});

describe('the memory of a node', () => {
  const revoke = (state: RevocationState, seq: number, nowMs = 0): void =>
    state.apply({ kind: 'identity', resourceId: RESOURCE, identityId: `${seq}` as IdentityId, seq }, nowMs);
  const isKept = (state: RevocationState, seq: number): boolean =>
    state.verdict(tokenAt(seq - 1, { identityId: `${seq}` as IdentityId })) !== undefined;

  test('turns when a window has passed, and drops what is two windows old', () => {
    const state = given(MANY_BYTES, 100);
    assert.deepEqual([state.floor, state.size], [100, 0]);
    revoke(state, 101);
    revoke(state, 102, WINDOW_MS);
    assert.deepEqual([state.floor, state.size], [100, 2]);
    revoke(state, 103, WINDOW_MS + 1);
    revoke(state, 104, 2 * WINDOW_MS + 1);
    assert.deepEqual([state.floor, state.size], [100, 4]);
    for (const seq of [101, 102, 103, 104]) assert.ok(isKept(state, seq));
    revoke(state, 105, 2 * WINDOW_MS + 2);
    assert.deepEqual([state.floor, state.size], [102, 3]);
    assert.deepEqual(
      [101, 102, 103, 104, 105].map((seq) => isKept(state, seq)),
      [false, false, true, true, true],
    );
  });

  test('is the newer of what both generations know of an identity', () => {
    const state = given();
    const end = (seq: number, nowMs: number) =>
      state.apply({ kind: 'identity', resourceId: RESOURCE, identityId: ME, seq }, nowMs);
    end(1, 0);
    end(2, WINDOW_MS + 1);
    assert.deepEqual(state.verdict(tokenAt(0)), { kind: 'identity', seq: 2 });
    assert.equal(state.verdict(tokenAt(2)), undefined);
  });

  // A table has 64 slots of 24 bytes and is full with 54; growing takes it to 2.25 times its bytes, and later ones to 1.25.
  for (const [mostBytes, generation] of [
    [6143, 54],
    [6144, 68],
  ] as const) {
    test(`of ${mostBytes} bytes has generations of ${generation} identities, and an eighth left for bounds`, () => {
      const state = given(mostBytes);
      for (let seq = 1; seq <= 2 * generation; seq += 1) revoke(state, seq);
      assert.deepEqual([state.floor, state.size], [0, 2 * generation]);
      revoke(state, 2 * generation + 1);
      assert.deepEqual([state.floor, state.size], [generation, generation + 1]);
    });
  }
});
