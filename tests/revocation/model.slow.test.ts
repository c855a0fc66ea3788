import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { writeResult } from '../harness/results.ts';
import { type Faults, type Outcome, play } from '../harness/revocation/model.ts';

/** 5,000 for a release; the default is what fits into everyday runs. */
const SCHEDULES = Number(process.env.TEST_MODEL_SCHEDULES ?? 15);
/** Where the seeds begin. A failing seed alone: TEST_MODEL_SCHEDULES=1 TEST_MODEL_SEED=… */
const FIRST_SEED = Number(process.env.TEST_MODEL_SEED ?? 1);

describe('the revocation protocol under random faults', () => {
  const figures = { schedules: 0, checks: 0, late: 0, wrong: 0, stuck: 0 };
  const reported: string[] = [];
  after(() => {
    const passed = figures.schedules > 0 && figures.late + figures.wrong + figures.stuck === 0;
    const planted = PLANTED.every(({ what }) => reported.includes(what));
    writeResult({ id: 'R-model', seed: FIRST_SEED, figures, passed, planted });
  });

  test(`${SCHEDULES} schedules from seed ${FIRST_SEED} on: no late acceptance, no wrong refusal, service afterwards`, async (t) => {
    const sum = { checks: 0, accepted: 0, refused: 0, unsure: 0, events: 0 };
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SCHEDULES; seed += 1) {
      const outcome = await play(seed);
      figures.schedules += 1;
      figures.checks += outcome.checks;
      for (const kind of ['late', 'wrong', 'stuck'] as const) figures[kind] += outcome[kind].length;
      assert.deepEqual(complaints(outcome), [], `seed ${seed}`);
      for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += outcome[name];
    }
    t.diagnostic(`seeds ${FIRST_SEED} to ${FIRST_SEED + SCHEDULES - 1}: ${JSON.stringify(sum)}`);
    // A model in which hardly anything is decided would prove nothing.
    assert.ok(sum.accepted > sum.checks / 10 && sum.refused > sum.checks / 10, JSON.stringify(sum));
  });

  /** With enough schedules for the fault to show; a long run tells the rates. */
  const PLANTED: { what: string; faults: Faults; shows: 'late' | 'wrong' | 'stuck'; schedules: number }[] = [
    { what: 'no lease', faults: { noLease: true }, shows: 'late', schedules: 10 },
    {
      what: 'a lease from the end of the heartbeat',
      faults: { leaseFromEndOfBeat: true },
      shows: 'late',
      schedules: 30,
    },
    { what: 'no waiting for other nodes', faults: { noCommitWait: true }, shows: 'late', schedules: 5 },
    { what: 'a heartbeat that only reads', faults: { readOnlyBeat: true }, shows: 'late', schedules: 5 },
    { what: 'a repeated call that answers at once', faults: { repeatsAtOnce: true }, shows: 'late', schedules: 10 },
    { what: 'no waiting for other nodes’ memories', faults: { noConfigWait: true }, shows: 'late', schedules: 10 },
    { what: 'no waiting until a new grant holds', faults: { noConfigWait: true }, shows: 'wrong', schedules: 10 },
    {
      what: 'a node that has followed before it has read',
      faults: { followsEarly: true },
      shows: 'late',
      schedules: 10,
    },
    { what: 'numbers with gaps', faults: { gaps: true }, shows: 'stuck', schedules: 15 },
    { what: 'gaps that readers do not mind', faults: { unnoticedGaps: true }, shows: 'late', schedules: 10 },
    { what: 'issuing from a cache', faults: { issueFromCache: true }, shows: 'wrong', schedules: 10 },
    { what: 'issue times, refusing too much', faults: { byIssueTime: true }, shows: 'wrong', schedules: 5 },
    { what: 'issue times, accepting too much', faults: { byIssueTime: true }, shows: 'late', schedules: 10 },
  ];
  for (const { what, faults, shows, schedules } of PLANTED) {
    test(`the model reports ${what}`, async (t) => {
      const most = Math.max(schedules, Math.floor(SCHEDULES / 10));
      const everyOne = most > schedules;
      let played = 0;
      let found = 0;
      while (played < most && (everyOne || found === 0)) {
        played += 1;
        const outcome = await play(FIRST_SEED + played, faults);
        if (outcome[shows].length > 0) found += 1;
      }
      t.diagnostic(`${found} of ${played} schedules`);
      assert.ok(found > 0);
      reported.push(what);
    });
  }

  test('the model reports a node that counts the heartbeat with which it joined', {
    skip: SCHEDULES < 1000 && 'one schedule in a hundred shows it; nodes.test.ts has it in one',
  }, async (t) => {
    let found = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + 1000; seed += 1) {
      if ((await play(seed, { joinsAtOnce: true })).late.length > 0) found += 1;
    }
    t.diagnostic(`${found} of 1000 schedules`);
    assert.ok(found > 0);
  });
});

const complaints = ({ late, wrong, stuck }: Outcome): string[] => [
  ...late.map((text) => `accepted too late: ${text}`),
  ...wrong.map((text) => `refused wrongly: ${text}`),
  ...stuck.map((text) => `service: ${text}`),
];
