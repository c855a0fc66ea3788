import { randomUUID } from 'node:crypto';
import { after, type TestContext } from 'node:test';
import type { Carrier, CarrierListener } from '../../../src/cluster/carrier.ts';
import { Cluster, type ClusterOptions } from '../../../src/cluster/cluster.ts';
import type { Fact } from '../../../src/cluster/fact.ts';
import type { WatchEnd } from '../../../src/cluster/watch.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import type { Database } from '../../../src/storage/database.ts';
import { migrate } from '../../../src/storage/migrate.ts';
import { openPostgres } from '../../../src/storage/postgres.ts';
import { statement } from '../../../src/storage/sql.ts';
import { givenStore } from '../given-store.ts';
import { freshDatabase } from '../postgres.ts';

/** Carries hints between nodes of one process. */
export class Wire {
  readonly #listeners = new Set<CarrierListener>();
  /** Set while it carries nothing. */
  isCut = false;

  /** Sends a message of nobody's. */
  invent(text: string): void {
    for (const listener of this.#listeners) listener.onMessage(text);
  }

  carrier(): Carrier {
    let own: CarrierListener | undefined;
    return {
      isConnected: true,
      start: (listener) => {
        own = listener;
        this.#listeners.add(listener);
        listener.onConnected();
      },
      send: async (messages) => {
        if (this.isCut) return;
        for (const message of messages) for (const listener of this.#listeners) listener.onMessage(message);
      },
      stop: async () => {
        if (own) this.#listeners.delete(own);
      },
    };
  }
}

/** Times that make a test quick. */
export const QUICK: ClusterOptions = {
  sweepMs: 50,
  followers: { pollMs: 20, leaseMs: 200, gatherMs: 1, backoffMs: [5, 20] },
  topics: { backoffMs: [5, 20] },
};

/** Times with which only what a test asks for happens. */
export const BY_HAND: ClusterOptions = { ...QUICK, sweepMs: 3_600_000 };

export interface Notice {
  readonly level: string;
  readonly message: string;
}

/** A node, which stops after the test. */
export function givenNode(
  t: TestContext,
  db: Database,
  carrier: Carrier,
  options: ClusterOptions = QUICK,
): Cluster & { readonly notices: Notice[] } {
  const notices: Notice[] = [];
  const events = { notice: (level: string, message: string) => void notices.push({ level, message }) };
  const cluster = new Cluster({ db, clock: systemClock, events, carrier, nodeId: randomUUID() }, options);
  t.after(() => cluster.stop());
  return Object.assign(cluster, { notices });
}

/** Stores for so many nodes: of PostgreSQL one connection pool each, of SQLite one for all. */
export async function givenStores(t: TestContext, dialect: Database['dialect'], count: number): Promise<Database[]> {
  if (dialect === 'sqlite') {
    const db = await givenStore(t, 'sqlite');
    return Array.from({ length: count }, () => db);
  }
  const url = await freshDatabase(t);
  const stores: Database[] = [];
  for (let index = 0; index < count; index += 1) {
    const db = await openPostgres(url);
    t.after(() => db.close());
    await migrate(db, Date.now());
    stores.push(db);
  }
  return stores;
}

/** As {@link givenStores}, made once for the tests of a suite, in whose body this is called. Each test finds them empty. */
export function sharedStores(dialect: Database['dialect'], count: number): () => Promise<Database[]> {
  const undo: (() => unknown)[] = [];
  const context = { after: (step: () => unknown) => undo.push(step) } as unknown as TestContext;
  let stores: Promise<Database[]> | undefined;
  after(async () => {
    for (const step of undo.reverse()) await step();
  });
  return async () => {
    stores ??= givenStores(context, dialect, count);
    const [db] = await stores;
    await db?.writer.write(async (tx) => {
      for (const table of ['facts', 'streams', 'followers']) await tx.run(statement(`delete from ${table}`));
      await tx.run(statement('update fact_numbers set last = 0'));
    });
    return stores;
  };
}

/** A session that keeps what it hears. */
export class Listening {
  readonly facts: Fact[] = [];
  readonly whispers: string[] = [];
  readonly ends: WatchEnd[] = [];
  onFacts(facts: readonly Fact[]): void | Promise<void> {
    this.facts.push(...facts);
  }
  onEnd(end: WatchEnd): void {
    this.ends.push(end);
  }
  onWhisper(text: string): void {
    this.whispers.push(text);
  }
  get positions(): number[] {
    return this.facts.map(({ position }) => position);
  }
}

/** 1, 2, …, count */
export const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

/** Writes so many facts, each by a change of its own. */
export async function write(node: Cluster, stream: string, count: number): Promise<void> {
  const change = (n: number) => node.outbox.write(stream, (_, append) => append({ kind: 'said', payload: String(n) }));
  await Promise.all(upTo(count).map(change));
}
