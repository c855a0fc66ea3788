import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../revocation/simulation.ts';
import { slopePerHour } from './slope.ts';

test('the slope of memory is found through the noise of a collector, and flat is flat', () => {
  const random = new Random(3);
  const points = (rise: number) =>
    Array.from({ length: 600 }, (_, index) => ({
      hours: index / 120,
      mebibytes: 150 + (index / 120) * rise + random.between(-3, 3),
    }));
  assert.ok(Math.abs(slopePerHour(points(0))) < 0.5);
  assert.ok(Math.abs(slopePerHour(points(5)) - 5) < 0.5);
  assert.equal(slopePerHour([]), 0);
});
