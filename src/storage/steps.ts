import type { Database } from './database.ts';
import type { Rows } from './sql.ts';

/** Few enough that others wait for one statement only, many enough that a transaction is worth its sync. */
export const ROWS_PER_STEP = 256;

/**
 * Removes many rows in transactions of their own, between which others write.
 * @param turn see {@link GroupWriter.write}
 * @param removeSome removes up to `limit` rows and returns how many it has removed; none left when those were fewer
 * @returns how many were removed
 * @throws the reason of the signal when it was given before the end
 */
export async function removeInSteps(
  { writer }: Pick<Database, 'writer'>,
  { turn, signal }: { turn: string; signal: AbortSignal },
  removeSome: (tx: Rows, limit: number) => Promise<number>,
): Promise<number> {
  let count = 0;
  let removed: number;
  do {
    signal.throwIfAborted();
    removed = await writer.write((tx) => removeSome(tx, ROWS_PER_STEP), turn, ROWS_PER_STEP);
    count += removed;
  } while (removed === ROWS_PER_STEP);
  return count;
}
