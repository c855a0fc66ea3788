import { Backoff } from '../lib/backoff.ts';
import type { Events } from '../monitoring/events.ts';
import type { Rows } from '../storage/sql.ts';
import type { GroupWriter } from '../storage/writer.ts';
import { type Moved, streamOfTopic } from './fact.ts';
import type { FactStore } from './fact-store.ts';
import type { Positions } from './positions.ts';

/** Something that a plane keeps in memory and that any node may change. */
export interface TopicFollower {
  /** A name of its own, such as `events/subscriptions`. */
  readonly topic: string;
  /** Reads it again from the store. It may be called when nothing has changed. */
  reread(): Promise<void>;
}

interface Uses {
  store: Pick<FactStore, 'move' | 'position'>;
  positions: Pick<Positions, 'listen'>;
  writer: Pick<GroupWriter, 'write'>;
  events: Pick<Events, 'notice'>;
  /** Tells the other nodes. */
  tell(moved: Moved): void;
}

interface Options {
  /** Pauses between attempts to read again, the first and the longest. */
  backoffMs?: readonly [first: number, most: number];
}

const BACKOFF_MS = [250, 30_000] as const;

interface Followed {
  readonly follower: TopicFollower;
  readonly backoff: Backoff;
  /** Version that was in the store before the last reading that succeeded. */
  version: number;
  reading: Promise<void> | undefined;
  retry: NodeJS.Timeout | undefined;
  unlisten(): void;
}

/**
 * What planes keep in memory. A version in the store counts the changes of each topic. When it has moved, every node that
 * follows the topic reads again, within the sweep's time at most. Nobody waits for the others, and a reading that fails is
 * tried again by itself. For what decides who may do what there is `Revocations.change`, which does wait.
 */
export class Topics {
  readonly #uses: Uses;
  readonly #backoffMs: readonly [number, number];
  readonly #followed = new Map<string, Followed>();
  #isStopped = false;

  constructor(uses: Uses, { backoffMs = BACKOFF_MS }: Options = {}) {
    this.#uses = uses;
    this.#backoffMs = backoffMs;
  }

  /** Reads for the first time, and again whenever the topic changes. @throws what the first reading throws */
  async follow(follower: TopicFollower): Promise<void> {
    const stream = streamOfTopic(follower.topic);
    const followed: Followed = {
      follower,
      backoff: new Backoff(...this.#backoffMs),
      version: -1,
      reading: undefined,
      retry: undefined,
      unlisten: this.#uses.positions.listen(stream, (version) => this.#moved(followed, version)),
    };
    this.#followed.set(follower.topic, followed);
    try {
      await this.#reread(followed);
    } catch (cause) {
      followed.unlisten();
      this.#followed.delete(follower.topic);
      throw cause;
    }
  }

  /**
   * Changes what is kept under a topic. When it returns, this node has read it again, unless that failed.
   * @param turn see {@link GroupWriter.write}
   */
  async write<T>(topic: string, work: (tx: Rows) => Promise<T>, turn?: string): Promise<T> {
    const { result, moved } = await this.#uses.writer.write(async (tx) => {
      const result = await work(tx);
      return { result, moved: await this.changed(tx, topic) };
    }, turn);
    await this.announce(moved);
    return result;
  }

  /** Says within a transaction that what is kept under a topic changes. Call {@link announce} after the commit. */
  async changed(tx: Rows, topic: string): Promise<Moved> {
    const stream = streamOfTopic(topic);
    return { stream, position: await this.#uses.store.move(tx, stream) };
  }

  /** Tells the others, and resolves when this node has read again, or failed to. */
  async announce(moved: Moved): Promise<void> {
    this.#uses.tell(moved);
    const followed = [...this.#followed.values()].find(
      ({ follower }) => streamOfTopic(follower.topic) === moved.stream,
    );
    if (followed) await this.#refresh(followed, moved.position);
  }

  /** Topics whose last reading failed. */
  get failing(): string[] {
    return [...this.#followed.values()].filter(({ retry }) => retry).map(({ follower }) => follower.topic);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const { retry, unlisten } of this.#followed.values()) {
      clearTimeout(retry);
      unlisten();
    }
    await Promise.allSettled(Array.from(this.#followed.values(), ({ reading }) => reading));
  }

  #moved(followed: Followed, version: number): void {
    if (followed.retry || version === followed.version) return; // a reading that failed is tried again at its own pace
    void this.#refresh(followed, version);
  }

  /** @param version that somebody says the store has; it is read there. */
  async #refresh(followed: Followed, version: number): Promise<void> {
    await followed.reading?.catch(() => undefined); // may have begun before the change
    if (version === followed.version || this.#isStopped) return;
    await this.#reread(followed).catch((cause: unknown) => this.#failed(followed, cause));
  }

  /** Those who ask while it runs share it; they have to ask again if it may have begun too early. */
  #reread(followed: Followed): Promise<void> {
    followed.reading ??= this.#rereadOnce(followed).finally(() => {
      followed.reading = undefined;
    });
    return followed.reading;
  }

  async #rereadOnce(followed: Followed): Promise<void> {
    const { topic } = followed.follower;
    const version = await this.#uses.store.position(streamOfTopic(topic)); // before it, so that no change is missed
    if (version === followed.version) return;
    await followed.follower.reread();
    followed.version = version;
    clearTimeout(followed.retry);
    followed.retry = undefined;
    followed.backoff.reset();
  }

  #failed(followed: Followed, cause: unknown): void {
    if (followed.retry || this.#isStopped) return;
    const { topic } = followed.follower;
    this.#uses.events.notice('warn', 'what is kept in memory could not be read again; trying again', { topic, cause });
    followed.retry = setTimeout(() => {
      followed.retry = undefined;
      this.#reread(followed).catch((again: unknown) => this.#failed(followed, again));
    }, followed.backoff.next()).unref();
  }
}
