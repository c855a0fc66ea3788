import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HeldLease } from '../../src/chores/held-lease.ts';
import { FakeTime } from '../harness/fake-time.ts';

const LEASE_MS = 60_000;

/** A lease that was just taken, and how often it was renewed. @param answer what the store says when it is asked to renew it */
function given(answer: () => Promise<boolean>) {
  const time = new FakeTime();
  const renewals: number[] = [];
  const renew = () => {
    renewals.push(time.elapsed());
    return answer();
  };
  const begun = { now: time.now(), elapsed: time.elapsed() };
  const lease = new HeldLease({ renew, clock: time, sleep: time.sleep }, { leaseMs: LEASE_MS, begun });
  return { time, lease, renewals };
}

describe('a lease that is held', () => {
  test('is renewed several times in its length, for as long as the run lasts', async () => {
    const { time, lease, renewals } = given(async () => true);
    await time.advance(10 * LEASE_MS);
    assert.ok(renewals.length >= 30, String(renewals));
    assert.ok(!lease.lost.aborted);
    const before = renewals.length;
    lease.end();
    await time.advance(10 * LEASE_MS);
    assert.equal(renewals.length, before);
    assert.ok(!lease.lost.aborted, 'a run that has ended cannot lose it');
  });

  test('is lost when another node has it', async () => {
    const { time, lease } = given(async () => false);
    await time.advance(LEASE_MS / 4);
    assert.match(String(lease.lost.reason), /another node/);
  });

  for (const [what, answer] of [
    ['fails', () => Promise.reject(new Error('no answer'))],
    ['never answers', () => new Promise<boolean>(() => undefined)],
  ] as const)
    test(`is lost before its end when the store ${what}`, async () => {
      const { time, lease } = given(answer);
      await time.advance(LEASE_MS / 2);
      assert.ok(!lease.lost.aborted);
      await time.advance(LEASE_MS / 4);
      assert.match(String(lease.lost.reason), /in time/);
    });

  test('lasts through a store that fails for a while', async () => {
    let failures = 0;
    const { time, lease } = given(async () => {
      failures += 1;
      if (failures % 2 === 1) throw new Error('no answer');
      return true;
    });
    await time.advance(10 * LEASE_MS);
    assert.ok(!lease.lost.aborted);
  });

  test('counts from when the store was asked, not from its answer', async () => {
    const answers: ((isOurs: boolean) => void)[] = [];
    const { time, lease } = given(() => new Promise((resolve) => answers.push(resolve)));
    await time.advance(LEASE_MS / 4);
    await time.advance(LEASE_MS / 4);
    answers[0]?.(true); // asked a quarter after the begin, answered a quarter later: two thirds more from the former
    await time.advance(LEASE_MS / 3);
    assert.ok(!lease.lost.aborted);
    await time.advance(LEASE_MS / 6);
    assert.ok(lease.lost.aborted);
  });

  test('is lost when the machine was suspended, which stops one of its clocks', async () => {
    const { time, lease } = given(() => new Promise<boolean>(() => undefined));
    time.jump(2 * LEASE_MS);
    await time.advance(1000);
    assert.ok(lease.lost.aborted);
  });
});
