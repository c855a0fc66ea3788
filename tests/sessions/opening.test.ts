import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { SteadyTime } from '../../src/lib/steady-time.ts';
import { REASON_OF, type RevocationKind } from '../../src/revocation/event.ts';
import { SessionIndex } from '../../src/sessions/session-index.ts';
import { Sessions } from '../../src/sessions/sessions.ts';
import { TestClock } from '../harness/server.ts';
import {
  EVENTS,
  EVERYTHING,
  FakeRevocations,
  FakeTokens,
  ISSUED_AT,
  TRUST,
  userWith,
} from '../harness/sessions/fake-tokens.ts';

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

/** What is wrong when an event comes at a step of opening. */
async function crossed(t: TestContext, kind: RevocationKind, step: number): Promise<string | undefined> {
  const { revocations, sessions } = given(t);
  const told: string[] = [];
  const session = sessions.open(userWith(EVERYTHING), ({ reason }) => told.push(reason), 'socket');
  for (let turns = 0; turns < step; turns += 1) await null;
  revocations.apply(EVENTS[kind].ends);
  const openAtOnce = session.open;
  await session.proven;
  await sessions.told();
  const at = `after ${kind} at step ${step}`;
  if (openAtOnce || session.open) return `open ${at}`;
  if (told.join() !== REASON_OF[kind]) return `told ${told} ${at}`;
  const { socket } = sessions.counts;
  return socket === 0 ? undefined : `${socket} counted ${at}`;
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
    const { concernedBy } = SessionIndex.prototype;
    t.after(() => Object.assign(SessionIndex.prototype, { concernedBy }));
    // As if it was registered once it is open.
    SessionIndex.prototype.concernedBy = function (event) {
      return concernedBy.call(this, event).filter((holder) => (holder as { session?: unknown }).session);
    };
    assert.notEqual((await allCrossed(t)).length, 0);
  });

  test('is reported when it is open before it has been verified once more', async (t) => {
    t.after(() => Object.assign(FakeTokens.prototype, { requireStillHeld }));
    const { requireStillHeld } = FakeTokens.prototype;
    FakeTokens.prototype.requireStillHeld = () => Promise.resolve();
    const { revocations, sessions } = given(t);
    const user = userWith(EVERYTHING);
    revocations.apply(EVENTS.identity.ends); // between the request and its session
    const session = sessions.open(user, assert.fail, 'socket');
    await session.proven;
    assert.equal(session.open, true);
  });

  test('is refused when the event came between the request and its session', async (t) => {
    const { revocations, sessions } = given(t);
    const user = userWith(EVERYTHING);
    revocations.apply(EVENTS.identity.ends);
    const session = sessions.open(user, () => undefined, 'parked');
    assert.equal(session.open, false);
    await assert.rejects(session.requireOpen(), { reason: 'revoked.identity' });
  });

  test('goes on when the event is about others', async (t) => {
    for (const kind of KINDS) {
      const { spares } = EVENTS[kind];
      if (kind === 'validFrom') continue; // memory only knows that a bound may end the token; the rows would tell
      for (let step = 0; spares && step < STEPS; step += 1) {
        const { revocations, sessions } = given(t);
        const session = sessions.open(userWith(EVERYTHING), assert.fail, 'socket');
        for (let turns = 0; turns < step; turns += 1) await null;
        revocations.apply(spares);
        await session.requireOpen();
      }
    }
  });

  test('is verified again as long as events come', async (t) => {
    const { revocations, tokens, sessions } = given(t);
    let verified = 0;
    tokens.onVerified = () => {
      verified += 1;
      // Of bounds that end nothing, two come while it is verified.
      if (verified <= 2) revocations.apply({ kind: 'trust', trustId: TRUST });
    };
    const session = sessions.open(userWith({ ...EVERYTHING, position: 3 }), assert.fail, 'socket');
    await session.requireOpen();
    assert.equal(verified, 3);
  });

  test('is over when it is closed while it is verified', async (t) => {
    const { revocations, sessions } = given(t);
    const session = sessions.open(userWith(), assert.fail, 'socket');
    session.close();
    revocations.apply({ kind: 'all' });
    await session.proven;
    assert.deepEqual([session.open, sessions.counts], [false, { socket: 0, parked: 0 }]);
  });
});
