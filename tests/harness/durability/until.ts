import { setTimeout as sleep } from 'node:timers/promises';

const PATIENCE_MS = 20_000;

/** Waits for something. @returns how long it took, in milliseconds. @throws Error when it takes too long */
export async function until(what: string, holds: () => boolean, patienceMs = PATIENCE_MS): Promise<number> {
  const start = performance.now();
  while (!holds()) {
    if (performance.now() - start > patienceMs) throw new Error(`it never came to it that ${what}`);
    await sleep(5);
  }
  return performance.now() - start;
}
