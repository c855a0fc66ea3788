import { setTimeout as sleep } from 'node:timers/promises';
import { get } from '../../../bench/load.ts';
import { Tally } from './tally.ts';
import { type LoadAnswer, Wire } from './wire.ts';

/** A request to send, and who wants to see its answer. */
export interface Load {
  readonly request: string;
  readonly take?: (answer: LoadAnswer) => void;
}

/** How often it is looked whether the last answers have come. */
const TICK_MS = 5;

/**
 * Clients that each send their next request when the answer to the last one is there.
 * @param connections how many, or those that are open already
 */
export async function closedLoop(
  port: number,
  connections: number | readonly Wire[],
  next: () => Load,
  more: () => boolean,
): Promise<Tally> {
  const tally = new Tally();
  const wires =
    typeof connections === 'number' ? Array.from({ length: connections }, () => new Wire(port)) : connections;
  const work = async (wire: Wire): Promise<void> => {
    while (more()) await askOn(wire, next(), tally, performance.now());
    wire.close();
  };
  await Promise.all(wires.map(work));
  return tally;
}

/**
 * Connections that the server has accepted, as the pools of clients hold them. A busy Node.js server accepts one for each
 * turn of its loop (libuv since 1.45), so hundreds that arrive together wait for seconds whatever the server does.
 */
export async function openWires(port: number, count: number): Promise<Wire[]> {
  const wires = Array.from({ length: count }, () => new Wire(port));
  for (let at = 0; at < count; at += 50)
    await Promise.all(wires.slice(at, at + 50).map((wire) => wire.ask(get(port, '/-/health/live'))));
  return wires;
}

/**
 * Requests that come at a rate, whether earlier ones were answered or not, on these connections. What waits in this
 * process counts as waiting: the time runs from when a request was due.
 */
export async function openLoop(
  wires: readonly Wire[],
  { perSecond, seconds }: { perSecond: number; seconds: number },
  next: () => Load,
): Promise<Tally> {
  const tally = new Tally();
  const idle = [...wires];
  const started = performance.now();
  let due = 0;
  for (;;) {
    const elapsed = performance.now() - started;
    const until = Math.min(elapsed / 1000, seconds) * perSecond;
    for (; due < until; due += 1) {
      const wire = idle.shift();
      if (wire === undefined) {
        tally.unsent += 1;
        continue;
      }
      void askOn(wire, next(), tally, started + (due / perSecond) * 1000).then(() => idle.push(wire));
    }
    if (elapsed >= seconds * 1000) break;
    await sleep((due / perSecond) * 1000 - elapsed);
  }
  const end = performance.now() + 30_000;
  while (idle.length < wires.length && performance.now() < end) await sleep(TICK_MS);
  for (const wire of wires) wire.close();
  tally.cut += wires.length - idle.length; // no answer within half a minute is none
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
