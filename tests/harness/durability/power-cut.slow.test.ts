import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { writeResult } from '../results.ts';
import { Random } from '../revocation/simulation.ts';
import { problemsAfterCut } from './after-cut.ts';
import { startChild } from './child-server.ts';
import { Disk } from './disk-states.ts';
import { givenFolder } from './folders.ts';
import { readTrace, requestsIn, successesIn, TRACED_ENV, traced, traceEnded, whyNoTrace } from './trace.ts';
import { type Call, Clients, type Stage } from './workload.ts';

// D3: the machine loses power. The server runs once; from its system calls the files are rebuilt as they might have been
// found after a cut at any instant, and each time a server is started on them.

/** 2,000 for a release. */
const STATES = Number(process.env.TEST_POWER_CUT_STATES ?? 40);
const SEED = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
const skip = whyNoTrace();
const STATES_PER_RUN = 200;
const OPERATIONS_PER_RUN = 400;
const OPERATIONS_WITH_FAULT = 100;
const BYTES_MOST = 1 << 20;
/** Of the cuts, how many fall into the first start. */
const DURING_START = 0.1;

const report = { id: 'D3', seed: SEED, figures: {}, passed: false, planted: false };
after(() => skip || writeResult(report));

/** A run of the server. */
interface Run {
  readonly data: string;
  readonly trace: string;
  readonly clients: Clients;
}

interface Found {
  states: number;
  acknowledged: number;
  problems: string[];
}

async function givenRun(t: TestContext, seed: number, faults: readonly string[]): Promise<Run> {
  const folder = givenFolder(t, 'power-cut');
  const run = { data: join(folder, 'data'), trace: join(folder, 'trace'), clients: new Clients(new Random(seed)) };
  const under = traced(run.trace, BYTES_MOST);
  const server = await startChild(run.data, { faults: ['small-log.ts', ...faults], env: TRACED_ENV, under });
  t.after(() => server.kill());
  const operations = faults.length > 0 ? OPERATIONS_WITH_FAULT : OPERATIONS_PER_RUN;
  await run.clients.write(server.port, () => run.clients.confirmed >= operations);
  await server.kill();
  await traceEnded(run.trace, server.pid);
  return run;
}

/** Positions in the trace at which the power is cut: anywhere between the first change to the database and the last. */
async function cuts({ data, trace }: Run, count: number, random: Random): Promise<number[]> {
  const disk = new Disk(data);
  const changes: number[] = [];
  let served = Number.POSITIVE_INFINITY;
  for await (const call of readTrace(trace)) {
    if (disk.follow(call)) changes.push(call.end);
    else if (requestsIn(call.data).length > 0) served = Math.min(served, call.begin);
  }
  const starting = changes.filter((at) => at < served);
  const serving = changes.filter((at) => at > served);
  return Array.from({ length: count }, () => random.pick(random.chance(DURING_START) ? starting : serving)).sort(
    (one, other) => one - other,
  );
}

async function found(t: TestContext, states: number, seed: number, faults: readonly string[] = []): Promise<Found> {
  const random = new Random(seed);
  const run = await givenRun(t, seed, faults);
  const found: Found = { states: 0, acknowledged: run.clients.confirmed, problems: [] };
  const disk = new Disk(run.data);
  const stages = new Map<string, Stage>();
  const stageOf = ({ id }: Call): Stage => stages.get(id) ?? 'none';
  const waiting = await cuts(run, states, random);
  for await (const call of readTrace(run.trace)) {
    disk.follow(call);
    if (call.path.startsWith('socket:')) {
      for (const id of call.name === 'read' ? requestsIn(call.data) : []) stages.set(id, 'asked');
      for (const id of call.name === 'read' ? [] : successesIn(call.data)) stages.set(id, 'confirmed');
    }
    for (; waiting[0] !== undefined && waiting[0] <= call.end; waiting.shift()) {
      const problems = await problemsAfterCut(t, run.data, disk.afterCut(random), run.clients.lives, stageOf);
      found.problems.push(...problems.map((text) => `seed ${seed}, state ${found.states}: ${text}`));
      found.states += 1;
    }
  }
  return found;
}

describe('a power cut at any moment', { skip }, () => {
  test(`${STATES} rebuilt states: what was confirmed holds, and every one opens`, async (t) => {
    t.diagnostic(`seed ${SEED}`);
    let states = 0;
    let acknowledged = 0;
    const problems: string[] = [];
    for (let run = 0; states < STATES; run += 1) {
      const one = await found(t, Math.min(STATES_PER_RUN, STATES - states), SEED + run);
      states += one.states;
      acknowledged += one.acknowledged;
      problems.push(...one.problems);
      const unopenable = problems.filter((text) => text.includes('it does not start')).length;
      report.figures = { states, acknowledged, unopenable, lost: problems.length - unopenable };
    }
    assert.deepEqual(problems.slice(0, 10), []);
    assert.equal(states, STATES);
    t.diagnostic(`${states} states of ${acknowledged} acknowledged operations`);
    report.passed = true;
  });

  const caught = new Set<string>();
  for (const fault of ['early-answer.ts', 'sync-normal.ts']) {
    test(`the harness reports ${fault}`, async (t) => {
      const { problems } = await found(t, 20, SEED, [fault]);
      assert.ok(
        problems.some((text) => /is lost|came back/.test(text)),
        'nothing was reported',
      );
      caught.add(fault);
      report.planted = caught.size === 2;
    });
  }
});
