import type { Carrier } from './carrier.ts';
import type { Moved } from './fact.ts';
import { isCarried, messageFrom, messagesOf, type Whisper } from './hint-text.ts';

interface Uses {
  carrier: Carrier;
  /** What this node calls itself, so that it does not listen to itself. */
  nodeId: string;
  listener: HintListener;
}

/** Who hears what other nodes tell. */
export interface HintListener {
  moved(moved: Moved): void;
  whispered(whisper: Whisper): void;
  /** Hints may have been lost up to now. */
  connected(): void;
}

/** Streams that one message or the next can name; what is beyond is left to the sweep. */
const MOST_STREAMS = 10_000;
const MOST_WHISPERS = 1000;

/**
 * Tells other nodes where streams are, and hears it from them. What is told within one turn of the event loop, or while
 * the carrier sends, goes together. The carrier is started when it is needed for the first time.
 */
export class Hints {
  readonly #uses: Uses;
  #moved = new Map<string, number>();
  #whispers: Whisper[] = [];
  #isStarted = false;
  #isStopped = false;
  #isSending = false;

  constructor(uses: Uses) {
    this.#uses = uses;
  }

  /** Makes sure that this node hears the others. */
  start(): void {
    if (this.#isStarted || this.#isStopped) return;
    this.#isStarted = true;
    const { listener } = this.#uses;
    this.#uses.carrier.start({
      onMessage: (text) => this.#heard(text),
      onConnected: () => listener.connected(),
    });
  }

  /** Tells the other nodes, some time soon or never. */
  tell({ stream, position }: Moved): void {
    const known = this.#moved.get(stream);
    if (known === undefined && this.#moved.size >= MOST_STREAMS) return;
    this.#moved.set(stream, Math.max(known ?? 0, position));
    this.#schedule();
  }

  /** Passes a few bytes on to the other nodes, or loses them. */
  whisper(whisper: Whisper): void {
    if (!isCarried(whisper) || this.#whispers.length >= MOST_WHISPERS) return;
    this.#whispers.push(whisper);
    this.#schedule();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#isStarted) await this.#uses.carrier.stop();
  }

  #schedule(): void {
    this.start();
    if (this.#isSending || this.#isStopped) return;
    this.#isSending = true;
    setImmediate(() => void this.#send());
  }

  async #send(): Promise<void> {
    const { carrier, nodeId } = this.#uses;
    while ((this.#moved.size > 0 || this.#whispers.length > 0) && !this.#isStopped) {
      const moved = Array.from(this.#moved, ([stream, position]) => ({ stream, position }));
      const whispers = this.#whispers;
      this.#moved = new Map();
      this.#whispers = [];
      if (carrier.isConnected) await carrier.send(messagesOf(nodeId, moved, whispers));
    }
    this.#isSending = false;
  }

  #heard(text: string): void {
    const message = messageFrom(text);
    if (!message || message.from === this.#uses.nodeId) return;
    const { listener } = this.#uses;
    for (const moved of message.moved) listener.moved(moved);
    for (const whisper of message.whispers) listener.whispered(whisper);
  }
}
