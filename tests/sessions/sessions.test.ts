import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SessionKind } from '../../src/callers.ts';
import { SteadyTime } from '../../src/lib/steady-time.ts';
import { REASON_OF, type RevocationKind } from '../../src/revocation/event.ts';
import { RevocationStore } from '../../src/revocation/revocation-store.ts';
import { Revocations } from '../../src/revocation/revocations.ts';
import { SessionIndex } from '../../src/sessions/session-index.ts';
import { type Session, Sessions } from '../../src/sessions/sessions.ts';
import type { Database } from '../../src/storage/database.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { sql } from '../../src/storage/sql.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import { TestClock } from '../harness/server.ts';
import {
  ALICE,
  BOB,
  EVENTS,
  EVERYTHING,
  FakeTokens,
  NEIGHBOUR,
  RESOURCE,
  type TokenWish,
  userWith,
} from '../harness/sessions/fake-tokens.ts';

const LEASE_MS = 500;
const HOUR_MS = 3_600_000;
const KINDS = Object.keys(REASON_OF) as RevocationKind[];

async function givenStore(t: TestContext): Promise<Database> {
  const db = openSqlite(':memory:');
  t.after(() => db.close());
  await migrate(db, 0);
  for (const id of [RESOURCE, NEIGHBOUR])
    await db.rows.run(sql`insert into resources (id, name, location, region, created_at, keys_disabled)
      values (${id}, ${id}, 'unitedstates', 'amer', 0, 0)`);
  return db;
}

/** A node with sessions. Its tokens are made up, its revocations are real. */
class TestNode {
  readonly clock = new TestClock();
  readonly store: RevocationStore;
  readonly revocations: Revocations;
  readonly tokens: FakeTokens;
  readonly sessions: Sessions;
  /** Who was told, in order, and why. */
  readonly told: string[] = [];
  readonly logged: string[] = [];
  readonly notices: string[] = [];

  constructor(db: Database, { nodeId, exclusive }: { nodeId: string; exclusive: boolean }) {
    this.store = new RevocationStore(db);
    const { clock } = this;
    const events = {
      notice: (_: string, message: string) => void this.notices.push(message),
      tokensEnded: () => undefined,
      sessionEnded: (kind: string, reason: string) => void this.logged.push(`${kind} ${reason}`),
    };
    this.revocations = new Revocations(
      { store: this.store, writer: db.writer, clock, events, sleep },
      { nodeId, exclusive, leaseMs: LEASE_MS, windowMs: 25 * HOUR_MS },
    );
    this.tokens = new FakeTokens((token) => this.revocations.check(token));
    const { tokens, revocations } = this;
    this.sessions = new Sessions({ tokens, revocations, time: new SteadyTime(clock), clock, events });
  }

  /** Opens a session for a token that was issued now. */
  async open(name: string, wish: TokenWish = {}, kind: SessionKind = 'socket'): Promise<Session> {
    const end = ({ reason }: { reason: string }) => void this.told.push(`${name} ${reason}`);
    const session = this.sessions.open(this.user(wish), end, kind);
    await session.proven;
    return session;
  }

  /** Looks at the time, and waits until everybody concerned has been told. */
  async tick(): Promise<void> {
    this.sessions.tick();
    await this.sessions.told();
  }

  /** A user with a token that was issued now. */
  user(wish: TokenWish = {}) {
    const issuedAtSeconds = Math.floor(this.clock.now() / 1000);
    return userWith({ position: this.revocations.position, issuedAtSeconds, ...wish });
  }
}

/** An event as of {@link EVENTS}, with bounds after and before what {@link TestNode.give} gives. */
function eventOf(kind: RevocationKind, which: 'ends' | 'spares', { clock }: TestNode) {
  const event = EVENTS[kind][which];
  if (event?.kind !== 'validFrom') return event;
  const seconds = Math.floor(clock.now() / 1000);
  return { ...event, validFromMs: seconds * 1000 + (which === 'ends' ? 1 : 0) };
}

async function givenNodes(t: TestContext, count: number, exclusive = false): Promise<TestNode[]> {
  const db = await givenStore(t);
  const nodes = Array.from({ length: count }, (_, index) => new TestNode(db, { nodeId: `node ${index}`, exclusive }));
  for (const node of nodes) {
    await node.revocations.start();
    t.after(() => node.revocations.stop());
    t.after(() => node.sessions.stop());
  }
  return nodes;
}

async function givenNode(t: TestContext, exclusive = true): Promise<TestNode> {
  const [node] = await givenNodes(t, 1, exclusive);
  assert.ok(node);
  return node;
}

async function givenPair(t: TestContext): Promise<readonly [one: TestNode, other: TestNode]> {
  const [one, other] = await givenNodes(t, 2);
  assert.ok(one && other);
  return [one, other];
}

const revoked = EVENTS.identity.ends;

describe('sessions', () => {
  for (const kind of KINDS)
    test(`of tokens that ${kind} ends are ended before the call returns, with its reason, and no others`, async (t) => {
      const node = await givenNode(t);
      const concerned = await node.open('concerned', EVERYTHING);
      const spared = await node.open('spared', {
        keySlot: 'secondary',
        resourceId: NEIGHBOUR,
        identityId: BOB,
        kid: 'L',
      });
      const others = eventOf(kind, 'spares', node);
      if (others && kind !== 'resource' && kind !== 'signingKey') await node.revocations.record(others);
      assert.equal(concerned.open, true);
      const ends = eventOf(kind, 'ends', node);
      assert.ok(ends);
      await node.revocations.record(ends);
      assert.deepEqual([concerned.open, concerned.refusal?.reason], [false, REASON_OF[kind]]);
      assert.equal(node.told[0], `concerned ${REASON_OF[kind]}`);
      assert.equal(spared.open, kind !== 'all');
    });

  test('are told once; closed ones never; and a client that cannot be told keeps nobody from being told', async (t) => {
    const node = await givenNode(t);
    const closed = await node.open('closed');
    const fail = (): void => {
      throw new Error('no');
    };
    await node.sessions.open(node.user(), fail, 'parked').proven;
    await node.open('told');
    assert.deepEqual(node.sessions.counts, { socket: 2, parked: 1 });
    closed.close();
    closed.close();
    assert.deepEqual([closed.open, closed.refusal], [false, undefined]);
    await node.revocations.record(revoked);
    await node.revocations.record({ kind: 'all' });
    assert.deepEqual(node.told, ['told revoked.identity']);
    assert.deepEqual(node.logged, ['parked revoked.identity', 'socket revoked.identity']);
    assert.equal(node.notices.length, 1);
    assert.deepEqual(node.sessions.counts, { socket: 0, parked: 0 });
  });

  test('of a token that has been ended since it was verified are ended at once', async (t) => {
    const node = await givenNode(t);
    const user = node.user();
    await node.revocations.record({ kind: 'all' });
    const told: string[] = [];
    const session = node.sessions.open(user, ({ reason }) => told.push(reason), 'socket');
    assert.equal(session.open, false);
    await assert.rejects(session.requireOpen(), { reason: 'revoked.all' });
    assert.deepEqual([told, node.sessions.counts], [['revoked.all'], { socket: 0, parked: 0 }]);
  });

  test('end when their signing key or resource is gone for whatever reason', async (t) => {
    const node = await givenNode(t);
    const [one, other] = [await node.open('one'), await node.open('other', { kid: 'L' })];
    node.tokens.gone.add('L');
    await node.tick();
    assert.deepEqual([one.open, other.open], [true, false]);
    node.tokens.gone.add(RESOURCE);
    await node.tick();
    assert.deepEqual(node.told, ['other token.keyUnknown', 'one token.resource']);
  });

  test('of a token that expires are over at that instant, and told when somebody looks', async (t) => {
    const node = await givenNode(t);
    const expSeconds = Math.ceil(node.clock.now() / 1000) + 60;
    const session = await node.open('short', { expSeconds });
    const longer = await node.open('longer', { expSeconds: expSeconds + 1 });
    node.clock.advance(expSeconds * 1000 - node.clock.now() - 1);
    await node.tick();
    assert.equal(session.open, true);
    node.clock.advance(1);
    assert.equal(session.open, false); // nobody has looked yet
    await assert.rejects(session.requireOpen(), { reason: 'token.expired' });
    assert.deepEqual(node.told, []);
    await node.tick();
    assert.deepEqual(node.told, ['short token.expired']);
    assert.equal(longer.open, true);
  });

  test('are looked at by a timer', async (t) => {
    const node = await givenNode(t);
    const expSeconds = Math.ceil(node.clock.now() / 1000) + 60;
    const told = Promise.withResolvers<string>();
    await node.sessions.open(node.user({ expSeconds }), ({ reason }) => told.resolve(reason), 'parked').proven;
    node.clock.advance(61_000);
    const alive = setInterval(() => undefined, 1000); // the timer itself keeps no process alive
    t.after(() => clearInterval(alive));
    assert.equal(await told.promise, 'token.expired');
  });

  test('are not opened by a token that expires while it is verified', async (t) => {
    const node = await givenNode(t);
    const expSeconds = Math.ceil(node.clock.now() / 1000) + 1;
    node.tokens.onVerified = () => node.clock.advance(2000);
    const session = await node.open('short', { expSeconds });
    await assert.rejects(session.requireOpen(), { reason: 'token.expired' });
    assert.deepEqual(node.sessions.counts, { socket: 0, parked: 0 });
  });
});

describe('sessions with a newer token', () => {
  test('go on with it: what ends the former one does not concern them any more, what ends the newer one does', async (t) => {
    const node = await givenNode(t);
    const expSeconds = Math.ceil(node.clock.now() / 1000) + 60;
    const session = await node.open('former', { expSeconds, kid: 'L' });
    await session.renew(node.user({ expSeconds: expSeconds + 60, keySlot: 'secondary' }));
    node.clock.advance(61_000);
    await node.tick();
    await node.revocations.record({ kind: 'key', resourceId: RESOURCE, slot: 'primary' });
    await node.revocations.record({ kind: 'signingKey', kid: 'L' });
    assert.equal(session.open, true);
    await node.revocations.record({ kind: 'key', resourceId: RESOURCE, slot: 'secondary' });
    assert.equal(session.refusal?.reason, 'revoked.key');
  });

  test('of somebody else, or one that is not good, keep the former one', async (t) => {
    const node = await givenNode(t);
    await node.revocations.record({ kind: 'all' });
    const session = await node.open('former');
    for (const wish of [{ identityId: BOB }, { resourceId: NEIGHBOUR }])
      await assert.rejects(session.renew(node.user(wish)), { reason: 'token.otherUser' });
    await assert.rejects(session.renew(node.user({ position: 0 })), { reason: 'revoked.all' });
    assert.equal(session.open, true);
    await node.revocations.record(revoked);
    assert.equal(session.open, false);
  });

  test('do not come back once they have ended, also while it is verified', async (t) => {
    const node = await givenNode(t);
    const session = await node.open('former');
    // Issued after the event that ends the former one.
    const newer = node.user({ position: node.revocations.position + 1 });
    let isFirst = true;
    const { requireStillHeld } = node.tokens;
    node.tokens.requireStillHeld = async (...of) => {
      if (isFirst) {
        isFirst = false;
        await node.revocations.record(revoked);
      }
      return requireStillHeld.apply(node.tokens, of);
    };
    await assert.rejects(session.renew(newer), { reason: 'revoked.identity' });
    assert.equal(session.open, false);
    await assert.rejects(session.renew(node.user()), { reason: 'revoked.identity' });
    assert.deepEqual(node.sessions.counts, { socket: 0, parked: 0 });
  });
});

describe('sessions of a node that is cut off', () => {
  test('are held while its lease is over, and go on with the next heartbeat', async (t) => {
    const node = await givenNode(t, false);
    const session = await node.open('held');
    node.clock.advance(LEASE_MS + 1);
    assert.deepEqual([session.open, session.refusal], [false, undefined]);
    await assert.rejects(session.requireOpen(), { error: 'NotFresh', reason: 'lease.expired' });
    const opened = session.whenOpen();
    await node.tick();
    assert.equal(await Promise.race([opened.then(() => 'open'), sleep(10, 'held')]), 'held');
    await node.revocations.heartbeat();
    assert.equal(session.open, true);
    await node.tick();
    await opened;
  });

  test('do not go on when they were ended meanwhile', async (t) => {
    const [one, other] = await givenPair(t);
    const session = await other.open('cut off');
    const { heartbeat } = other.store;
    await other.revocations.heartbeat();
    other.store.heartbeat = () => Promise.reject(new Error('cut'));
    other.clock.advance(LEASE_MS + 1);
    const ending = one.revocations.record(revoked);
    while (one.revocations.position === other.revocations.position) await sleep(1);
    one.clock.advance(LEASE_MS * 2); // nobody waits for the other one any more
    await ending;
    assert.equal(session.open, false);
    const opened: boolean[] = [];
    const { after } = other.store;
    other.store.after = async (...of) => {
      opened.push(session.open);
      return after.apply(other.store, of);
    };
    other.store.heartbeat = heartbeat;
    await other.revocations.heartbeat();
    await other.sessions.told();
    assert.deepEqual(opened, [false]);
    assert.deepEqual(other.told, ['cut off revoked.identity']);
  });

  test('are ended when that lasts for a minute', async (t) => {
    const node = await givenNode(t, false);
    const session = await node.open('held');
    node.store.heartbeat = () => Promise.reject(new Error('cut'));
    await node.revocations.heartbeat().catch(() => undefined);
    node.clock.advance(LEASE_MS + 1);
    await node.tick();
    const waiting = session.whenOpen();
    node.clock.advance(59_000);
    await node.tick();
    assert.deepEqual(node.told, []);
    node.clock.advance(1000);
    await node.tick();
    assert.deepEqual(node.told, ['held lease.expired']);
    await waiting;
  });
});

describe('sessions of another node', () => {
  for (const kind of KINDS)
    test(`have ended when the call returns that ended their token: ${kind}`, async (t) => {
      const [one, other] = await givenPair(t);
      const session = await other.open('elsewhere', EVERYTHING);
      const ends = eventOf(kind, 'ends', other);
      assert.ok(ends);
      await one.revocations.record(ends);
      assert.deepEqual([session.open, session.refusal?.reason], [false, REASON_OF[kind]]);
    });

  test('have ended before that node says that it has followed', async (t) => {
    const [one, other] = await givenPair(t);
    const session = await other.open('elsewhere');
    const { heartbeat } = other.store;
    const followed: boolean[] = [];
    other.store.heartbeat = (nodeId, head) => {
      if (head.seq > other.revocations.position - 1 && head.seq === one.revocations.position)
        followed.push(session.open);
      return heartbeat.call(other.store, nodeId, head);
    };
    await one.revocations.record(revoked);
    assert.ok(followed.length > 0 && followed.every((open) => !open), String(followed));
  });

  test('do not hold up its heartbeat when there are many to be told', async (t) => {
    const [one, other] = await givenPair(t);
    const told = { count: 0 };
    const end = () => {
      told.count += 1;
      for (const until = performance.now() + 2; performance.now() < until; );
    };
    for (let user = 0; user < 300; user += 1) await other.sessions.open(other.user(), end, 'socket').proven;
    await one.revocations.record(revoked); // 600 ms of telling
    assert.ok(told.count < 300, `${told.count} were told`);
    while (told.count < 300) await sleep(10);
  });
});

describe('when there are many sessions', () => {
  test('an event is compared with those that it may concern, and with no others', async (t) => {
    const node = await givenNode(t);
    const { concernedBy } = SessionIndex.prototype;
    t.after(() => Object.assign(SessionIndex.prototype, { concernedBy }));
    let compared = 0;
    SessionIndex.prototype.concernedBy = function (event) {
      const found = concernedBy.call(this, event);
      compared += found.length;
      return found;
    };
    const idOf = (user: number) => `${ALICE}${user}` as typeof ALICE;
    for (let user = 0; user < 2000; user += 1) await node.open(`user ${user}`, { identityId: idOf(user) });
    await node.revocations.record({ kind: 'identity', resourceId: RESOURCE, identityId: idOf(7) });
    assert.deepEqual([compared, node.told], [1, ['user 7 revoked.identity']]);
  });

  test('all are closed before the first one is told, and all are told, in slices, before the call returns', async (t) => {
    const node = await givenNode(t);
    const sessions: Session[] = [];
    const open = (): number => sessions.filter((session) => session.open).length;
    const openWhenTold: number[] = [];
    const end = (): void => {
      if (openWhenTold.length === 0) openWhenTold.push(open());
      else openWhenTold.push(0);
      for (const until = performance.now() + 0.05; performance.now() < until; );
    };
    for (let user = 0; user < 400; user += 1) sessions.push(node.sessions.open(node.user(), end, 'socket'));
    await Promise.all(sessions.map(({ proven }) => proven));
    let turns = 0;
    const turning = setInterval(() => {
      turns += 1;
    }, 0);
    await node.revocations.record({ kind: 'all' });
    clearInterval(turning);
    assert.deepEqual([openWhenTold.length, openWhenTold[0], open()], [400, 0, 0]);
    assert.ok(turns > 3, `others had ${turns} turns`);
  });

  test('a call that finds its work done returns only when they have been told, too', async (t) => {
    const node = await givenNode(t);
    let told = 0;
    const end = (): void => {
      told += 1;
      for (const until = performance.now() + 0.05; performance.now() < until; );
    };
    for (let user = 0; user < 200; user += 1) await node.sessions.open(node.user(), end, 'socket').proven;
    const first = node.revocations.record(revoked);
    while (told === 0) await new Promise((resolve) => setImmediate(resolve));
    await node.revocations.settled();
    assert.equal(told, 200);
    await first;
  });
});
