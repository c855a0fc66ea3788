import assert from 'node:assert/strict';
import { after, describe, type TestContext, test } from 'node:test';
import { type Carried, facts, type Planted, type Size } from '../harness/cluster/facts.ts';
import { NO_NATS } from '../harness/nats.ts';
import { POSTGRES_URL } from '../harness/postgres.ts';
import { type HarnessResult, writeResult } from '../harness/results.ts';

// F1: three nodes on one store, hints that are dropped, doubled, delayed and invented, and a carrier that is stopped.

const SEED = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
/** 100000 for a release. */
const FACTS = Number(process.env.TEST_FACTS ?? 1000);
const STOPPED_SECONDS = Number(process.env.TEST_FACTS_STOPPED_SECONDS ?? 1);
const LONG = FACTS >= 10_000;
const SIZE: Size = {
  facts: FACTS,
  streams: LONG ? 40 : 8,
  sessions: LONG ? 80 : 24,
  stoppedSeconds: STOPPED_SECONDS,
  sweepMs: LONG ? 2000 : 200,
  seed: SEED,
  writers: LONG ? 16 : 4,
};
const SMALL: Size = { ...SIZE, facts: 200, streams: 4, sessions: 12, stoppedSeconds: 0.1, sweepMs: 200, writers: 4 };

const needsPostgres = !POSTGRES_URL && 'needs PostgreSQL';
const CARRIERS: readonly [Carried, string | false][] = [
  ['local', false],
  ['postgres', needsPostgres],
  ['nats', needsPostgres || NO_NATS],
];
const PLANTED: readonly Planted[] = ['trusts hints', 'no sweep'];

/** A short run may be lucky: what a planted fault breaks shows in one of a few. */
async function isReported(t: TestContext, carried: Carried, planted: Planted): Promise<boolean> {
  for (let run = 0; run < 5; run += 1) {
    const { broken } = await facts(t, carried, { ...SMALL, seed: SEED + run }, planted);
    if (broken.length > 0) return true;
  }
  return false;
}

for (const [carried, skip] of CARRIERS) {
  describe(`facts of a made-up plane, hints carried by ${carried}`, { skip }, () => {
    const id = carried === 'local' ? 'F1' : `F1-${carried}`;
    const report: HarnessResult = { id, seed: SEED, figures: {}, passed: false, planted: false };
    after(() => writeResult(report));

    test(`${FACTS} of them come to every session once and in order`, async (t) => {
      const { figures, broken } = await facts(t, carried, SIZE);
      t.diagnostic(`seed ${SEED}: ${JSON.stringify(figures)}`);
      report.figures = figures;
      assert.deepEqual(broken, []);
      for (const name of ['deliveries', 'hintsDropped', 'hintsDelayed', 'hintsInvented'] as const)
        assert.ok((figures[name] ?? 0) > 0, name);
      // By the sweep, with room for a machine that does other things.
      if (LONG) assert.ok((figures.latestMsWhileStopped ?? 0) <= 2 * SIZE.sweepMs, 'later than the sweep');
      report.passed = true;
    });

    const skipPlanted = !LONG && carried !== 'local' && 'reported by a long run of it';
    test('the harness reports a delivery that trusts hints, and no sweep', { skip: skipPlanted }, async (t) => {
      for (const planted of PLANTED) {
        assert.ok(await isReported(t, carried, planted), planted);
      }
      report.planted = true;
    });
  });
}
