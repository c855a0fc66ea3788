import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Carrier } from '../../../src/cluster/carrier.ts';
import { NatsCarrier } from '../../../src/cluster/nats-carrier.ts';
import { Positions } from '../../../src/cluster/positions.ts';
import { PostgresCarrier } from '../../../src/cluster/postgres-carrier.ts';
import type { Database } from '../../../src/storage/database.ts';
import { migrate } from '../../../src/storage/migrate.ts';
import { openPostgres } from '../../../src/storage/postgres.ts';
import { givenStore } from '../given-store.ts';
import { givenNats } from '../nats.ts';
import { freshDatabase } from '../postgres.ts';
import { Random } from '../revocation/simulation.ts';
import { trustingDelivery } from './faults/trusting-delivery.ts';
import { FaultyCarrier } from './faulty-carrier.ts';
import { type Joining, MadeUpPlane, type Node } from './made-up-plane.ts';
import { givenNode, upTo, Wire } from './nodes.ts';

export type Carried = 'local' | 'postgres' | 'nats';

export interface Size {
  facts: number;
  streams: number;
  sessions: number;
  /** How long the carrier is stopped. */
  stoppedSeconds: number;
  sweepMs: number;
  seed: number;
  /** Writers on each node. */
  writers: number;
}

export type Planted = 'trusts hints' | 'no sweep';

export interface Report {
  figures: Record<string, number>;
  broken: string[];
}

const NODES = 3;
const PAUSE_MS = 100;

interface Ground {
  stores: readonly Database[];
  carriers: readonly Carrier[];
  /** Stops the carrier until what is returned is called. */
  cut(): Promise<() => Promise<void>>;
}

const quiet = { notice: () => undefined };

/** Three nodes on one store, each with sessions and writers of a made-up plane, and hints that go wrong in every way. */
export async function facts(t: TestContext, carried: Carried, size: Size, planted?: Planted): Promise<Report> {
  const random = new Random(size.seed);
  const streams = upTo(size.streams).map((n) => `made-up/${n}`);
  const { stores, carriers, cut } = await ground(t, carried);
  const faulty = carriers.map((carrier) => new FaultyCarrier(carrier, random, streams, 1.5 * size.sweepMs));
  const { sweep } = Positions.prototype;
  if (planted === 'no sweep') Positions.prototype.sweep = async () => undefined;
  const nodes: Node[] = stores.map((db, index) => {
    const carrier = faulty[index] as FaultyCarrier;
    return { carrier, cluster: givenNode(t, db, carrier, { sweepMs: size.sweepMs }) };
  });
  const [join, unplant] =
    planted === 'trusts hints'
      ? trustingDelivery(({ carrier }) => stores[faulty.indexOf(carrier as FaultyCarrier)] as Database)
      : [watching, () => undefined];
  try {
    return await run(nodes, faulty, { size, random, streams, cut, join, isPlanted: planted !== undefined });
  } finally {
    Positions.prototype.sweep = sweep;
    unplant();
    for (const { cluster } of nodes) await cluster.stop();
  }
}

const watching: Joining = ({ cluster }, stream, from, session) => void cluster.watch(stream, from, session);

interface Run {
  size: Size;
  random: Random;
  streams: readonly string[];
  cut: Ground['cut'];
  join: Joining;
  isPlanted: boolean;
}

async function run(nodes: readonly Node[], faulty: readonly FaultyCarrier[], use: Run): Promise<Report> {
  const { size, random, streams, cut, join, isPlanted } = use;
  const patienceMs = isPlanted ? 1000 : 10_000 + 5 * size.sweepMs;
  const plane = new MadeUpPlane(nodes, random, streams);
  for (const n of upTo(size.sessions)) await plane.join(join, n % 10 === 0);
  const began = performance.now();
  const parts = 4;
  for (const _ of upTo(parts)) {
    await plane.write(size.facts / parts, size.writers);
    for (const n of upTo(size.sessions / parts)) await plane.join(join, n % 10 === 0);
  }
  const writeSeconds = (performance.now() - began) / 1000;
  await plane.settle(patienceMs);

  plane.phase = 'stopped';
  const repair = await cut();
  const end = performance.now() + size.stoppedSeconds * 1000;
  while (performance.now() < end) await plane.write(10, 1, PAUSE_MS);
  await plane.settle(patienceMs);
  await repair();
  for (let waited = 0; waited < 30_000 && !nodes.every(({ carrier }) => carrier.isConnected); waited += 50)
    await sleep(50);

  plane.phase = 'repaired';
  await plane.write(size.streams, 1, PAUSE_MS);
  await plane.settle(patienceMs);
  const judged = plane.judge();
  const sum = (name: keyof FaultyCarrier['counts']): number =>
    faulty.reduce((all, { counts }) => all + counts[name], 0);
  const figures = {
    facts: plane.facts,
    sessions: plane.sessions.length,
    ...judged,
    hintsPassed: sum('passed'),
    hintsDropped: sum('dropped'),
    hintsDoubled: sum('doubled'),
    hintsDelayed: sum('delayed'),
    hintsInvented: sum('invented'),
    factsPerSecond: Math.round(size.facts / writeSeconds),
    sweepMs: size.sweepMs,
    stoppedSeconds: size.stoppedSeconds,
    latestMsUnderFaults: plane.lateness.faults?.msMost ?? 0,
    latestMsWhileStopped: plane.lateness.stopped?.msMost ?? 0,
  };
  const { missing, doubledOrOutOfOrder, wrong, ended } = judged;
  const broken = Object.entries({ missing, doubledOrOutOfOrder, wrong, ended })
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name}: ${count}`);
  if (nodes.some(({ carrier }) => !carrier.isConnected)) broken.push('a carrier did not come back');
  return { figures, broken };
}

async function ground(t: TestContext, carried: Carried): Promise<Ground> {
  if (carried === 'local') return localGround(t);
  const url = await freshDatabase(t);
  const stores: Database[] = [];
  for (const _ of upTo(NODES)) {
    const db = await openPostgres(url);
    t.after(() => db.close());
    await migrate(db, Date.now());
    stores.push(db);
  }
  return { stores, ...(await (carried === 'postgres' ? byPostgres(url) : byNats(t))) };
}

/** Three parts of one process, which talk by a wire of their own. */
async function localGround(t: TestContext): Promise<Ground> {
  const db = await givenStore(t, 'sqlite');
  const wire = new Wire();
  return {
    stores: upTo(NODES).map(() => db),
    carriers: upTo(NODES).map(() => wire.carrier()),
    cut: async () => {
      wire.isCut = true;
      return async () => {
        wire.isCut = false;
      };
    },
  };
}

/** The connections that listen are ended again and again. */
async function byPostgres(url: string): Promise<Omit<Ground, 'stores'>> {
  const end = async (admin: pg.Client): Promise<void> => {
    await admin.query(`select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = 'linarite-hints' and datname = current_database()`);
  };
  return {
    carriers: upTo(NODES).map(() => new PostgresCarrier({ url, events: quiet })),
    cut: async () => {
      const admin = new pg.Client({ connectionString: url });
      await admin.connect();
      let isOver = false;
      const ending = (async () => {
        for (; !isOver; await sleep(20)) await end(admin);
      })();
      return async () => {
        isOver = true;
        await ending;
        await admin.end();
      };
    },
  };
}

/** The server is killed, and started again. */
async function byNats(t: TestContext): Promise<Omit<Ground, 'stores'>> {
  const nats = await givenNats(t);
  return {
    carriers: upTo(NODES).map(() => new NatsCarrier({ urls: nats.url, storeId: async () => 'some', events: quiet })),
    cut: async () => {
      await nats.stop();
      return () => nats.start();
    },
  };
}
