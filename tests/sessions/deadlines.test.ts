import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Clock } from '../../src/lib/clock.ts';
import { SteadyTime } from '../../src/lib/steady-time.ts';
import { Deadlines } from '../../src/sessions/deadlines.ts';

const HOUR_MS = 3_600_000;
const START = Date.UTC(2030, 0, 1);

/** A wall clock that can be set, over time that passes by itself. */
class SetClock implements Clock {
  #elapsed = 0;
  #wall = START;
  now(): number {
    return this.#wall + this.#elapsed;
  }
  elapsed(): number {
    return this.#elapsed;
  }
  pass(ms: number): void {
    this.#elapsed += ms;
  }
  set(byMs: number): void {
    this.#wall += byMs;
  }
}

function given(): { clock: SetClock; deadlines: Deadlines<string> } {
  const clock = new SetClock();
  return { clock, deadlines: new Deadlines(new SteadyTime(clock), clock) };
}

describe('deadlines', () => {
  test('are due at their second, in whatever order they were added, and once', () => {
    const { clock, deadlines } = given();
    for (const seconds of [3, 1, 2, 1]) deadlines.add(`${seconds}`, START + seconds * 1000);
    assert.deepEqual(deadlines.takeDue(), []);
    clock.pass(999);
    assert.deepEqual(deadlines.takeDue(), []);
    clock.pass(1);
    assert.deepEqual(deadlines.takeDue(), ['1']);
    clock.pass(5000);
    assert.deepEqual(deadlines.takeDue().toSorted(), ['2', '3']);
    assert.deepEqual(deadlines.takeDue(), []);
  });

  test('are not due once they are removed, and may be added when later ones have been due', () => {
    const { clock, deadlines } = given();
    const at = deadlines.add('removed', START + 1000);
    deadlines.add('kept', START + 1000);
    deadlines.remove('removed', at);
    clock.pass(2000);
    assert.deepEqual(deadlines.takeDue(), ['kept']);
    deadlines.add('over already', START + 500);
    assert.deepEqual(deadlines.takeDue(), ['over already']);
  });

  test('are over at their instant, before anybody has looked for what is due', () => {
    const { clock, deadlines } = given();
    const at = deadlines.add('one', START + 1000);
    clock.pass(999);
    assert.equal(deadlines.isOver(at), false);
    clock.pass(1);
    assert.equal(deadlines.isOver(at), true);
  });

  test('far ahead, and after a jump over years, are found', () => {
    const { clock, deadlines } = given();
    deadlines.add('soon', START + 1000);
    deadlines.add('in ten years', START + 10 * 365 * 24 * HOUR_MS);
    clock.set(11 * 365 * 24 * HOUR_MS);
    assert.deepEqual(deadlines.takeDue().toSorted(), ['in ten years', 'soon']);
  });

  test('do not move away when the clock is set back, also once the new time is trusted', () => {
    const { clock, deadlines } = given();
    const at = deadlines.add('two hours', START + 2 * HOUR_MS);
    clock.set(-24 * HOUR_MS);
    assert.deepEqual(deadlines.takeDue(), []);
    for (let minute = 0; minute < 119; minute += 1) {
      clock.pass(60_000);
      assert.deepEqual(deadlines.takeDue(), [], `minute ${minute}`);
    }
    clock.pass(60_000);
    assert.ok(clock.now() < START, 'by the wall clock a day is left');
    assert.equal(deadlines.isOver(at), true);
    assert.deepEqual(deadlines.takeDue(), ['two hours']);
    // What is added now goes by the new time.
    const next = deadlines.add('by the new time', clock.now() + 1000);
    assert.equal(deadlines.isOver(next), false);
    clock.pass(1000);
    assert.deepEqual(deadlines.takeDue(), ['by the new time']);
  });

  test('come at once when the clock is set forward, as for requests', () => {
    const { clock, deadlines } = given();
    deadlines.add('an hour', START + HOUR_MS);
    clock.set(2 * HOUR_MS);
    assert.deepEqual(deadlines.takeDue(), ['an hour']);
  });
});
