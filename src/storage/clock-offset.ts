import type { Clock } from '../lib/clock.ts';
import type { Database } from './database.ts';
import { sql } from './sql.ts';

/** How far this node's clock is ahead of the store's, the way there and back taken as equally long. */
export async function clockOffsetSeconds({ rows, clock: storeClock }: Database, clock: Clock): Promise<number> {
  const before = clock.now();
  const row = await rows.first<{ now: number }>(sql`select ${storeClock} as now`);
  return ((before + clock.now()) / 2 - (row?.now ?? Number.NaN)) / 1000;
}
