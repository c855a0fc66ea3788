import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { ServiceError } from '../../src/errors.ts';
import { SteadyTime } from '../../src/lib/steady-time.ts';
import { REASON_OF, type RevocationKind } from '../../src/revocation/event.ts';
import { SessionIndex } from '../../src/sessions/session-index.ts';
import { type Session, Sessions } from '../../src/sessions/sessions.ts';
import { TestClock } from '../harness/server.ts';
import { EVENTS, EVERYTHING, FakeRevocations, FakeTokens, ISSUED_AT } from './fake-tokens.ts';

// An event may be applied between any two promises that the opening of a session waits for.

const KINDS = Object.keys(REASON_OF) as RevocationKind[];
/** More than opening takes. */
const STEPS = 25;

function given(t: TestContext) {
  const revocations = new FakeRevocations();
  revocations.apply({ kind: 'all' });
  const tokens = new FakeTokens((token) => revocations.check(token));
  const clock = new TestClock(ISSUED_AT * 1000);
  const events = { notice: assert.fail, sessionEnded: () => undefined };
  const sessions = new Sessions({ tokens, revocations, time: new SteadyTime(clock), clock, events });
  t.after(() => sessions.stop());
  return { revocations, tokens, sessions };
}

/** What is left open when an event comes at a step of opening. */
async function crossed(t: TestContext, kind: RevocationKind, step: number): Promise<string | undefined> {
  const { revocations, tokens, sessions } = given(t);
  const token = tokens.give('crossed', EVERYTHING);
  const told: string[] = [];
  const opening = sessions.open(token, { kind: 'socket', end: ({ reason }) => told.push(reason) });
  opening.catch(() => undefined);
  for (let turns = 0; turns < step; turns += 1) await null;
  revocations.apply(EVENTS[kind].ends);
  let session: Session | undefined;
  try {
    session = await opening;
    await sessions.told();
  } catch (cause) {
    assert.ok(cause instanceof ServiceError);
    told.push(cause.reason);
  }
  if (session?.open) return `open after ${kind} at step ${step}`;
  if (told.join() !== REASON_OF[kind]) return `${told} after ${kind} at step ${step}`;
  const { socket } = sessions.counts;
  return socket === 0 ? undefined : `${socket} counted after ${kind} at step ${step}`;
}

async function allCrossed(t: TestContext): Promise<string[]> {
  const found: string[] = [];
  for (const kind of KINDS)
    for (let step = 0; step < STEPS; step += 1) {
      const complaint = await crossed(t, kind, step);
      if (complaint) found.push(complaint);
    }
  return found;
}

describe('a session that is opened while its token is ended', () => {
  test('is ended too, whatever step the event comes at', async (t) => {
    assert.deepEqual(await allCrossed(t), []);
  });

  test('is reported when it cannot be found before it is open', async (t) => {
    const { add, concernedBy } = SessionIndex.prototype;
    t.after(() => Object.assign(SessionIndex.prototype, { add, concernedBy }));
    // As if it was registered once it is open.
    SessionIndex.prototype.concernedBy = function (event) {
      return concernedBy.call(this, event).filter((holder) => (holder as { session?: unknown }).session);
    };
    assert.notEqual((await allCrossed(t)).length, 0);
  });

  test('goes on when the event is about others', async (t) => {
    for (const kind of KINDS) {
      const { spares } = EVENTS[kind];
      for (let step = 0; spares && step < STEPS; step += 1) {
        const { revocations, tokens, sessions } = given(t);
        const opening = sessions.open(tokens.give('spared', EVERYTHING), { kind: 'socket', end: assert.fail });
        for (let turns = 0; turns < step; turns += 1) await null;
        if (kind !== 'validFrom') revocations.apply(spares); // of a bound in memory, only the rows know whether it ends a token
        assert.equal((await opening).open, true, kind);
      }
    }
  });

  test('is verified again as long as events come', async (t) => {
    const { revocations, tokens, sessions } = given(t);
    let verified = 0;
    tokens.onVerified = () => {
      verified += 1;
      if (verified === 2 || verified === 3) revocations.apply({ kind: 'trust', trustId: EVERYTHING.trustId ?? assert.fail() });
      if (verified === 4) tokens.give('crossed', { ...EVERYTHING, position: 4 });
    };
    const token = tokens.give('crossed', { ...EVERYTHING, position: 3 });
    const opened = await sessions.open(token, { kind: 'socket', end: assert.fail });
    assert.deepEqual([opened.open, verified], [true, 4]);
  });
});
