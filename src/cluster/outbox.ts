import type { Rows } from '../storage/sql.ts';
import type { GroupWriter } from '../storage/writer.ts';
import type { Fact, Moved, NewFact } from './fact.ts';
import { requireFacts } from './fact.ts';
import type { FactStore } from './fact-store.ts';

interface Uses {
  store: Pick<FactStore, 'append' | 'position' | 'remove'>;
  writer: Pick<GroupWriter, 'write'>;
  /** Told of what was committed: this node's sessions first, then the other nodes. */
  onCommitted(facts: readonly Fact[], moved: Moved): void;
}

/** Writes facts of the stream that the work is about. */
export type Appending = (...facts: NewFact[]) => Promise<Fact[]>;

/** Where planes write what happened: in the transaction of the change, so that neither is there without the other. */
export class Outbox {
  readonly #uses: Uses;

  constructor(uses: Uses) {
    this.#uses = uses;
  }

  /**
   * Changes something and writes the facts about it, in one transaction, and tells everybody after the commit.
   * @param stream also the writer's turn
   * @param work may run more than once, as {@link GroupWriter.write} says
   * @returns what the work returned
   * @throws what the work threw; ServiceError `StoreUnavailable` when the outcome is unknown. If it was committed, the next
   * sweep finds the facts
   */
  async write<T>(stream: string, work: (tx: Rows, append: Appending) => Promise<T>, weight?: number): Promise<T> {
    const { result, facts } = await this.#uses.writer.write(
      async (tx) => {
        const facts: Fact[] = [];
        const result = await work(tx, async (...added) => {
          const appended = await this.append(tx, stream, added);
          facts.push(...appended);
          return appended;
        });
        return { result, facts };
      },
      stream,
      weight,
    );
    this.announce(facts);
    return result;
  }

  /**
   * Writes facts in a transaction of the caller's, whose turn is the stream. Where it has another turn, or writes to several
   * streams, this comes last and in the order of the streams' names. Call {@link announce} after the commit.
   * @throws RangeError for what cannot be a fact
   */
  async append(tx: Rows, stream: string, facts: readonly NewFact[]): Promise<Fact[]> {
    requireFacts(stream, facts);
    return this.#uses.store.append(tx, stream, facts);
  }

  /** Tells everybody what was committed. Without it they know at the next sweep. @param facts of one stream, in order */
  announce(facts: readonly Fact[]): void {
    const last = facts.at(-1);
    if (last) this.#uses.onCommitted(facts, last);
  }

  /**
   * Position of a stream's newest fact, 0 where there is none. A session that begins reads it before the rows that it shows:
   * then it may hear once more of what it has seen, and misses nothing.
   */
  position(stream: string, rows?: Rows): Promise<number> {
    return this.#uses.store.position(stream, rows);
  }

  /** Removes a stream with its facts, even if followers still read them. The name must never be used again. */
  remove(tx: Rows, stream: string): Promise<void> {
    return this.#uses.store.remove(tx, stream);
  }
}
