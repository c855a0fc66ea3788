import { setTimeout as sleep } from 'node:timers/promises';
import { Tally } from './tally.ts';
import { type LoadAnswer, Wire } from './wire.ts';

/** A request to send, and who wants to see its answer. */
export interface Load {
  readonly request: string;
  readonly take?: (answer: LoadAnswer) => void;
}

/** How often new requests are sent. */
const TICK_MS = 5;

/** Clients that each send their next request when the answer to the last one is there. */
export async function closedLoop(
  port: number,
  connections: number,
  next: () => Load,
  more: () => boolean,
): Promise<Tally> {
  const tally = new Tally();
  const work = async (): Promise<void> => {
    const wire = new Wire(port);
    while (more()) await askOn(wire, next(), tally, performance.now());
    wire.close();
  };
  await Promise.all(Array.from({ length: connections }, work));
  return tally;
}

/**
 * Requests that come at a rate, whether earlier ones were answered or not, on as many connections as that takes. What
 * waits in this process counts as waiting: the time runs from when a request was due.
 */
export async function openLoop(
  port: number,
  { perSecond, seconds, connections }: { perSecond: number; seconds: number; connections: number },
  next: () => Load,
): Promise<Tally> {
  const tally = new Tally();
  const idle: Wire[] = [];
  const all: Wire[] = [];
  const started = performance.now();
  let due = 0;
  for (;;) {
    const elapsed = performance.now() - started;
    const until = Math.min(elapsed / 1000, seconds) * perSecond;
    for (; due < until; due += 1) {
      let wire = idle.pop();
      if (wire === undefined && all.length < connections) {
        wire = new Wire(port);
        all.push(wire);
      }
      if (wire === undefined) {
        tally.unsent += 1;
        continue;
      }
      const used = wire;
      void askOn(wire, next(), tally, started + (due / perSecond) * 1000).then(() => idle.push(used));
    }
    if (elapsed >= seconds * 1000) break;
    await sleep(TICK_MS);
  }
  const end = performance.now() + 30_000;
  while (idle.length < all.length && performance.now() < end) await sleep(TICK_MS);
  for (const wire of all) wire.close();
  tally.cut += all.length - idle.length; // no answer within half a minute is none
  return tally;
}

async function askOn(wire: Wire, { request, take }: Load, tally: Tally, since: number): Promise<void> {
  try {
    const answer = await wire.ask(request);
    tally.note(answer, performance.now() - since);
    take?.(answer);
  } catch {
    tally.cut += 1;
  }
}
