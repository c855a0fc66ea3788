import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { SteadyTime } from '../../src/lib/steady-time.ts';
import { untilChoreRan } from '../harness/chores/chores.ts';
import { startTestServer } from '../harness/server.ts';

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

describe('a server', () => {
  const DAYS_40 = 40 * 24 * HOUR_MS;

  /** Which key signs once the chore has run, on a server that was started with a key that is old by now. */
  async function activeAfterChore(t: TestContext, jumps: 'before the start' | 'after it'): Promise<[string, string]> {
    const clocks = new Clocks();
    clocks.jump(Date.now() - clocks.now());
    const first = await startTestServer(t, { clock: clocks, env: { LINARITE_SIGNING_ALGORITHM: 'ES256' } });
    await first.server.keys.rotate(); // makes the key that is to follow
    if (jumps === 'before the start') clocks.jump(DAYS_40);
    const { folder } = first;
    const kid = first.server.keys.active.kid;
    await first.server.close();
    const server = await startTestServer(t, { clock: clocks, folder, env: { LINARITE_SIGNING_ALGORITHM: 'ES256' } });
    if (jumps === 'after it') clocks.jump(DAYS_40);
    await untilChoreRan('signingKeys', async () => (await server.send({ target: '/-/metrics' })).text);
    const active = server.server.keys.active.kid;
    await server.server.close();
    return [kid, active];
  }

  test('does not throw away a signing key by a clock that has just jumped, but by one that is right', async (t) => {
    const [before, afterJump] = await activeAfterChore(t, 'after it');
    assert.equal(afterJump, before);
    const [old, fresh] = await activeAfterChore(t, 'before the start');
    assert.notEqual(fresh, old);
  });
});
