import { FairQueue } from '../lib/fair-queue.ts';
import type { Fact } from './fact.ts';
import type { FactStore, Page } from './fact-store.ts';
import type { Positions } from './positions.ts';
import { RecentFacts } from './recent-facts.ts';
import { Watch, type Watcher } from './watch.ts';

interface Uses {
  store: Pick<FactStore, 'page'>;
  positions: Pick<Positions, 'listen'>;
}

/** Reads at a time, so that sessions that catch up leave connections to others. */
const READS_AT_A_TIME = 2;
const RECENT_BYTES = 4 * 1024 * 1024;

/** A stream that sessions of this node watch. */
interface Watched {
  readonly watches: Set<Watch>;
  /** Reads under way, by the position after which they read, that began after the last hint. */
  readonly reads: Map<number, Promise<Page>>;
  unlisten(): void;
}

/**
 * Brings the facts of streams to the sessions of this node that watch them: every fact once and in order, whatever happens
 * to the hints. A session that is slow keeps at most one page in memory, and reads the rest when it is ready.
 */
export class Deliveries {
  readonly #uses: Uses;
  readonly #streams = new Map<string, Watched>();
  readonly #recent = new RecentFacts(RECENT_BYTES);
  readonly #queue = new FairQueue(READS_AT_A_TIME);

  constructor(uses: Uses) {
    this.#uses = uses;
  }

  /**
   * Delivers the facts of a stream after a position.
   * @param from position that the session knows already: 0, or of the snapshot that it began with
   */
  watch(stream: string, from: number, watcher: Watcher): Watch {
    const watched = this.#streams.get(stream) ?? this.#begin(stream);
    const watch = new Watch(
      {
        read: (after) => this.#read(stream, watched, after),
        watcher,
        onOver: () => this.#leave(stream, watched, watch),
      },
      from,
    );
    watched.watches.add(watch);
    void watch.look();
    return watch;
  }

  /** Takes facts that this node has committed, so that they need no reading. */
  add(facts: readonly Fact[]): void {
    const [first] = facts;
    if (first && this.#streams.has(first.stream)) this.#recent.add(facts);
  }

  /** Passes on what may be lost. */
  whispered(stream: string, text: string): void {
    for (const watch of this.#streams.get(stream)?.watches ?? []) watch.whisper(text);
  }

  /** Sessions' watches, of all streams. */
  get watches(): number {
    let count = 0;
    for (const { watches } of this.#streams.values()) count += watches.size;
    return count;
  }

  /** Ends all watches and tells nobody: the sessions end by themselves. */
  stop(): void {
    for (const { watches } of [...this.#streams.values()]) for (const watch of [...watches]) watch.stop();
  }

  #begin(stream: string): Watched {
    const watched: Watched = {
      watches: new Set(),
      reads: new Map(),
      unlisten: this.#uses.positions.listen(stream, (position, isRead) => moved(watched, position, isRead)),
    };
    this.#streams.set(stream, watched);
    return watched;
  }

  #leave(stream: string, watched: Watched, watch: Watch): void {
    watched.watches.delete(watch);
    if (watched.watches.size > 0) return;
    watched.unlisten();
    this.#streams.delete(stream);
    this.#recent.forget(stream);
  }

  async #read(stream: string, { reads }: Watched, after: number): Promise<Page> {
    const facts = this.#recent.after(stream, after);
    if (facts) return { head: facts.at(-1)?.position ?? after, facts };
    const shared = reads.get(after);
    if (shared) return shared;
    const read = this.#queue
      .run(stream, () => this.#uses.store.page(stream, after))
      .then((page) => {
        if (this.#streams.has(stream)) this.#recent.add(page.facts);
        return page;
      })
      .finally(() => {
        if (reads.get(after) === read) reads.delete(after);
      });
    reads.set(after, read);
    return read;
  }
}

/** A position below a session's own is old news as a hint; where the store has it, it has lost something. */
function moved({ watches, reads }: Watched, position: number, isRead: boolean): void {
  reads.clear(); // those under way may have begun before the fact was committed
  for (const watch of watches) {
    if (position > watch.position || (isRead && position !== watch.position)) void watch.look();
  }
}
