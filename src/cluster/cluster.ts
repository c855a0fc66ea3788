import { randomUUID } from 'node:crypto';
import type { Clock } from '../lib/clock.ts';
import type { Events } from '../monitoring/events.ts';
import type { Settings } from '../settings.ts';
import type { Database } from '../storage/database.ts';
import { MetaStore } from '../storage/meta-store.ts';
import { removeInSteps } from '../storage/steps.ts';
import { type Carrier, NO_CARRIER } from './carrier.ts';
import { Deliveries } from './deliveries.ts';
import { FactStore } from './fact-store.ts';
import { FollowerStore } from './follower-store.ts';
import { Followers, type FollowersOptions, type Following, NUMBERS_TURN } from './followers.ts';
import { Hints } from './hints.ts';
import { NatsCarrier } from './nats-carrier.ts';
import { Outbox } from './outbox.ts';
import { Positions } from './positions.ts';
import { PostgresCarrier } from './postgres-carrier.ts';
import { type TopicFollower, Topics } from './topics.ts';
import type { Watch, Watcher } from './watch.ts';

interface Uses {
  db: Database;
  clock: Clock;
  events: Pick<Events, 'notice'>;
  carrier: Carrier;
  /** Another one for each process. */
  nodeId: string;
}

/** Shorter times, for tests. */
export interface ClusterOptions {
  sweepMs?: number;
  followers?: FollowersOptions;
  topics?: { backoffMs?: readonly [number, number] };
}

/** How long facts are kept that everybody has read. A session that was away for longer begins anew. */
const KEPT_MS = 24 * 60 * 60_000;

/** Under this name the store keeps what tells it from other stores. */
const STORE_ID = 'store id';

/**
 * What the nodes on one store tell each other: facts, in the streams of the planes; and topics, what planes keep in memory.
 * It does nothing (no connection, no timer, no statement) before a plane uses it.
 */
export class Cluster {
  readonly #uses: Uses;
  readonly #facts: FactStore;
  readonly #hints: Hints;
  readonly #positions: Positions;
  readonly #deliveries: Deliveries;
  readonly #followers: Followers;
  readonly outbox: Outbox;
  readonly topics: Pick<Topics, 'write' | 'changed' | 'announce'>;
  readonly #topics: Topics;

  constructor(uses: Uses, { sweepMs, followers = {}, topics = {} }: ClusterOptions = {}) {
    const { db, clock, events, carrier, nodeId } = uses;
    const { writer, exclusive: isAlone } = db;
    const facts = new FactStore(db);
    const positions = new Positions({ store: facts, clock }, sweepMs === undefined ? {} : { sweepMs });
    this.#uses = uses;
    this.#facts = facts;
    this.#positions = positions;
    this.#deliveries = new Deliveries({ store: facts, positions });
    this.#followers = new Followers(
      { facts, store: new FollowerStore(db), writer, clock, events, nodeId, isAlone },
      followers,
    );
    this.#hints = new Hints({
      carrier,
      nodeId,
      listener: {
        moved: (moved) => {
          positions.hinted(moved);
          this.#followers.wake();
        },
        whispered: ({ stream, text }) => this.#deliveries.whispered(stream, text),
        connected: () => {
          void positions.sweep();
          this.#followers.wake();
        },
      },
    });
    this.#topics = new Topics(
      { store: facts, positions, writer, events, tell: (moved) => this.#hints.tell(moved) },
      topics,
    );
    this.topics = this.#topics;
    this.outbox = new Outbox({
      store: facts,
      writer,
      onCommitted: (facts, moved) => {
        this.#deliveries.add(facts);
        positions.hinted(moved);
        this.#followers.wake();
        this.#hints.tell(moved);
      },
    });
  }

  /**
   * Brings a session the facts of a stream, every one after a position, once and in order.
   * @param from 0, or the position of the snapshot that the session began with: {@link Outbox.position}
   */
  watch(stream: string, from: number, watcher: Watcher): Pick<Watch, 'stop' | 'position'> {
    this.#hints.start();
    return this.#deliveries.watch(stream, from, watcher);
  }

  /** Passes on to all who watch a stream what is worth nothing a second later. It may be lost; above 2 KiB it is. */
  whisper(stream: string, text: string): void {
    this.#deliveries.whispered(stream, text);
    this.#hints.whisper({ stream, text });
  }

  /** Has the facts of all streams dealt with, on one node at a time: see {@link Followers.follow}. */
  follow(name: string, run: Following): Promise<void> {
    this.#hints.start();
    return this.#followers.follow(name, run);
  }

  /** Forgets a follower for good. */
  forgetFollower(name: string): Promise<void> {
    return this.#followers.forget(name);
  }

  /** Reads what a plane keeps in memory, and again whenever it has changed. @throws what the first reading throws */
  followTopic(follower: TopicFollower): Promise<void> {
    this.#hints.start();
    return this.#topics.follow(follower);
  }

  /**
   * A chore: removes facts that every follower has read and that are older than a day, in steps.
   * @returns how many
   * @throws as {@link removeInSteps}
   */
  removeOldFacts(signal: AbortSignal, keptMs = KEPT_MS): Promise<number> {
    return removeInSteps(this.#uses.db, { turn: NUMBERS_TURN, signal }, (tx, limit) =>
      this.#facts.removeOld(tx, keptMs, limit),
    );
  }

  /** Figures for the page of metrics. */
  readonly readings = {
    /** 1 while hints from other nodes come. */
    hintsConnected: (): number => Number(this.#uses.carrier.isConnected),
    watches: (): number => this.#deliveries.watches,
    watchedStreams: (): number => this.#positions.size,
    sweepFailures: (): number => this.#positions.counts.failures,
    /** Facts that wait for each follower. */
    factsWaiting: (): Readonly<Record<string, number>> => this.#followers.waiting,
    /** 1 for each follower that this node runs. */
    followersRunning: (): Readonly<Record<string, number>> =>
      Object.fromEntries(this.#followers.running.map((name) => [name, 1])),
    topicsFailing: (): number => this.#topics.failing.length,
  };

  /** Asks the store now where all watched streams are. */
  sweep(): Promise<void> {
    return this.#positions.sweep();
  }

  /** Ends everything; the sessions end before, the store after it. */
  async stop(): Promise<void> {
    this.#deliveries.stop();
    await this.#positions.stop();
    await this.#topics.stop();
    await this.#followers.stop();
    await this.#hints.stop();
  }
}

/** What carries hints between the nodes that the settings speak of. */
export function carrierFor(
  { databaseUrl, natsUrl }: Pick<Settings, 'databaseUrl' | 'natsUrl'>,
  { db, events }: Pick<Uses, 'db' | 'events'>,
): Carrier {
  if (db.exclusive || databaseUrl === undefined) return NO_CARRIER;
  if (natsUrl === undefined) return new PostgresCarrier({ url: databaseUrl, events });
  const storeId = () => db.writer.write((tx) => new MetaStore().setOnce(tx, STORE_ID, randomUUID()));
  return new NatsCarrier({ urls: natsUrl, storeId, events });
}
