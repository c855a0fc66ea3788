import { readFileSync } from 'node:fs';
import { cpuSecondsOf, interleaved, ratios, stat } from '../../../bench/measure.ts';
import type { Tally } from './tally.ts';

/** Beyond this share of the processors for other work, how long answers take says more about that than about the server. */
const OTHERS_MOST = 0.1;

export interface Comparison {
  /** 99th percentiles in milliseconds: the median of the windows. */
  readonly usualMs: number;
  readonly loadedMs: number;
  /** The median of the rounds. */
  readonly ratio: number;
  /** Share of the processors that processes other than the server and its clients had. */
  readonly others: number;
  /** Share of the time in which the server's event loop could have gone on, but had no processor. */
  readonly starved: number;
}

/** Answers in one window, from the clients that take the times. */
type Window = () => Promise<Tally>;

/**
 * Compares how long served requests take in two conditions: by short windows in turns, so that a machine that has other
 * things to do meets both.
 * @param pids of the server, and then of its clients
 */
export async function compare(
  rounds: number,
  pids: readonly number[],
  { usual, loaded }: { usual: Window; loaded: Window },
): Promise<Comparison> {
  const p99 = (window: Window) => async () => (await window()).quantile(0.99);
  const started = performance.now();
  const before = processorSeconds(pids);
  const found = await interleaved(rounds, { usual: p99(usual), loaded: p99(loaded) });
  const after = processorSeconds(pids);
  return {
    usualMs: stat(found.usual).median,
    loadedMs: stat(found.loaded).median,
    ratio: Math.round(stat(ratios(found.loaded, found.usual)).median * 100) / 100,
    others: (after.busy - before.busy - (after.ours - before.ours)) / (after.all - before.all),
    starved: ((after.waited - before.waited) * 1000) / (performance.now() - started),
  };
}

/** Seconds that the processors of this machine have spent so far (proc(5), /proc/stat), and those of them that were ours. */
function processorSeconds(pids: readonly number[]): { all: number; busy: number; ours: number; waited: number } {
  const fields = /^cpu +(.+)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1]?.split(' ').slice(0, 8) ?? [];
  const seconds = fields.map((ticks) => Number(ticks) / 100);
  const all = seconds.reduce((sum, one) => sum + one, 0);
  const idle = (seconds[3] ?? 0) + (seconds[4] ?? 0);
  const ours = [process.pid, ...pids].reduce((sum, pid) => sum + cpuSecondsOf(pid), 0);
  // The first thread of the server: nanoseconds on a processor, and in line for one (sched-stats, /proc/<pid>/schedstat).
  const waited = Number(readFileSync(`/proc/${pids[0]}/schedstat`, 'utf8').split(' ')[1]) / 1e9;
  return { all, busy: all - idle, ours, waited };
}

/** What a comparison says about a limit, in words for the page of promises. */
export function verdict({ ratio, others, starved }: Comparison, most: number): string {
  const percent = (share: number): string => `${Math.round(share * 100)} %`;
  if (others > OTHERS_MOST)
    return `not judged: other work had ${percent(others)} of the processors, and the server waited for one ${percent(starved)} of the time`;
  return ratio <= most ? `at most ${most}, kept` : `at most ${most}, not kept`;
}

/** Whether the limit was judged and is not kept. */
export const isBroken = ({ ratio, others }: Comparison, most: number): boolean => others <= OTHERS_MOST && ratio > most;
