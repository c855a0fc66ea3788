import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AssignmentId, IdentityId, ResourceId, ServiceCaller } from '../../src/callers.ts';
import { ServiceError } from '../../src/errors.ts';
import { assignment } from '../../src/exchanges/assignment.ts';
import { AssignmentStore } from '../../src/exchanges/assignment-store.ts';
import { Assignments } from '../../src/exchanges/assignments.ts';
import { Identities } from '../../src/identities/identities.ts';
import { IdentityStore } from '../../src/identities/identity-store.ts';
import { Forgetting } from '../../src/resources/forgetting.ts';
import { type RevocableToken, revocable } from '../../src/revocation/event.ts';
import { RevocationStore } from '../../src/revocation/revocation-store.ts';
import { Revocations } from '../../src/revocation/revocations.ts';
import type { Database } from '../../src/storage/database.ts';
import { sql } from '../../src/storage/sql.ts';
import { givenStore } from '../harness/given-store.ts';
import { STORES } from '../harness/postgres.ts';
import { Random } from '../harness/revocation/simulation.ts';
import { TestClock } from '../harness/server.ts';

// Memory and rows decide about the same tokens: whatever a node has let go of, its verdicts stay what they were.

const SEED = Number(process.env.TEST_REVOCATION_SEED ?? Date.now() % 1_000_000);
/** 1,000 for a release. */
const HISTORIES = Number(process.env.TEST_HISTORIES ?? 12);
const STEPS = 40;
const HOUR_MS = 3_600_000;
const MANY_BYTES = 2 ** 28;
const CLIENTS = [randomUUID(), randomUUID()];

interface Ended {
  readonly about: string;
  /** How much had happened before. */
  readonly step: number;
}

interface Issued {
  readonly token: RevocableToken;
  readonly step: number;
}

/** What must come of a history, told by steps in place of positions. */
class Expected {
  #step = 0;
  readonly #ends: Ended[] = [];
  readonly #bounds = new Map<string, number>();

  /** @returns the number of what happens now */
  next(): number {
    this.#step += 1;
    return this.#step;
  }

  end(about: string): void {
    this.#ends.push({ about, step: this.next() });
  }

  delete(id: string): void {
    this.end(id);
    this.#bounds.delete(id);
  }

  bound(id: string, ms: number, nowMs: number): void {
    const isNow = Math.abs(ms - nowMs) <= 1000;
    const rises = ms > (this.#bounds.get(id) ?? Number.NEGATIVE_INFINITY);
    if (isNow || (rises && ms > nowMs)) this.end(id);
    if (!isNow && rises) this.#bounds.set(id, ms);
  }

  isEnded({ token, step }: Issued): boolean {
    const { identityId, assignmentId, issuedAtSeconds } = token;
    return (
      this.#ends.some((end) => end.step > step && (end.about === identityId || end.about === assignmentId)) ||
      issuedAtSeconds * 1000 < (this.#bounds.get(identityId) ?? Number.NEGATIVE_INFINITY)
    );
  }
}

/** A node of a store that nobody follows by itself: it learns at each heartbeat. */
async function givenNode(db: Database, clock: TestClock, wish: { mostBytes: number; windowMs?: number }) {
  const revocations = new Revocations(
    {
      store: new RevocationStore(db),
      writer: db.writer,
      clock,
      events: { notice: () => assert.fail(), tokensEnded: () => undefined },
      sleep,
    },
    { nodeId: 'one', exclusive: true, leaseMs: 2000, windowMs: 25 * HOUR_MS, ...wish },
  );
  await revocations.start();
  return revocations;
}

class History {
  readonly #db: Database;
  readonly #random: Random;
  readonly #clock: TestClock;
  readonly #nodes: ReadonlyMap<string, Revocations>;
  readonly #identities: Identities;
  readonly #assignments: Assignments;
  readonly #caller: ServiceCaller;
  readonly #ids: readonly IdentityId[];
  readonly #objectIds = [randomUUID(), randomUUID()];
  readonly #expected = new Expected();
  readonly #issued: Issued[] = [];
  accepted = 0;
  refused = 0;

  private constructor(
    db: Database,
    random: Random,
    resourceId: ResourceId,
    clock: TestClock,
    first: Revocations,
    others: ReadonlyMap<string, Revocations>,
  ) {
    this.#db = db;
    this.#random = random;
    this.#clock = clock;
    this.#nodes = new Map([['with all in memory', first], ...others]);
    const common = { db, revocations: first, clock };
    const events = { identityCreated: () => undefined } as never;
    this.#identities = new Identities({ ...common, store: new IdentityStore(), forgetting: new Forgetting(), events });
    this.#assignments = new Assignments({ ...common, store: new AssignmentStore() });
    this.#caller = { resourceId } as ServiceCaller;
    this.#ids = [1, 2, 3].map((n) => `8:acs:${resourceId}_${n}` as IdentityId);
  }

  static async of(db: Database, seed: number): Promise<History> {
    const clock = new TestClock();
    const resourceId = randomUUID() as ResourceId;
    await db.rows.run(sql`insert into resources (id, name, location, region, created_at, keys_disabled)
      values (${resourceId}, ${resourceId}, 'unitedstates', 'amer', 0, 0)`);
    const first = await givenNode(db, clock, { mostBytes: MANY_BYTES });
    const others = new Map([['with nothing in memory', await givenNode(db, clock, { mostBytes: 0 })]]);
    return new History(db, new Random(seed), resourceId, clock, first, others);
  }

  async run(): Promise<void> {
    for (let step = 0; step < STEPS; step += 1) {
      await (this.#random.chance(0.5) ? this.#issue() : this.#act());
      if (this.#random.chance(0.2)) this.#clock.advance(this.#random.pick([-2, -1, 1, 2, 30]) * HOUR_MS);
      if (step % 8 === 7) await this.#compare();
    }
  }

  async #issue(): Promise<void> {
    const { resourceId } = this.#caller;
    const [identityId, objectId] = [this.#random.pick(this.#ids), this.#random.pick(this.#objectIds)];
    const assignmentId = `entra/${objectId}` as AssignmentId;
    // As an exchange does it, which makes an identity again that was deleted.
    const position = await this.#db.writer.write(async (tx) => {
      await this.#identities.ensureIn(tx, resourceId, identityId);
      const found = await new AssignmentStore().find(tx, resourceId, assignmentId);
      const { seq } = await new RevocationStore(this.#db).head(tx);
      return { seq, assignmentId: found?.id };
    });
    const token = revocable({
      resourceId,
      identityId,
      keySlot: undefined,
      trustId: undefined,
      assignmentId: position.assignmentId,
      kid: 'K',
      position: position.seq,
      issuedAtSeconds: Math.floor(this.#clock.now() / 1000),
    });
    this.#issued.push({ token, step: this.#expected.next() });
  }

  async #act(): Promise<void> {
    const { resourceId } = this.#caller;
    const [id, objectId] = [this.#random.pick(this.#ids), this.#random.pick(this.#objectIds)];
    const assignmentId = `entra/${objectId}` as AssignmentId;
    const find = () => this.#assignments.get(this.#caller, assignmentId).catch(() => undefined);
    const exists = await this.#identities.get(this.#caller, id).then(
      () => true,
      () => false,
    );
    switch (this.#random.pick(['revoke', 'delete', 'bound', 'bound', 'assign', 'withdraw'] as const)) {
      case 'revoke':
        if (!exists) return;
        await this.#identities.revokeTokens(this.#caller, id);
        return this.#expected.end(id);
      case 'delete':
        if (!exists) return;
        await this.#identities.delete(this.#caller, id);
        return this.#expected.delete(id);
      case 'bound': {
        if (!exists) return;
        const ms = this.#clock.now() + this.#random.pick([-50, -26, -2, -0.5, 0, 0.5, 2, 26, 9000]) * HOUR_MS;
        await this.#identities.setTokensValidFrom(this.#caller, id, ms);
        return this.#expected.bound(id, ms, this.#clock.now());
      }
      case 'assign': {
        const former = await find();
        const clientIds = CLIENTS.slice(0, this.#random.pick([1, 2]));
        const wish = { tenantId: CLIENTS[0] ?? '', principalType: 'user', clientIds };
        await this.#assignments.put(assignment(resourceId, 'entra', objectId, wish));
        const isNarrowed = (former?.clientIds?.length ?? 0) > clientIds.length;
        return isNarrowed ? this.#expected.end(assignmentId) : undefined;
      }
      case 'withdraw': {
        const former = await find();
        await this.#assignments.delete(this.#caller, assignmentId);
        return former ? this.#expected.end(assignmentId) : undefined;
      }
    }
  }

  async #compare(): Promise<void> {
    for (const revocations of this.#nodes.values()) await revocations.heartbeat();
    const nodes = new Map([
      ...this.#nodes,
      ['just started', await givenNode(this.#db, this.#clock, { mostBytes: MANY_BYTES })],
      ['just started, long after', await givenNode(this.#db, this.#clock, { mostBytes: MANY_BYTES, windowMs: -1 })],
    ]);
    for (const [index, issued] of this.#issued.entries()) {
      const expected = this.#expected.isEnded(issued);
      this[expected ? 'refused' : 'accepted'] += 1;
      for (const [name, revocations] of nodes)
        assert.equal(await isRefused(revocations, issued.token), expected, `token ${index}, a node ${name}`);
    }
  }
}

async function isRefused(revocations: Revocations, token: RevocableToken): Promise<boolean> {
  try {
    await revocations.check(token);
    return false;
  } catch (cause) {
    if (cause instanceof ServiceError && cause.error === 'TokenRefused') return true;
    throw cause;
  }
}

for (const store of STORES) {
  describe(`memory, rows and a start on ${store}`, () => {
    const histories = store === 'sqlite' ? HISTORIES : Math.ceil(HISTORIES / 4);
    test(`say the same after ${histories} random histories from seed ${SEED} on`, async (t: TestContext) => {
      t.diagnostic(`TEST_REVOCATION_SEED=${SEED}`);
      const db = await givenStore(t, store);
      const judged = { accepted: 0, refused: 0 };
      for (let seed = SEED; seed < SEED + histories; seed += 1) {
        const history = await History.of(db, seed);
        await history.run().catch((cause: unknown) => {
          throw new Error(`seed ${seed}`, { cause });
        });
        judged.accepted += history.accepted;
        judged.refused += history.refused;
      }
      t.diagnostic(JSON.stringify(judged));
      const least = (judged.accepted + judged.refused) / 20;
      assert.ok(judged.accepted > least && judged.refused > least, 'both come often enough to prove anything');
    });
  });
}
