import type { Carrier, CarrierListener } from '../../../src/cluster/carrier.ts';
import type { Random } from '../revocation/simulation.ts';

/** Shares of the messages that arrive. */
const DROPPED = 0.3;
const DOUBLED = 0.1;
const DELAYED = 0.2;
const INVENTED = 0.1;
/** Of so many messages one is certain to meet each of these faults. */
const EVERY = 16;

/** A carrier that does everything which a hint has to survive. */
export class FaultyCarrier implements Carrier {
  readonly #inner: Carrier;
  readonly #random: Random;
  readonly #streams: readonly string[];
  readonly #delayMsMost: number;
  #messages = 0;
  readonly counts = { passed: 0, dropped: 0, doubled: 0, delayed: 0, invented: 0 };

  /** @param delayMsMost longer than a sweep takes, so that hints come when they are of no use */
  constructor(inner: Carrier, random: Random, streams: readonly string[], delayMsMost: number) {
    this.#inner = inner;
    this.#random = random;
    this.#streams = streams;
    this.#delayMsMost = delayMsMost;
  }

  get isConnected(): boolean {
    return this.#inner.isConnected;
  }

  start(listener: CarrierListener): void {
    this.#inner.start({
      onMessage: (text) => this.#withFaults(listener, text),
      onConnected: () => listener.onConnected(),
    });
  }

  send(messages: readonly string[]): Promise<void> {
    return this.#inner.send(messages);
  }

  stop(): Promise<void> {
    return this.#inner.stop();
  }

  #withFaults(listener: CarrierListener, text: string): void {
    const random = this.#random;
    const { counts } = this;
    const turn = this.#messages % EVERY; // so that a short run has each fault, too
    this.#messages += 1;
    if (turn === 0 || random.next() < INVENTED) {
      counts.invented += 1;
      listener.onMessage(this.#invented());
    }
    if (turn === 1 || random.next() < DROPPED) {
      counts.dropped += 1;
    } else if (turn === 2 || random.next() < DELAYED) {
      counts.delayed += 1;
      setTimeout(() => listener.onMessage(text), random.below(this.#delayMsMost)).unref();
    } else {
      counts.passed += 1;
      listener.onMessage(text);
      if (random.next() >= DOUBLED) return;
      counts.doubled += 1;
      listener.onMessage(text);
    }
  }

  #invented(): string {
    const random = this.#random;
    const hints = Array.from({ length: 5 }, () => [
      this.#streams[random.below(this.#streams.length)],
      1 + random.below(random.next() < 0.5 ? 2000 : Number.MAX_SAFE_INTEGER - 1),
    ]);
    return JSON.stringify(['nobody', ...hints]);
  }
}
