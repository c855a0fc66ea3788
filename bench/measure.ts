import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** The samples of one figure, in the order in which they were taken, summed up. */
export interface Stat {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly samples: number;
}

/** Takes one sample: does a bounded piece of work and says what one unit of it cost, or how many there were a second. */
export type Sample = () => Promise<number> | number;

/**
 * Takes the samples of several figures in turns, A B, B A, A B, …, so that a machine that is faster now than a minute
 * ago is so for all of them, and none is always first.
 */
export async function interleaved<Name extends string>(
  rounds: number,
  figures: Readonly<Record<Name, Sample>>,
): Promise<Record<Name, number[]>> {
  const order = Object.keys(figures) as Name[];
  const samples = Object.fromEntries(order.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  for (let round = 0; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? order : order.toReversed()) samples[name].push(await figures[name]());
  }
  return samples;
}

/** One figure divided by another, round by round. */
export const ratios = (of: readonly number[], by: readonly number[]): number[] =>
  of.map((value, round) => value / (by[round] ?? Number.NaN));

/** Median, least and most of some samples. */
export function stat(samples: readonly number[]): Stat {
  const sorted = samples.toSorted((one, other) => one - other);
  const at = (index: number): number => sorted[index] ?? Number.NaN;
  const last = sorted.length - 1;
  const median = (at(Math.floor(last / 2)) + at(Math.ceil(last / 2))) / 2;
  return { median, low: at(0), high: at(last), samples: sorted.length };
}

/** Every sample times a factor, for a change of unit. */
export const scaled = (samples: readonly number[], factor: number): number[] =>
  samples.map((sample) => sample * factor);

/** Clock ticks a second in /proc, the same on every Linux that Node.js runs on. */
const TICKS = 100;

/** Processor time that another process has used so far with all of its threads, user and system, in seconds. */
export function cpuSecondsOf(pid: number): number {
  return process.platform === 'linux' ? fromStat(`/proc/${pid}/stat`) : fromPs(pid);
}

/** The same for the first thread alone, which runs the event loop; undefined where the system does not tell. */
export function mainThreadSecondsOf(pid: number): number | undefined {
  return process.platform === 'linux' ? fromStat(`/proc/${pid}/task/${pid}/stat`) : undefined;
}

/** Resident memory of another process in MiB. */
export function residentMebibytesOf(pid: number): number {
  if (process.platform === 'linux') {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
  }
  return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) / 1024;
}

function fromStat(path: string): number {
  const text = readFileSync(path, 'utf8');
  // The name in brackets may have blanks; utime and stime are the 12th and 13th fields after it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** `ps` writes `[[days-]hours:]minutes:seconds`, on macOS with hundredths. */
function fromPs(pid: number): number {
  const text = execFileSync('ps', ['-o', 'time=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  const [days, time] = text.includes('-') ? text.split('-') : ['0', text];
  const seconds = (time ?? '').split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
  return Number(days) * 86_400 + seconds;
}

/** Processor time of this process, user and system, in seconds. */
export function ownCpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
