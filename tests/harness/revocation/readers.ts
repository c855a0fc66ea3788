import { setTimeout as sleep } from 'node:timers/promises';
import { get } from '../../../bench/load.ts';
import type { Child } from '../child.ts';
import { Requests } from '../load/requests.ts';
import { Wire } from '../load/wire.ts';
import { Random } from './simulation.ts';

/** A token and its life, in milliseconds of one clock: this process asks for everything. */
interface Life {
  readonly token: string;
  /** When its revocation was asked for, and when that was answered with 204. */
  asked: number;
  done: number;
}

interface Use {
  readonly life: Life;
  readonly began: number;
  readonly ended: number;
  readonly status: number;
}

export interface Judged {
  readonly revocations: number;
  readonly uses: number;
  /** Accepted, though the use began after the revocation was answered. */
  readonly late: number;
  /** Refused, though the use had ended before the revocation was asked for. */
  readonly wrong: number;
  /** Neither 200 nor 401. */
  readonly other: number;
  readonly p99MsRevocation: number;
}

/** Tokens of each identity that readers go on to use: the newest and some that have ended. */
const KEPT = 4;

/**
 * Readers use tokens without a pause while others revoke them and have new ones issued; then each use is judged by its
 * interval (security-and-reliability, R2).
 */
export async function revokeUnderReaders(
  { port, key }: Child,
  { seed, readers, revokers, revocations }: { seed: number; readers: number; revokers: number; revocations: number },
): Promise<Judged> {
  const random = new Random(seed);
  const requests = new Requests(port, key);
  const uses: Use[] = [];
  const times: number[] = [];
  const lives: Life[][] = [];
  let left = revocations;
  let over = false;

  const revoker = async (): Promise<void> => {
    const wire = new Wire(port);
    const created = await wire.ask(requests.create());
    if (created.status !== 201) throw new Error(`no identity: ${created.text}`);
    const { id } = JSON.parse(created.text).identity as { id: string };
    const own: Life[] = [];
    lives.push(own);
    while (left-- > 0) {
      const issued = await wire.ask(requests.issue(id));
      if (issued.status !== 200) throw new Error(`no token: ${issued.text}`);
      const life = { token: JSON.parse(issued.text).token, asked: Infinity, done: Infinity };
      own.unshift(life);
      own.splice(KEPT);
      await sleep(random.below(10));
      life.asked = performance.now();
      const answer = await wire.ask(requests.revoke(id));
      life.done = performance.now();
      if (answer.status !== 204) throw new Error(`not revoked: ${answer.text}`);
      times.push(life.done - life.asked);
    }
    wire.close();
  };
  const reader = async (): Promise<void> => {
    const wire = new Wire(port);
    while (!over) {
      const life = lives.length > 0 ? random.pick(lives)[random.below(KEPT)] : undefined;
      if (life === undefined) {
        await sleep(1);
        continue;
      }
      const began = performance.now();
      const { status } = await wire.ask(get(port, '/-/whoami', { Authorization: `Bearer ${life.token}` }));
      uses.push({ life, began, ended: performance.now(), status });
    }
    wire.close();
  };

  const reading = Promise.all(Array.from({ length: readers }, reader));
  try {
    await Promise.all(Array.from({ length: revokers }, revoker));
  } finally {
    over = true;
    await reading;
  }
  return judge(uses, times);
}

function judge(uses: readonly Use[], times: readonly number[]): Judged {
  const count = (is: (use: Use) => boolean): number => uses.filter(is).length;
  const sorted = times.toSorted((one, other) => one - other);
  return {
    revocations: times.length,
    uses: uses.length,
    late: count(({ life, began, status }) => status === 200 && began > life.done),
    wrong: count(({ life, ended, status }) => status === 401 && ended < life.asked),
    other: count(({ status }) => status !== 200 && status !== 401),
    p99MsRevocation: Math.round((sorted[Math.floor(sorted.length * 0.99)] ?? 0) * 10) / 10,
  };
}
