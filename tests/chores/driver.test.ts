import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Chore } from '../../src/chores/chore.ts';
import { ChoreDriver } from '../../src/chores/chore-driver.ts';
import { FakeTime } from '../harness/fake-time.ts';

const MINUTE_MS = 60_000;
const PERIOD_MS = 10 * MINUTE_MS;

type Driver = Pick<ChoreDriver, 'start' | 'stop'>;
type Make = (time: FakeTime, chores: readonly Chore[], random?: () => number) => Driver;

/** What a driver told: lines such as `slow failed`. */
const told: string[] = [];

const events = {
  notice: (level: string, message: string) => void told.push(`${level} ${message}`),
  choresStarted: (names: readonly string[]) => void told.push(`started ${names.join(' ')}`),
  choreRan: (name: string, outcome: object) => void told.push(`${name} ${'cause' in outcome ? 'failed' : 'succeeded'}`),
  choreRanElsewhere: () => undefined,
};

const real: Make = (time, chores, random = () => 0.5) =>
  new ChoreDriver({ chores, leases: undefined, clock: time, sleep: time.sleep, events, random }, { stopMs: MINUTE_MS });

/** Runs that tell when they begin, and end when they are told to. */
class Runs {
  readonly begun: number[] = [];
  readonly signals: AbortSignal[] = [];
  readonly #ends: (() => void)[] = [];
  readonly #time: FakeTime;
  now = 0;
  most = 0;

  constructor(time: FakeTime) {
    this.#time = time;
  }

  /** @param lasts false for runs that end at once */
  chore(name: string, { lasts = false, periodMs = PERIOD_MS } = {}): Chore {
    return {
      name,
      firstMs: 1000,
      periodMs,
      where: 'everyNode',
      run: async (signal) => {
        this.begun.push(this.#time.elapsed());
        this.signals.push(signal);
        this.now += 1;
        this.most = Math.max(this.most, this.now);
        if (lasts) await new Promise<void>((resolve) => this.#ends.push(resolve));
        this.now -= 1;
      },
    };
  }

  endOne(): void {
    this.#ends.shift()?.();
  }
}

/** Numbers from 0 to 1, none of them twice. */
function* spread(): Generator<number, never> {
  for (let count = 1; ; count += 1) yield (count * 0.618) % 1;
}

/** Each property: what is wrong with a driver, if anything. */
const PROPERTIES: Readonly<Record<string, (make: Make) => Promise<string | undefined>>> = {
  'never runs a chore twice at a time': async (make) => {
    const time = new FakeTime();
    const runs = new Runs(time);
    make(time, [runs.chore('slow', { lasts: true })]).start();
    await time.advance(5 * PERIOD_MS);
    return runs.most === 1 ? undefined : `${runs.most} at a time`;
  },

  'lets a slow chore delay no other one': async (make) => {
    const time = new FakeTime();
    const [slow, quick] = [new Runs(time), new Runs(time)];
    make(time, [slow.chore('slow', { lasts: true }), quick.chore('quick')]).start();
    await time.advance(5 * PERIOD_MS);
    return quick.begun.length >= 5 ? undefined : `${quick.begun.length} runs in 5 periods`;
  },

  'does not make up for runs that a slow one has left out': async (make) => {
    const time = new FakeTime();
    const runs = new Runs(time);
    make(time, [runs.chore('slow', { lasts: true })]).start();
    await time.advance(100 * PERIOD_MS);
    for (let count = 0; count < 100; count += 1) {
      runs.endOne();
      await time.advance(1);
    }
    return runs.begun.length <= 2 ? undefined : `${runs.begun.length} runs`;
  },

  'runs a chore at least once in each period, and not much more often': async (make) => {
    const time = new FakeTime();
    const runs = new Runs(time);
    make(time, [runs.chore('one')], Math.random).start();
    await time.advance(1000 + 100 * PERIOD_MS);
    const gaps = runs.begun.slice(1).map((at, index) => at - (runs.begun[index] ?? 0));
    const isWrong = gaps.some((gap) => gap > PERIOD_MS || gap < PERIOD_MS / 2) || (runs.begun[0] ?? 9e9) > 1000;
    return isWrong || gaps.length < 100 ? `gaps ${gaps}` : undefined;
  },

  'keeps nodes that were started together from running together': async (make) => {
    const time = new FakeTime();
    const nodes = Array.from({ length: 20 }, () => new Runs(time));
    const numbers = spread();
    const random = (): number => numbers.next().value;
    for (const runs of nodes) make(time, [runs.chore('one')], random).start();
    await time.advance(10 * PERIOD_MS);
    const last = nodes.map(({ begun }) => begun.at(-1));
    return new Set(last).size === nodes.length ? undefined : `${new Set(last).size} instants for ${nodes.length} nodes`;
  },

  'tries a chore that failed again after a minute at most': async (make) => {
    const time = new FakeTime();
    let attempts = 0;
    const run = async () => {
      attempts += 1;
      if (attempts < 4) throw new Error('out of order');
    };
    told.length = 0;
    make(time, [{ name: 'failing', firstMs: 1000, periodMs: PERIOD_MS, where: 'everyNode', run }]).start();
    await time.advance(1000 + 3 * MINUTE_MS);
    const expected = ['started failing', ...Array(3).fill('failing failed'), 'failing succeeded'];
    return String(told) === String(expected) ? undefined : String(told);
  },

  'tells a run that the server stops, and stops when the run has ended': async (make) => {
    const time = new FakeTime();
    const runs = new Runs(time);
    const driver = make(time, [runs.chore('slow', { lasts: true })]);
    driver.start();
    await time.advance(1000);
    let hasStopped = false;
    const stopping = driver.stop().then(() => {
      hasStopped = true;
    });
    await time.advance(1);
    if (!runs.signals[0]?.aborted) return 'the run was not told';
    if (hasStopped) return 'stopped before the run had ended';
    runs.endOne();
    await time.advance(1);
    if (!hasStopped) return 'not stopped';
    await stopping;
    await time.advance(5 * PERIOD_MS);
    return runs.begun.length === 1 ? undefined : 'it ran again';
  },

  'does not wait for ever for a run that does not end': async (make) => {
    const time = new FakeTime();
    const runs = new Runs(time);
    const driver = make(time, [runs.chore('deaf', { lasts: true })]);
    driver.start();
    await time.advance(1000);
    told.length = 0;
    let hasStopped = false;
    void driver.stop().then(() => {
      hasStopped = true;
    });
    await time.advance(2 * MINUTE_MS);
    if (!hasStopped) return 'not stopped';
    return String(told) === 'warn stopping while chores still run' ? undefined : String(told);
  },
};

/** Begins runs by the clock, whatever still runs; stops at once. */
const byTheClock: Make = (time, chores) => {
  let isOver = false;
  const loop = async ({ firstMs, periodMs, run }: Chore) => {
    await time.sleep(firstMs);
    while (!isOver) {
      void run(new AbortController().signal).catch(() => undefined);
      await time.sleep(periodMs);
    }
  };
  return {
    start: () => void chores.map(loop),
    stop: async () => {
      isOver = true;
    },
  };
};

/** One run after the other, in one queue, and a round more for each period; waits for all of them at the stop. */
const oneQueue: Make = (time, chores) => {
  let queue: Promise<void> = Promise.resolve();
  const round = async () => {
    for (const { run } of chores) await run(new AbortController().signal);
  };
  const loop = async () => {
    await time.sleep(1000);
    for (;;) {
      queue = queue.then(round);
      await time.sleep(PERIOD_MS);
    }
  };
  return { start: () => void loop(), stop: () => queue };
};

/** Waits for half a period more than it may. */
const tooSeldom: Make = (time, chores, random) =>
  real(
    time,
    chores.map((chore) => ({ ...chore, periodMs: chore.periodMs * 1.5 })),
    random,
  );

const FAULTY: Readonly<Record<keyof typeof PROPERTIES, Make>> = {
  'never runs a chore twice at a time': byTheClock,
  'lets a slow chore delay no other one': oneQueue,
  'does not make up for runs that a slow one has left out': oneQueue,
  'runs a chore at least once in each period, and not much more often': tooSeldom,
  'keeps nodes that were started together from running together': (time, chores) => real(time, chores, () => 0.5),
  'tries a chore that failed again after a minute at most': byTheClock,
  'tells a run that the server stops, and stops when the run has ended': byTheClock,
  'does not wait for ever for a run that does not end': oneQueue,
};

describe('the driver of chores', () => {
  for (const [property, complaintAbout] of Object.entries(PROPERTIES)) {
    test(property, async () => assert.equal(await complaintAbout(real), undefined));
    test(`${property}: one that is made otherwise is seen`, async () => {
      assert.notEqual(await complaintAbout(FAULTY[property] ?? real), undefined);
    });
  }

  test('runs nothing when it is stopped before the first run', async () => {
    const time = new FakeTime();
    const runs = new Runs(time);
    const driver = real(time, [runs.chore('one')]);
    driver.start();
    await driver.stop();
    await time.advance(5 * PERIOD_MS);
    assert.deepEqual(runs.begun, []);
  });

  test('does not count a run that was ended by the stop', async () => {
    const time = new FakeTime();
    const runs = new Runs(time);
    const driver = real(time, [runs.chore('slow', { lasts: true })]);
    told.length = 0;
    driver.start();
    await time.advance(1000);
    const stopped = driver.stop();
    runs.endOne();
    await stopped;
    assert.deepEqual(told, ['started slow']);
  });
});
