import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SteadyTime } from '../../src/lib/steady-time.ts';

const HOUR_MS = 3_600_000;

/** Two clocks, of which only one jumps. */
class Clocks {
  #wall = 1_000_000_000_000;
  #elapsed = 5;
  now = (): number => this.#wall;
  elapsed = (): number => this.#elapsed;
  pass(ms: number): void {
    this.#wall += ms;
    this.#elapsed += ms;
  }
  jump(ms: number): void {
    this.#wall += ms;
  }
}

describe('steady time', () => {
  test('is that of the wall clock, which may be corrected by a little', () => {
    const clocks = new Clocks();
    const time = new SteadyTime(clocks);
    for (const step of [1, -30_000, 59_000, -60_000]) {
      clocks.pass(1000);
      clocks.jump(step);
      assert.equal(time.latest(), clocks.now());
      assert.ok(time.isSettled());
    }
  });

  for (const jump of [-2 * HOUR_MS, 2 * HOUR_MS, -48 * HOUR_MS, 48 * HOUR_MS]) {
    test(`never goes back when the clock jumps by ${jump / HOUR_MS} hours, and is right again when the clock is`, () => {
      const clocks = new Clocks();
      const time = new SteadyTime(clocks);
      clocks.pass(1000);
      const before = time.latest();
      clocks.jump(jump);
      clocks.pass(1000);
      assert.ok(!time.isSettled());
      assert.equal(time.latest(), before + 1000 + Math.max(0, jump));
      clocks.jump(-jump);
      assert.equal(time.latest(), before + 1000);
      assert.ok(time.isSettled());
    });
  }

  test('believes a clock that stays as it is for an hour', () => {
    const clocks = new Clocks();
    const time = new SteadyTime(clocks);
    clocks.jump(-2 * HOUR_MS);
    assert.ok(!time.isSettled());
    clocks.pass(HOUR_MS - 1);
    assert.ok(!time.isSettled());
    clocks.pass(2);
    assert.ok(time.isSettled());
    assert.equal(time.latest(), clocks.now());
  });
});
