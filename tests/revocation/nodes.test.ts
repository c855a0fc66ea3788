import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IdentityId, ResourceId, ServiceCaller } from '../../src/callers.ts';
import { ServiceError } from '../../src/errors.ts';
import { Identities } from '../../src/identities/identities.ts';
import { IdentityStore } from '../../src/identities/identity-store.ts';
import { Forgetting } from '../../src/resources/forgetting.ts';
import { type RevocableToken, type RevocationEvent, revocable } from '../../src/revocation/event.ts';
import { RevocationStore } from '../../src/revocation/revocation-store.ts';
import { Revocations } from '../../src/revocation/revocations.ts';
import type { Database } from '../../src/storage/database.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { sql } from '../../src/storage/sql.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import { TestClock } from '../harness/server.ts';

const RESOURCE = '00000000-0000-4000-8000-000000000001' as ResourceId;
const ALICE = `8:acs:${RESOURCE}_alice` as IdentityId;
const BOB = `8:acs:${RESOURCE}_bob` as IdentityId;
const HOUR_MS = 3_600_000;
const NOW_SECONDS = Math.floor(Date.now() / 1000);

const revoking = (identityId: IdentityId): RevocationEvent => ({ kind: 'identity', resourceId: RESOURCE, identityId });

const tokenAt = (position: number, more: Partial<RevocableToken> = {}): RevocableToken =>
  revocable({
    resourceId: RESOURCE,
    identityId: ALICE,
    keySlot: 'primary',
    trustId: undefined,
    assignmentId: undefined,
    kid: 'K',
    position,
    issuedAtSeconds: NOW_SECONDS,
    ...more,
  });

/** A point at which the store's answers can be held back. */
class Gate {
  #shut: PromiseWithResolvers<void> | undefined;
  readonly #reached = Promise.withResolvers<void>();

  shut(): void {
    this.#shut = Promise.withResolvers();
  }

  open(): void {
    this.#shut?.resolve();
    this.#shut = undefined;
  }

  get reached(): Promise<void> {
    return this.#reached.promise;
  }

  async pass(): Promise<void> {
    if (this.#shut) this.#reached.resolve();
    await this.#shut?.promise;
  }
}

/** A node on a store shared with others, whose answers can be held back. */
class TestNode {
  readonly heartbeats = new Gate();
  readonly readings = new Gate();
  readonly commits = new Gate();
  readonly notices: string[] = [];
  readonly clock: TestClock;
  readonly store: RevocationStore;
  readonly revocations: Revocations;

  constructor(db: Database, { nodeId, clock = new TestClock(), forgetAfterMs = 60_000, exclusive = false }: NodeWish) {
    this.clock = clock;
    this.store = new RevocationStore(db);
    const { heartbeat, after } = this.store;
    this.store.heartbeat = async (...values) => {
      const head = await heartbeat.apply(this.store, values);
      await this.heartbeats.pass();
      return head;
    };
    this.store.after = async (...values) => {
      const events = await after.apply(this.store, values);
      await this.readings.pass();
      return events;
    };
    this.revocations = new Revocations(
      {
        store: this.store,
        writer: {
          write: async (work) => {
            const result = await db.writer.write(work);
            await this.commits.pass();
            return result;
          },
        },
        clock,
        events: { notice: (_, message) => this.notices.push(message), tokensEnded: () => undefined },
        sleep,
      },
      { nodeId, exclusive, leaseMs: 500, windowMs: 25 * HOUR_MS, forgetAfterMs },
    );
  }

  /** What comes of a check: accepted, or the reason. */
  async verdict(token: RevocableToken): Promise<string> {
    try {
      await this.revocations.check(token);
      return 'accepted';
    } catch (cause) {
      if (cause instanceof ServiceError) return cause.reason;
      throw cause;
    }
  }
}

interface NodeWish {
  nodeId: string;
  clock?: TestClock;
  forgetAfterMs?: number;
  exclusive?: boolean;
}

async function givenStore(t: TestContext): Promise<Database> {
  const db = openSqlite(':memory:');
  t.after(() => db.close());
  await migrate(db, 0);
  return db;
}

async function givenIdentities(db: Database, ...ids: IdentityId[]): Promise<void> {
  await db.rows.run(sql`insert into resources (id, name, location, region, created_at, keys_disabled)
    values (${RESOURCE}, 'here', 'unitedstates', 'amer', 0, 0)`);
  for (const id of ids)
    await new IdentityStore().insert(db.rows, { resourceId: RESOURCE, id, customId: undefined, createdAtMs: 0 });
}

async function givenNode(t: TestContext, db: Database, wish: NodeWish): Promise<TestNode> {
  const node = new TestNode(db, wish);
  t.after(() => node.revocations.stop());
  t.after(() => node.heartbeats.open());
  await node.revocations.start();
  return node;
}

/** Three nodes, of which the last hears nothing after this; its lease holds for as long as its clock stands still. */
async function givenThree(t: TestContext) {
  const db = await givenStore(t);
  const one = await givenNode(t, db, { nodeId: 'one' });
  const two = await givenNode(t, db, { nodeId: 'two' });
  const cutOff = await givenNode(t, db, { nodeId: 'cut off' });
  for (const { revocations } of [one, two, cutOff]) await revocations.heartbeat();
  cutOff.store.heartbeat = () => Promise.reject(new Error('cut off'));
  return { db, one, two, cutOff };
}

/** A promise that can be asked whether it is settled. */
function settling<T>(done: Promise<T>): { done: Promise<T>; isDone: () => boolean } {
  let isDone = false;
  const settled = done.finally(() => {
    isDone = true;
  });
  settled.catch(() => undefined);
  return { done: settled, isDone: () => isDone };
}

describe('nodes on one store', () => {
  test('a heartbeat that read the head before an event of this node is no sign of a lost one', async (t) => {
    const node = await givenNode(t, await givenStore(t), { nodeId: 'one' });
    node.heartbeats.shut();
    const heartbeat = node.revocations.heartbeat();
    await node.heartbeats.reached;
    await node.revocations.record(revoking(ALICE));
    node.heartbeats.open();
    await heartbeat;
    assert.deepEqual(node.notices, []);
    assert.equal(await node.verdict(tokenAt(node.revocations.position)), 'accepted');
  });

  test('catching up is not done with a heartbeat that had read the head before', async (t) => {
    const db = await givenStore(t);
    const node = await givenNode(t, db, { nodeId: 'one' });
    let changes = 0;
    node.revocations.onConfigChanged(async () => void changes++);
    node.heartbeats.shut();
    const before = node.revocations.heartbeat();
    await node.heartbeats.reached;
    await db.writer.write((tx) => node.store.configChanged(tx)); // as another node would
    const caughtUp = node.revocations.catchUp();
    node.heartbeats.open();
    await before;
    assert.equal(changes, 0);
    await caughtUp;
    assert.equal(changes, 1);
  });

  test('an event of this node that comes while the log is read is applied once', async (t) => {
    const node = await givenNode(t, await givenStore(t), { nodeId: 'one' });
    node.commits.shut();
    const recording = node.revocations.record(revoking(ALICE));
    await node.commits.reached; // committed, and this node has not heard of it
    node.readings.shut();
    const heartbeat = node.revocations.heartbeat();
    await node.readings.reached;
    node.commits.open();
    const seq = await recording;
    node.readings.open();
    await heartbeat;
    assert.equal(node.revocations.position, seq);
  });

  test('a node that joins counts no heartbeat from before the others could see it', async (t) => {
    const db = await givenStore(t);
    const one = await givenNode(t, db, { nodeId: 'one' });
    const issuedAt = one.revocations.position;
    const joining = new TestNode(db, { nodeId: 'joining' });
    t.after(() => joining.revocations.stop());
    // On PostgreSQL the event may be committed after the head is read and before the row of the node can be seen.
    const { heartbeat } = joining.store;
    joining.store.heartbeat = async (...values) => {
      joining.store.heartbeat = heartbeat;
      const head = await joining.store.head();
      await one.revocations.record(revoking(ALICE)); // waits for nobody: nobody else is to be seen
      return { ...(await heartbeat.apply(joining.store, values)), ...head };
    };
    await joining.revocations.start();
    assert.equal(await joining.verdict(tokenAt(issuedAt)), 'revoked.identity');
  });

  test('an answer that never comes holds up no later heartbeat', async (t) => {
    const node = await givenNode(t, await givenStore(t), { nodeId: 'one' });
    node.heartbeats.shut();
    const lost = node.revocations.heartbeat();
    await node.heartbeats.reached;
    const { heartbeat } = RevocationStore.prototype;
    node.store.heartbeat = heartbeat.bind(node.store);
    await assert.rejects(lost, /did not answer/);
    node.clock.advance(501);
    assert.equal(await node.verdict(tokenAt(node.revocations.position)), 'accepted');
  });

  test('a node says how far it is only when its keys are as new', async (t) => {
    const db = await givenStore(t);
    const one = await givenNode(t, db, { nodeId: 'one' });
    const other = new TestNode(db, { nodeId: 'other' });
    t.after(() => other.revocations.stop());
    let failing = false;
    other.revocations.onConfigChanged(async () => {
      if (failing) throw new Error('the keys cannot be read');
    });
    await other.revocations.start();
    failing = true;
    const { seq, config } = await db.writer.write(async (tx) => {
      await one.store.append(tx, { kind: 'key', resourceId: RESOURCE, slot: 'primary' });
      return one.store.configChanged(tx);
    });
    for (const _ of [1, 2, 3]) await assert.rejects(other.revocations.heartbeat(), /keys cannot be read/);
    const isBehind = async (): Promise<number[]> => [
      await one.store.nodesBehind({ seq, config: 0 }, 'one'),
      await one.store.nodesBehind({ seq: 0, config }, 'one'),
    ];
    assert.deepEqual(await isBehind(), [1, 1]);
    failing = false;
    await other.revocations.heartbeat();
    assert.deepEqual(await isBehind(), [0, 0]); // told at once, and not with the next heartbeat
    await db.writer.write((tx) => one.store.configChanged(tx));
    await other.revocations.heartbeat();
    assert.equal(await one.store.nodesBehind({ seq: 0, config: config + 1 }, 'one'), 0, 'a change without an event');
  });

  test('a jump of the store’s clock makes nobody forget a node that lives', async (t) => {
    const db = await givenStore(t);
    const one = await givenNode(t, db, { nodeId: 'one' });
    await givenNode(t, db, { nodeId: 'other' });
    await db.rows.run(sql`update nodes set beat = 0 where id = 'other'`); // as if hours ago
    one.clock.advance(59_000);
    await one.revocations.heartbeat();
    one.clock.advance(59_000);
    await one.revocations.heartbeat();
    assert.equal((await one.store.nodes()).length, 2);
  });

  test('a node that was silent for long is forgotten, and comes back without missing anything', async (t) => {
    const db = await givenStore(t);
    const one = await givenNode(t, db, { nodeId: 'one' });
    const silent = await givenNode(t, db, { nodeId: 'silent' });
    const issuedAt = one.revocations.position;
    silent.store.heartbeat = () => Promise.reject(new Error('cut off'));
    for (const _ of [1, 2, 3]) {
      one.clock.advance(50_000);
      await one.revocations.heartbeat();
    }
    assert.deepEqual(
      (await one.store.nodes()).map(({ id }) => id),
      ['one'],
    );
    await one.revocations.record(revoking(ALICE));
    silent.clock.advance(150_000);
    assert.equal(await silent.verdict(tokenAt(issuedAt)), 'lease.expired');
    silent.store.heartbeat = RevocationStore.prototype.heartbeat.bind(silent.store);
    assert.equal(await silent.verdict(tokenAt(issuedAt)), 'revoked.identity');
  });

  test('repeating a deletion on another node returns no sooner than the first call may', async (t) => {
    const db = await givenStore(t);
    const store = new IdentityStore();
    const [one, two, cutOff] = [
      await givenNode(t, db, { nodeId: 'one' }),
      await givenNode(t, db, { nodeId: 'two' }),
      await givenNode(t, db, { nodeId: 'cut off' }),
    ];
    const [caller, events] = [{ resourceId: RESOURCE } as ServiceCaller, { identityCreated: () => undefined } as never];
    const [first, second] = [one, two].map(
      ({ revocations, clock }) =>
        new Identities({ db, store, revocations, forgetting: new Forgetting(), clock, events }),
    );
    const { id } = (await first?.create(caller)) ?? assert.fail();
    const token = tokenAt(one.revocations.position, { identityId: id });
    for (const { revocations } of [one, two, cutOff]) await revocations.heartbeat();
    // Its lease holds for as long as its clock stands still.
    cutOff.store.heartbeat = () => Promise.reject(new Error('cut off'));
    const deleting = first?.delete(caller, id);
    while (await store.find(db.rows, RESOURCE, id)) await sleep(1);
    const repeated = second?.delete(caller, id).then(() => Promise.all([two.verdict(token), cutOff.verdict(token)]));
    await sleep(30);
    for (const { clock } of [one, two, cutOff]) clock.advance(600);
    assert.ok(!(await repeated)?.includes('accepted'));
    await deleting;
  });

  for (const [what, repeat] of Object.entries({
    'that records nothing': (node: TestNode) => node.revocations.end(async () => undefined),
    'that makes no transaction': (node: TestNode) => node.revocations.settled(),
  }))
    for (const where of ['the same node', 'another node'] as const)
      test(`a call ${what}, on ${where}, returns no sooner than the one before it may`, async (t) => {
        const { one, two, cutOff } = await givenThree(t);
        const token = tokenAt(one.revocations.position);
        const first = one.revocations.record(revoking(ALICE));
        while ((await one.store.head()).seq === token.position) await sleep(1);
        const repeating = where === 'the same node' ? one : two;
        const repeated = settling(repeat(repeating));
        await sleep(30);
        assert.deepEqual([repeated.isDone(), await cutOff.verdict(token)], [false, 'accepted']);
        for (const { clock } of [one, two, cutOff]) clock.advance(600);
        await repeated.done;
        assert.notEqual(await cutOff.verdict(token), 'accepted');
        assert.equal(repeating.revocations.position, token.position + 1, 'the node that was asked is one of them');
        await first;
      });

  test('a call that records nothing waits for nobody, however long a node is silent, once what was before it holds', async (t) => {
    const { one, two } = await givenThree(t);
    const first = one.revocations.record(revoking(ALICE));
    await sleep(30);
    for (const { clock } of [one, two]) clock.advance(600);
    await first;
    for (const { revocations, clock } of [one, two]) {
      await revocations.heartbeat();
      clock.advance(600);
      await revocations.heartbeat();
      const calls = [revocations.end(async () => undefined), revocations.settled()].map(settling);
      await sleep(100);
      assert.deepEqual(
        calls.map(({ isDone }) => isDone()),
        [true, true],
      );
    }
    const later = settling(one.revocations.record(revoking(BOB)));
    await sleep(30);
    assert.equal(later.isDone(), false, 'an event');
    const repeated = settling(one.revocations.end(async () => undefined));
    await sleep(30);
    assert.equal(repeated.isDone(), false, 'the call after it');
    one.clock.advance(600);
    await Promise.all([later.done, repeated.done]);
  });

  test('a change returns when the other nodes have read it, and not before', async (t) => {
    const db = await givenStore(t);
    const one = await givenNode(t, db, { nodeId: 'one' });
    const other = new TestNode(db, { nodeId: 'other' });
    const reading = new Gate();
    t.after(() => other.revocations.stop());
    t.after(() => reading.open());
    let read = 0;
    other.revocations.onConfigChanged(async () => {
      await reading.pass();
      read += 1;
    });
    await other.revocations.start();
    assert.equal(read, 1);
    reading.shut();
    const change = settling(one.revocations.change(async () => 'done'));
    await reading.reached;
    await sleep(100);
    assert.deepEqual([change.isDone(), read], [false, 1]);
    reading.open();
    assert.equal(await change.done, 'done');
    assert.equal(read, 2);
  });

  for (const { who, row, holdsUp } of [
    {
      who: 'that is silent holds up a change and an event',
      row: sql`insert into nodes (id, applied_seq, applied_config, beat) values ('silent', 0, 0, 0)`,
      holdsUp: ['change', 'event'],
    },
    {
      who: 'of the release before, which does not say what it has read again, holds up a change and nothing else',
      row: sql`insert into nodes (id, applied_seq, beat) values ('former', ${2 ** 50}, 0)`,
      holdsUp: ['change'],
    },
  ])
    test(`a node ${who} for the length of the lease`, async (t) => {
      const db = await givenStore(t);
      const { revocations, clock } = await givenNode(t, db, { nodeId: 'one' });
      await db.rows.run(row);
      for (const [what, call] of [
        ['change', () => revocations.change(async () => undefined)],
        ['event', () => revocations.record(revoking(ALICE))],
      ] as const) {
        clock.advance(600);
        await revocations.heartbeat(); // whatever was before has held for long
        const called = settling<unknown>(call());
        await sleep(100);
        if (holdsUp.includes(what)) {
          clock.advance(504);
          await sleep(100);
          assert.equal(called.isDone(), false, `${what}: clocks differ by up to one part in a hundred`);
          clock.advance(2);
        }
        await called.done;
      }
    });

  test('a call that records nothing right after an event does not wait for what a node of the release before has read', async (t) => {
    const db = await givenStore(t);
    const { revocations } = await givenNode(t, db, { nodeId: 'one' });
    await db.rows.run(sql`insert into nodes (id, applied_seq, beat) values ('former', ${2 ** 50}, 0)`);
    await revocations.record(revoking(ALICE));
    const called = settling(revocations.end(async () => undefined));
    await sleep(100);
    assert.equal(called.isDone(), true);
  });

  test('a node that joins while something is changed has read it before it accepts anything', async (t) => {
    const db = await givenStore(t);
    const one = await givenNode(t, db, { nodeId: 'one' });
    const joining = new TestNode(db, { nodeId: 'joining' });
    t.after(() => joining.revocations.stop());
    const config = async (): Promise<number> => (await one.store.head()).config;
    let read = 0;
    joining.revocations.onConfigChanged(async () => {
      read = await config();
    });
    // On PostgreSQL the change may be committed after the head is read and before the row of the node can be seen.
    const { heartbeat } = joining.store;
    joining.store.heartbeat = async (...values) => {
      joining.store.heartbeat = heartbeat;
      const head = await joining.store.head();
      await one.revocations.change(async () => undefined); // waits for nobody: nobody else is to be seen
      return { ...(await heartbeat.apply(joining.store, values)), ...head };
    };
    await joining.revocations.start();
    assert.equal(read, await config());
  });

  test('a hole in the log stops a node', async (t) => {
    const db = await givenStore(t);
    const one = await givenNode(t, db, { nodeId: 'one' });
    const other = await givenNode(t, db, { nodeId: 'other' });
    await one.store.forgetNode('other');
    const seq = await one.revocations.record(revoking(ALICE));
    await one.revocations.record(revoking(BOB));
    await db.rows.run(sql`delete from revocation_log where seq = ${seq}`);
    other.clock.advance(501);
    assert.equal(await other.verdict(tokenAt(seq)), 'lease.expired');
  });
});

describe('a store that lost committed state', () => {
  test('is noticed by a token from ahead, refuses everything until it is recovered, and starts again after that', async (t) => {
    const db = await givenStore(t);
    const node = await givenNode(t, db, { nodeId: 'one' });
    await node.revocations.record(revoking(BOB));
    const lost = tokenAt(node.revocations.position + 3);
    assert.equal(await node.verdict(lost), 'token.ahead');
    assert.equal(await node.verdict(tokenAt(node.revocations.position)), 'lease.expired');
    assert.equal(node.notices.length, 1);

    await node.revocations.recover();
    assert.equal(node.revocations.problem, undefined);
    assert.equal(await node.verdict(lost), 'revoked.all');
    assert.equal(await node.verdict(tokenAt(node.revocations.position)), 'accepted');

    const restarted = await givenNode(t, db, { nodeId: 'two' });
    assert.equal(await restarted.verdict(lost), 'revoked.all');
    assert.equal(await restarted.verdict(tokenAt(restarted.revocations.position)), 'accepted');
  });

  test('is no proof that something has long held', async (t) => {
    const db = await givenStore(t);
    const { store, revocations, clock } = await givenNode(t, db, { nodeId: 'one' });
    const seq = await revocations.record(revoking(BOB));
    await revocations.heartbeat();
    await db.rows.run(sql`update head set seq = ${seq - 1}`);
    await db.rows.run(sql`delete from revocation_log where seq = ${seq}`);
    clock.advance(600);
    await revocations.heartbeat();
    await db.rows.run(sql`insert into nodes (id, applied_seq, applied_config, beat) values ('later', 0, 0, 0)`);
    await db.writer.write((tx) => store.append(tx, revoking(ALICE))); // at the position of the one that was lost
    const called = settling(revocations.settled());
    await sleep(50);
    assert.equal(called.isDone(), false);
    clock.advance(600);
    await called.done;
  });

  test('is noticed by a node that had seen more, and its recovery reaches the other nodes', async (t) => {
    const db = await givenStore(t);
    const one = await givenNode(t, db, { nodeId: 'one' });
    const other = await givenNode(t, db, { nodeId: 'other' });
    const seq = await one.revocations.record(revoking(BOB));
    await other.revocations.heartbeat();
    await db.rows.run(sql`update head set seq = ${seq - 1}`);
    await db.rows.run(sql`delete from revocation_log where seq = ${seq}`);
    for (const node of [one, other]) {
      await node.revocations.heartbeat();
      assert.equal(await node.verdict(tokenAt(seq)), 'lease.expired');
    }
    await one.revocations.recover();
    await other.revocations.heartbeat();
    for (const node of [one, other]) {
      assert.equal(await node.verdict(tokenAt(seq)), 'revoked.all');
      assert.equal(await node.verdict(tokenAt(node.revocations.position)), 'accepted');
    }
  });
});

test('on a store of its own a node reads nothing more for a call that records nothing, and asks after no node', async (t) => {
  const db = await givenStore(t);
  const node = new TestNode(db, { nodeId: 'one', exclusive: true });
  await node.revocations.start();
  node.store.head = () => assert.fail('the head was read');
  node.store.nodesBehind = () => assert.fail('other nodes were looked for');
  assert.equal(await node.revocations.end(async () => 'nothing'), 'nothing');
  assert.equal(await node.revocations.change(async () => 'something'), 'something');
  await node.revocations.settled();
});

describe('a restart', () => {
  test('keeps bounds on the time of issue that lie ahead, however old their events are', async (t) => {
    const db = await givenStore(t);
    const first = await givenNode(t, db, { nodeId: 'first' });
    const now = Date.now();
    const validFromMs = NOW_SECONDS * 1000 + HOUR_MS;
    await givenIdentities(db, ALICE, BOB);
    await first.revocations.end(async (tx, record) => {
      await record({ kind: 'validFrom', resourceId: RESOURCE, identityId: ALICE, validFromMs });
      await new IdentityStore().setValidFrom(tx, RESOURCE, ALICE, validFromMs);
    });
    await db.rows.run(sql`update revocation_log set at = ${now - 30 * HOUR_MS}, crc = null`);
    const second = await givenNode(t, db, { nodeId: 'second' });
    for (const node of [first, second]) {
      const token = tokenAt(second.revocations.position);
      assert.equal(await node.verdict(token), 'revoked.validFrom');
      assert.equal(await node.verdict({ ...token, issuedAtSeconds: validFromMs / 1000 }), 'accepted');
      assert.equal(await node.verdict(tokenAt(second.revocations.position, { identityId: BOB })), 'accepted');
    }
  });
});

test('a machine that was suspended, which stops one of the clocks, accepts nothing until it has asked', async (t) => {
  class SuspendedClock extends TestClock {
    asleepMs = 0;
    override now(): number {
      return super.now() + this.asleepMs;
    }
  }
  const clock = new SuspendedClock();
  const { revocations } = await givenNode(t, await givenStore(t), { nodeId: 'one', clock });
  assert.equal(revocations.problem, undefined);
  clock.asleepMs = 501;
  assert.match(String(revocations.problem), /older than the lease/);
  await revocations.requireFresh();
  assert.equal(revocations.problem, undefined);
});
