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
  for (const rise of [0, 5]) {
    const found = slopePerHour(points(rise));
    assert.ok(Math.abs(found.rise - rise) < 3 * found.error, `${found.rise} ± ${found.error}`);
    assert.ok(found.error > 0.02 && found.error < 0.1, String(found.error));
  }
  assert.deepEqual(slopePerHour([]), { rise: 0, error: Number.POSITIVE_INFINITY });
});
