import type { Fact } from './fact.ts';

/** Facts of one stream that are kept. */
const MOST_OF_STREAM = 64;

/**
 * The newest facts of watched streams, so that a fact is read once for all who watch. What is not here is read from the
 * store. It has two halves; when the newer one is full, the older one is forgotten as a whole.
 */
export class RecentFacts {
  readonly #mostBytes: number;
  #newer = new Map<string, readonly Fact[]>();
  #older = new Map<string, readonly Fact[]>();
  #bytes = 0;

  /** @param mostBytes of each half, about */
  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /** @param facts of one stream, one after the other */
  add(facts: readonly Fact[]): void {
    const [first] = facts;
    if (!first) return;
    const known = this.#of(first.stream) ?? [];
    const begins = known[0]?.position ?? 0;
    const next = (known.at(-1)?.position ?? 0) + 1;
    const fresh = facts.filter(({ position }) => position >= next);
    if (fresh.length === 0) return; // they are here, or older than what is
    const continues = first.position >= begins && first.position <= next;
    const kept = (continues ? [...known, ...fresh] : facts).slice(-MOST_OF_STREAM);
    this.#bytes += bytesOf(continues ? fresh : kept);
    this.#newer.set(first.stream, kept);
    if (this.#bytes <= this.#mostBytes) return;
    this.#older = this.#newer;
    this.#newer = new Map();
    this.#bytes = 0;
  }

  /** @returns one fact or more after a position, the very next one first; undefined where it is not here */
  after(stream: string, position: number): readonly Fact[] | undefined {
    const known = this.#of(stream);
    const index = position + 1 - (known?.[0]?.position ?? Number.POSITIVE_INFINITY);
    return known && index >= 0 && index < known.length ? known.slice(index) : undefined;
  }

  forget(stream: string): void {
    this.#newer.delete(stream);
    this.#older.delete(stream);
  }

  #of(stream: string): readonly Fact[] | undefined {
    return this.#newer.get(stream) ?? this.#older.get(stream);
  }
}

/** An object has some 150 bytes beside its texts. */
const bytesOf = (facts: readonly Fact[]): number =>
  facts.reduce((sum, { payload, kind }) => sum + payload.length + kind.length + 150, 0);
