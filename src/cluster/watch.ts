import type { Fact } from './fact.ts';
import type { Page } from './fact-store.ts';

/** Why a watch was ended by the server. */
export type WatchEnd =
  /** The next fact is not there any more, or the position is not one of this stream: begin again from what is there now. */
  | { readonly because: 'gone' }
  /** `onFacts` threw. */
  | { readonly because: 'failed'; readonly cause: unknown };

/** What a session wants to hear of a stream. */
export interface Watcher {
  /**
   * The next facts, in order, each once. The next call comes when this one has returned, and its promise is settled. When
   * it throws, the watch is over.
   */
  onFacts(facts: readonly Fact[]): void | Promise<void>;
  /** Called once when no more facts come, except after {@link Watch.stop}. */
  onEnd(end: WatchEnd): void;
  /** What may be lost, such as that somebody types. */
  onWhisper?(text: string): void;
}

interface Uses {
  /** @returns the facts after a position, none where there are no more */
  read(after: number): Promise<Page>;
  watcher: Watcher;
  /** Called once when it is over. */
  onOver(): void;
}

/**
 * One session's way through one stream. It knows the position up to which it has delivered, and nothing else decides what
 * comes next: a hint only makes it look.
 */
export class Watch {
  readonly #uses: Uses;
  #position: number;
  #isDelivering = false;
  #looksAgain = false;
  #isOver = false;

  constructor(uses: Uses, position: number) {
    this.#uses = uses;
    this.#position = position;
  }

  /** Position of the last fact that was delivered. */
  get position(): number {
    return this.#position;
  }

  /** Ends it and tells nobody. */
  stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#uses.onOver();
  }

  /** Reads what is there and delivers it, unless it does so already; then it looks once more at the end. */
  async look(): Promise<void> {
    this.#looksAgain = true;
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    try {
      while (this.#looksAgain && !this.#isOver) {
        this.#looksAgain = false;
        while (await this.#deliverNext());
      }
    } catch {
      // The store did not answer. The next sweep that it answers makes this look again.
    } finally {
      this.#isDelivering = false;
    }
  }

  /** Never throws. */
  whisper(text: string): void {
    try {
      this.#uses.watcher.onWhisper?.(text);
    } catch {
      // It may be lost.
    }
  }

  /** @returns whether there may be more */
  async #deliverNext(): Promise<boolean> {
    const { head, facts } = await this.#uses.read(this.#position);
    if (this.#isOver) return false;
    if (facts.length === 0 && head === this.#position) return false;
    if (facts[0]?.position !== this.#position + 1) return this.#end({ because: 'gone' });
    this.#position += facts.length;
    if (facts.at(-1)?.position !== this.#position) return this.#end({ because: 'gone' });
    try {
      await this.#uses.watcher.onFacts(facts);
    } catch (cause) {
      return this.#end({ because: 'failed', cause });
    }
    return !this.#isOver;
  }

  #end(end: WatchEnd): false {
    if (this.#isOver) return false;
    this.stop();
    try {
      this.#uses.watcher.onEnd(end);
    } catch {
      // It was told.
    }
    return false;
  }
}
