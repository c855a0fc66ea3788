import { setTimeout as sleep } from 'node:timers/promises';
import type { Carrier } from '../../../src/cluster/carrier.ts';
import type { Cluster } from '../../../src/cluster/cluster.ts';
import type { Fact } from '../../../src/cluster/fact.ts';
import type { WatchEnd } from '../../../src/cluster/watch.ts';
import type { Random } from '../revocation/simulation.ts';

// A plane that does not exist: it writes facts on every node, and has sessions on every node that must hear all of them.

export interface Node {
  readonly cluster: Cluster;
  readonly carrier: Carrier;
}

/** What was committed at a position, in elapsed milliseconds. */
interface Committed {
  readonly payload: string;
  readonly at: number;
  readonly phase: string;
}

/** How late facts were, by the phase in which they were committed. */
export interface Lateness {
  deliveries: number;
  msMost: number;
}

/** Facts of one change. */
const CHANGE_MOST = 40;

/** All streams, and what is known to be in them. */
export class MadeUpPlane {
  readonly #nodes: readonly Node[];
  readonly #random: Random;
  readonly #committed = new Map<string, (Committed | undefined)[]>();
  readonly lateness: Record<string, Lateness> = {};
  readonly sessions: Session[] = [];
  facts = 0;
  phase = 'faults';

  constructor(nodes: readonly Node[], random: Random, streams: readonly string[]) {
    this.#nodes = nodes;
    this.#random = random;
    for (const stream of streams) this.#committed.set(stream, []);
  }

  /** Writes so many facts, by so many writers on each node. @param pauseMs between two changes of a writer */
  async write(count: number, writers: number, pauseMs = 0): Promise<void> {
    const end = this.facts + count;
    const writer = async (node: Node): Promise<void> => {
      while (this.facts < end) {
        await this.#change(node);
        if (pauseMs > 0) await sleep(pauseMs * (0.5 + this.#random.next()));
      }
    };
    await Promise.all(this.#nodes.flatMap((node) => Array.from({ length: writers }, () => writer(node))));
  }

  /** A session on a random node that watches a random stream. */
  async join(watch: Joining, isSlow = false): Promise<void> {
    const node = this.#nodes[this.#random.below(this.#nodes.length)] as Node;
    const streams = [...this.#committed.keys()];
    const stream = streams[this.#random.below(streams.length)] as string;
    const from = this.#random.next() < 0.5 ? 0 : await node.cluster.outbox.position(stream);
    const session = new Session(this, { stream, from, pauseMs: isSlow ? 20 : 0 });
    this.sessions.push(session);
    watch(node, stream, from, session);
  }

  committedAt(stream: string, position: number): Committed | undefined {
    return this.#committed.get(stream)?.[position];
  }

  /** Notes when a prompt session heard a fact. */
  heard({ stream, position }: Fact): void {
    const committed = this.committedAt(stream, position);
    if (!committed) return; // heard before the writer was answered
    this.lateness[committed.phase] ??= { deliveries: 0, msMost: 0 };
    const lateness = this.lateness[committed.phase] as Lateness;
    lateness.deliveries += 1;
    lateness.msMost = Math.max(lateness.msMost, Math.round(performance.now() - committed.at));
  }

  /** Waits until every session has all, or until nothing has come for so long. */
  async settle(patienceMs: number): Promise<void> {
    let [heard, since] = [-1, performance.now()];
    while (this.#missing() > 0 && performance.now() - since < patienceMs) {
      const now = this.sessions.reduce((sum, session) => sum + session.payloads.length, 0);
      if (now !== heard) [heard, since] = [now, performance.now()];
      await sleep(20);
    }
  }

  /** @returns what the sessions heard, and how it differs from what was committed */
  judge(): { deliveries: number; missing: number; doubledOrOutOfOrder: number; wrong: number; ended: number } {
    let [deliveries, wrong, doubledOrOutOfOrder] = [0, 0, 0];
    for (const { stream, from, payloads, breaches } of this.sessions) {
      deliveries += payloads.length;
      doubledOrOutOfOrder += breaches;
      for (const [index, payload] of payloads.entries())
        if (this.committedAt(stream, from + 1 + index)?.payload !== payload) wrong += 1;
    }
    const ended = this.sessions.filter(({ end }) => end !== undefined).length;
    return { deliveries, missing: this.#missing(), doubledOrOutOfOrder, wrong, ended };
  }

  #missing(): number {
    const head = (stream: string): number => (this.#committed.get(stream)?.length ?? 1) - 1;
    return this.sessions.reduce(
      (sum, { stream, from, payloads }) => sum + Math.max(0, head(stream) - from - payloads.length),
      0,
    );
  }

  async #change({ cluster }: Node): Promise<void> {
    const streams = [...this.#committed.keys()];
    const stream = streams[this.#random.below(streams.length)] as string;
    const count = 1 + this.#random.below(CHANGE_MOST);
    const payloads = Array.from({ length: count }, () => JSON.stringify(`${stream}#${this.facts++}`));
    const facts = await cluster.outbox.write(stream, (_, append) =>
      append(...payloads.map((payload) => ({ kind: 'said', payload }))),
    );
    const at = performance.now();
    const known = this.#committed.get(stream) ?? [];
    for (const { position, payload } of facts) known[position] = { payload, at, phase: this.phase };
  }
}

/** How a session begins to watch; a planted fault has another way. */
export type Joining = (node: Node, stream: string, from: number, session: Session) => void;

/** Keeps what it hears, and whether it came in order. */
export class Session {
  readonly #plane: MadeUpPlane;
  readonly #pauseMs: number;
  readonly #joinedAt = performance.now();
  readonly stream: string;
  readonly from: number;
  readonly payloads: string[] = [];
  breaches = 0;
  end: WatchEnd | undefined;

  constructor(plane: MadeUpPlane, { stream, from, pauseMs }: { stream: string; from: number; pauseMs: number }) {
    this.#plane = plane;
    this.#pauseMs = pauseMs;
    this.stream = stream;
    this.from = from;
  }

  async onFacts(facts: readonly Fact[]): Promise<void> {
    for (const fact of facts) {
      if (fact.position !== this.from + this.payloads.length + 1 || fact.stream !== this.stream) this.breaches += 1;
      this.payloads.push(fact.payload);
      const committed = this.#plane.committedAt(fact.stream, fact.position);
      if (this.#pauseMs === 0 && committed && committed.at > this.#joinedAt) this.#plane.heard(fact);
    }
    if (this.#pauseMs > 0) await sleep(this.#pauseMs);
  }

  onEnd(end: WatchEnd): void {
    this.end = end;
  }
}
