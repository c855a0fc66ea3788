import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { IdentityId, ResourceId } from '../../src/callers.ts';
import { ServiceError } from '../../src/errors.ts';
import { type LoggedEvent, type RevocableToken, revocable, type Verdict } from '../../src/revocation/event.ts';
import type { RevocationStore } from '../../src/revocation/revocation-store.ts';
import { Revocations } from '../../src/revocation/revocations.ts';

// Which tokens the rows are asked about: those that memory cannot decide, and no others.

const RESOURCE = '00000000-0000-4000-8000-000000000001' as ResourceId;
const [ALICE, BOB] = ['8:acs:alice', '8:acs:bob'] as IdentityId[] as [IdentityId, IdentityId];
const NOW_MS = 1_000_000_000;
const WINDOW_MS = 100_000;
/** The second at which the window begins. */
const SECONDS_FLOOR = (NOW_MS - WINDOW_MS) / 1000;
/** Where the log stood when the window began. */
const FLOOR = 100;

const token = (more: Partial<RevocableToken>): RevocableToken =>
  revocable({
    resourceId: RESOURCE,
    identityId: ALICE,
    keySlot: 'primary',
    trustId: undefined,
    assignmentId: undefined,
    kid: 'K',
    position: FLOOR,
    issuedAtSeconds: SECONDS_FLOOR,
    ...more,
  });

/** A node whose memory begins at the floor, over rows that give one verdict and note what they are asked. */
async function givenNode(verdict: Verdict | undefined, ...events: LoggedEvent[]) {
  const asked: { token: RevocableToken; known: number }[] = [];
  const store: Partial<RevocationStore> = {
    ensureHead: async () => undefined,
    head: async () => ({ seq: FLOOR + events.length, config: 1 }),
    startOfWindow: async () => FLOOR,
    after: async (seq, limit) => events.filter((event) => event.seq > seq).slice(0, limit),
    resourcesBoundAfter: async () => [],
    recordedAt: async () => undefined,
    verdictFromRows: async (token, known) => {
      asked.push({ token, known });
      return verdict;
    },
  };
  const revocations = new Revocations(
    {
      store: store as RevocationStore,
      writer: { write: async (work) => work(undefined as never) },
      clock: { now: () => NOW_MS, elapsed: () => 0 },
      events: { notice: assert.fail, tokensEnded: () => undefined },
      sleep: async () => undefined,
    },
    { nodeId: 'one', exclusive: true, leaseMs: 2000, windowMs: WINDOW_MS },
  );
  await revocations.start();
  const judge = async (more: Partial<RevocableToken>): Promise<[answer: string, isAsked: boolean]> => {
    asked.length = 0;
    const answer = await revocations.check(token(more)).then(
      () => 'accepted',
      (cause: unknown) => (cause instanceof ServiceError ? cause.reason : Promise.reject(cause)),
    );
    return [answer, asked.length > 0];
  };
  return { judge, asked, store };
}

const ended: Verdict = { kind: 'identity', seq: 1 };

describe('the rows decide', () => {
  test('about a token from below the floor, and about none from the floor on', async () => {
    const { judge } = await givenNode(ended);
    assert.deepEqual(await judge({ position: FLOOR - 1 }), ['revoked.identity', true]);
    assert.deepEqual(await judge({ position: FLOOR }), ['accepted', false]);
    assert.deepEqual(await (await givenNode(undefined)).judge({ position: FLOOR - 1 }), ['accepted', true]);
  });

  test('about a token from before the window, by the clock, and about none from its first second on', async () => {
    const { judge } = await givenNode({ kind: 'validFrom', seq: undefined, validFromMs: 0 });
    assert.deepEqual(await judge({ issuedAtSeconds: SECONDS_FLOOR - 1 }), ['revoked.validFrom', true]);
    assert.deepEqual(await judge({ issuedAtSeconds: SECONDS_FLOOR }), ['accepted', false]);
    assert.deepEqual(await (await givenNode(undefined)).judge({ issuedAtSeconds: 0 }), ['accepted', true]);
  });

  test('about a token from before a bound of its identity, and about no other', async () => {
    const bound: LoggedEvent = {
      kind: 'validFrom',
      resourceId: RESOURCE,
      identityId: ALICE,
      validFromMs: NOW_MS,
      seq: FLOOR + 1,
    };
    const { judge, asked } = await givenNode({ kind: 'validFrom', seq: undefined, validFromMs: NOW_MS }, bound);
    const before = { position: FLOOR + 1, issuedAtSeconds: NOW_MS / 1000 - 1 };
    assert.deepEqual(await judge(before), ['revoked.validFrom', true]);
    assert.deepEqual(
      asked.map(({ known }) => known),
      [FLOOR + 1],
      'and have to be as new as what this node knows',
    );
    assert.deepEqual(await judge({ ...before, issuedAtSeconds: NOW_MS / 1000 }), ['accepted', false]);
    assert.deepEqual(await judge({ ...before, identityId: BOB }), ['accepted', false]);
    assert.deepEqual(
      await (await givenNode(undefined, bound)).judge(before),
      ['accepted', true],
      'it went with its row',
    );
  });

  test('about no token that memory knows to be ended', async () => {
    const event: LoggedEvent = { kind: 'identity', resourceId: RESOURCE, identityId: ALICE, seq: FLOOR + 1 };
    const { judge } = await givenNode(undefined, event);
    assert.deepEqual(await judge({ position: FLOOR - 1 }), ['revoked.identity', false]);
  });

  test('or the token is not accepted: while they cannot be read, this node cannot tell', async () => {
    const { judge, store } = await givenNode(undefined);
    store.verdictFromRows = () => Promise.reject(new Error('the connection is gone'));
    assert.equal((await judge({ position: FLOOR - 1 }))[0], 'lease.expired');
    assert.equal((await judge({ position: FLOOR }))[0], 'accepted');
  });
});
