import { CHORES, type ChoreKey } from './table.ts';

/** Work that a server does again and again by itself. */
export interface Chore {
  /** In words that can stand before "failed"; the label of its metrics. */
  readonly name: string;
  /** Time from the start of the server to the first run, in milliseconds. */
  readonly firstMs: number;
  /** Longest time from the end of a run to the begin of the next one, in milliseconds. */
  readonly periodMs: number;
  /** `oneNode`: of the nodes that share a store, one runs it in each period. */
  readonly where: 'everyNode' | 'oneNode';
  /**
   * Does the work once. It may be run again after it was cut short at any point, so it is idempotent.
   * @param signal aborted when the server stops, or when another node may begin the chore: the run then ends soon
   */
  run(signal: AbortSignal): Promise<void>;
}

/** A chore of the {@link CHORES}. */
export function chore(key: ChoreKey, run: Chore['run']): Chore {
  const { name, firstMs, periodMs, where } = CHORES[key];
  return { name, firstMs, periodMs, where, run };
}
