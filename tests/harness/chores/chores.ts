import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { CHORES, type ChoreKey } from '../../../src/chores/table.ts';

const PATIENCE_MS = 20_000;

/** Waits until a server has run a chore. @param metrics reads its metrics */
export async function untilChoreRan(key: ChoreKey, metrics: () => Promise<string>): Promise<void> {
  const { name } = CHORES[key];
  const hasRun = new RegExp(`^linarite_chore_runs_total\\{chore="${name}"\\} [1-9]`, 'm');
  const began = Date.now();
  while (!hasRun.test(await metrics())) {
    assert.ok(Date.now() - began < PATIENCE_MS, `${name}: has not run`);
    await sleep(50);
  }
}
