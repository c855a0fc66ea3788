import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Chore } from '../../src/chores/chore.ts';
import { ChoreDriver } from '../../src/chores/chore-driver.ts';
import { type Claim, LeaseStore } from '../../src/chores/lease-store.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { Database } from '../../src/storage/database.ts';
import { migrate } from '../../src/storage/migrate.ts';
import { openPostgres } from '../../src/storage/postgres.ts';
import { sql } from '../../src/storage/sql.ts';
import { givenStore } from '../harness/given-store.ts';
import { freshDatabase, STORES } from '../harness/postgres.ts';

const HOUR_MS = 3_600_000;
const PATIENCE_MS = 30_000;

const leasesOf = (db: Database, holder: string, leaseMs = HOUR_MS) => new LeaseStore(db, { holder, leaseMs });

/** Lets the store's clock pass for leases: everything was an hour earlier. */
const anHourLater = (db: Database): Promise<number> =>
  db.rows.run(sql`update chore_leases set held_until = held_until - ${HOUR_MS}, due_at = due_at - ${HOUR_MS}`);

const isHeld = async (claim: Promise<Claim>): Promise<boolean> => (await claim).isHeld;

for (const store of STORES)
  describe(`the rows of leases on ${store}`, () => {
    test('a chore is one node’s until that gives it back, and then due after its period', async (t) => {
      const db = await givenStore(t, store);
      const [one, other] = [leasesOf(db, 'one'), leasesOf(db, 'other')];
      assert.ok(await isHeld(one.take('chore', HOUR_MS)));
      const refused = await other.take('chore', HOUR_MS);
      assert.ok(!refused.isHeld && refused.waitMs > HOUR_MS / 2 && refused.waitMs <= HOUR_MS);
      assert.ok(!(await isHeld(one.take('chore', HOUR_MS))), 'nor twice by the same node');
      assert.ok(await isHeld(other.take('another chore', HOUR_MS)));
      await one.giveBack('chore', { dueInMs: HOUR_MS, succeeded: true });
      const early = await other.take('chore', HOUR_MS);
      assert.ok(!early.isHeld && early.waitMs > HOUR_MS / 2 && early.waitMs <= HOUR_MS);
      assert.ok(Math.abs((early.succeededAtMs ?? 0) - Date.now()) < HOUR_MS / 2);
      await anHourLater(db);
      assert.ok(await isHeld(other.take('chore', HOUR_MS)));
    });

    test('a lease that ends without being renewed is anybody’s, and what its former holder says does not count', async (t) => {
      const db = await givenStore(t, store);
      const [one, other] = [leasesOf(db, 'one'), leasesOf(db, 'other')];
      await one.take('chore', HOUR_MS);
      await anHourLater(db);
      assert.ok(await one.renew('chore'), 'nobody has it yet');
      assert.ok(!(await isHeld(other.take('chore', HOUR_MS))));
      await anHourLater(db);
      assert.ok(await isHeld(other.take('chore', HOUR_MS)));
      assert.ok(!(await one.renew('chore')));
      await one.giveBack('chore', { dueInMs: 0, succeeded: true });
      assert.ok(!(await isHeld(one.take('chore', HOUR_MS))));
    });

    test('a failure leaves the time of the last success', async (t) => {
      const db = await givenStore(t, store);
      const one = leasesOf(db, 'one');
      await one.take('chore', HOUR_MS);
      await one.giveBack('chore', { dueInMs: 0, succeeded: true });
      const { at } = (await db.rows.first<{ at: number }>(sql`select succeeded_at as at from chore_leases`)) ?? {};
      await one.take('chore', HOUR_MS);
      await one.giveBack('chore', { dueInMs: HOUR_MS, succeeded: false });
      const claim = await one.take('chore', HOUR_MS);
      assert.ok(!claim.isHeld && at !== undefined && claim.succeededAtMs === at);
    });

    test('a chore that is due later than its period allows is due: the clock of the store was set back', async (t) => {
      const db = await givenStore(t, store);
      const one = leasesOf(db, 'one');
      await one.take('chore', HOUR_MS);
      await one.giveBack('chore', { dueInMs: 24 * HOUR_MS, succeeded: true });
      assert.ok(await isHeld(one.take('chore', HOUR_MS)));
    });

    test('of many who ask at once one is given it', async (t) => {
      const db = await givenStore(t, store);
      const claims = Array.from({ length: 20 }, (_, index) => leasesOf(db, `node ${index}`).take('chore', HOUR_MS));
      assert.equal((await Promise.all(claims)).filter((claim) => claim.isHeld).length, 1);
    });
  });

/** A run of the chore: by which node, and when. */
interface Run {
  readonly node: string;
  readonly begunMs: number;
  endedMs: number | undefined;
}

const LEASE_MS = 1500;
const NODES = ['one', 'two', 'three'];

interface Planted {
  /** Makes the leases of a node. */
  leases?: (db: Database, holder: string) => LeaseStore;
}

/** Nodes with one chore between them, each with its own connections to one PostgreSQL. */
class Nodes {
  readonly runs: Run[] = [];
  readonly reasons: string[] = [];
  readonly #drivers: ChoreDriver[] = [];
  readonly #cutOff = new Set<string>();

  static async of(t: TestContext, chore: Pick<Chore, 'run'> | undefined, { leases }: Planted = {}): Promise<Nodes> {
    const nodes = new Nodes();
    const url = await freshDatabase(t);
    const databases = await Promise.all(NODES.map(() => openPostgres(url)));
    for (const db of databases) t.after(() => db.close());
    const [first] = databases;
    if (first) await migrate(first, 0);
    for (const [index, db] of databases.entries()) nodes.#start(db, NODES[index] ?? '', chore, leases);
    t.after(() => nodes.stop());
    return nodes;
  }

  /** After this the store does not hear a node, nor does the node hear the store. */
  cutOff(node: string): void {
    this.#cutOff.add(node);
  }

  async stop(): Promise<void> {
    this.#cutOff.clear();
    await Promise.all(this.#drivers.splice(0).map((driver) => driver.stop()));
  }

  get overlaps(): [Run, Run][] {
    return this.runs.flatMap((run, index) =>
      this.runs
        .slice(index + 1)
        .filter((later) => later.begunMs < (run.endedMs ?? Number.POSITIVE_INFINITY))
        .map((later): [Run, Run] => [run, later]),
    );
  }

  #start(real: Database, node: string, chore: Pick<Chore, 'run'> | undefined, leases = leasesFor): void {
    const db = { ...real, rows: real.rows, writer: cuttable(real.writer, () => this.#cutOff.has(node)) };
    const run = async (signal: AbortSignal): Promise<void> => {
      const entry: Run = { node, begunMs: performance.now(), endedMs: undefined };
      this.runs.push(entry);
      try {
        await (chore?.run(signal) ?? lasting(signal));
      } finally {
        entry.endedMs = performance.now();
      }
    };
    const events = {
      notice: () => undefined,
      choresStarted: () => undefined,
      choreRan: (_: string, outcome: object) => 'cause' in outcome && void this.reasons.push(String(outcome.cause)),
      choreRanElsewhere: () => undefined,
    };
    const driver = new ChoreDriver(
      {
        chores: [{ name: 'made up', firstMs: 1, periodMs: 20, where: 'oneNode', run }],
        leases: leases(db as Database, node),
        clock: systemClock,
        sleep,
        events,
      },
      { stopMs: PATIENCE_MS },
    );
    this.#drivers.push(driver);
    driver.start();
  }
}

const leasesFor = (db: Database, holder: string): LeaseStore => leasesOf(db, holder, LEASE_MS);

/** A writer that fails while its node is cut off. */
const cuttable = (writer: Database['writer'], isCutOff: () => boolean): Pick<Database['writer'], 'write'> => ({
  write: async (work, turn, weight) => {
    if (isCutOff()) throw new Error('cut off');
    return writer.write(work, turn, weight);
  },
});

/** Runs until it is told to end. */
const lasting = async (signal: AbortSignal): Promise<void> => {
  while (!signal.aborted) await sleep(5);
};

async function until(what: string, isSo: () => boolean): Promise<void> {
  const began = performance.now();
  while (!isSo()) {
    assert.ok(performance.now() - began < PATIENCE_MS, what);
    await sleep(5);
  }
}

/** Cuts off the node that runs the chore, again and again. @returns the overlaps of runs that were seen */
async function withCuts(t: TestContext, cuts: number, planted?: Planted): Promise<{ nodes: Nodes; overlaps: number }> {
  const nodes = await Nodes.of(t, undefined, planted);
  const cut: string[] = [];
  for (let count = 0; count < cuts; count += 1) {
    const next = () => nodes.runs.find(({ node, endedMs }) => endedMs === undefined && !cut.includes(node));
    await until('nobody has taken the chore over', () => next() !== undefined);
    const holder = next()?.node ?? '';
    cut.push(holder);
    nodes.cutOff(holder);
  }
  const last = () => nodes.runs.find(({ node, endedMs }) => endedMs === undefined && !cut.includes(node));
  await until('nobody has taken the chore over', () => last() !== undefined);
  await until('a node that is cut off goes on', () =>
    nodes.runs.every(({ node, endedMs }) => endedMs !== undefined || !cut.includes(node)),
  );
  const overlaps = nodes.overlaps.length;
  await nodes.stop();
  return { nodes, overlaps };
}

/** Says to every node that it holds the lease. */
class EverybodysLease extends LeaseStore {
  override async take(): Promise<Claim> {
    return { isHeld: true };
  }
}

/** Leaves a run alone for four times as long as the lease holds. */
class LongLease extends LeaseStore {
  override get leaseMs(): number {
    return 4 * LEASE_MS;
  }
}

describe('a chore of one node on PostgreSQL', { skip: !STORES.includes('postgres') && 'needs PostgreSQL' }, () => {
  /** Short runs on three nodes for a while. */
  async function shortRuns(t: TestContext, planted?: Planted): Promise<Nodes> {
    const nodes = await Nodes.of(t, { run: () => sleep(10) }, planted);
    await until('the chore is not run', () => nodes.runs.length >= 30);
    await nodes.stop();
    return nodes;
  }

  test('is run by one node at a time', async (t) => {
    const nodes = await shortRuns(t);
    assert.deepEqual(nodes.overlaps, []);
    assert.deepEqual(nodes.reasons, []);
  });

  test('a lease that everybody has is seen', async (t) => {
    const planted = {
      leases: (db: Database, holder: string) => new EverybodysLease(db, { holder, leaseMs: LEASE_MS }),
    };
    assert.notEqual((await shortRuns(t, planted)).overlaps.length, 0);
  });

  test('is taken over when its node is cut off, whose run has ended by then', async (t) => {
    const { nodes, overlaps } = await withCuts(t, 2);
    assert.equal(overlaps, 0);
    assert.ok(nodes.reasons.some((reason) => /in time/.test(reason)));
    assert.equal(new Set(nodes.runs.map(({ node }) => node)).size, NODES.length);
  });

  test('a run that is not told of the end of its lease is seen', async (t) => {
    const planted = { leases: (db: Database, holder: string) => new LongLease(db, { holder, leaseMs: LEASE_MS }) };
    assert.notEqual((await withCuts(t, 1, planted)).overlaps, 0);
  });

  test('is taken over when its process is killed, after the lease and not before', async (t) => {
    const url = await freshDatabase(t);
    const db = await openPostgres(url);
    t.after(() => db.close());
    await migrate(db, 0);
    const file = join(import.meta.dirname, '../harness/chores/lasting-node.ts');
    const child = spawn(process.execPath, [file, url, String(LEASE_MS)], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    const other = leasesOf(db, 'other', LEASE_MS);
    for (let count = 0; count < 20; count += 1) assert.ok(!(await isHeld(other.take('made up', HOUR_MS))));
    child.kill('SIGKILL');
    await once(child, 'exit');
    const { left } = (await db.rows.first<{ left: number }>(
      sql`select held_until - ${db.clock} as left from chore_leases`,
    )) ?? { left: 0 };
    assert.ok(left > 0, 'the lease goes on without its holder');
    let claim = await other.take('made up', HOUR_MS);
    while (!claim.isHeld) {
      const rest = await db.rows.first<{ left: number }>(
        sql`select held_until - ${db.clock} as left from chore_leases`,
      );
      assert.ok((rest?.left ?? 0) <= LEASE_MS, 'it is not renewed');
      await sleep(claim.waitMs / 4 + 1);
      claim = await other.take('made up', HOUR_MS);
    }
  });

  test('goes on at once on another node when its own stops', async (t) => {
    const url = await freshDatabase(t);
    const db = await openPostgres(url);
    t.after(() => db.close());
    await migrate(db, 0);
    const begun: string[] = [];
    const make = (node: string): ChoreDriver => {
      const run = async (signal: AbortSignal): Promise<void> => {
        begun.push(node);
        await lasting(signal);
      };
      const events = { notice: () => {}, choresStarted: () => {}, choreRan: () => {}, choreRanElsewhere: () => {} };
      return new ChoreDriver(
        {
          chores: [{ name: 'made up', firstMs: 1, periodMs: HOUR_MS, where: 'oneNode', run }],
          leases: leasesOf(db, node),
          clock: systemClock,
          sleep,
          events,
        },
        { stopMs: PATIENCE_MS },
      );
    };
    const [one, other] = [make('one'), make('other')];
    one.start();
    await until('nobody begins', () => begun.length === 1);
    await one.stop(); // its lease would hold for an hour
    other.start();
    await until('nobody goes on', () => begun.length === 2);
    await other.stop();
    assert.deepEqual(begun, ['one', 'other']);
  });
});
