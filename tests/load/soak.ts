// npm run test:soak: hours at 60 % load, with rotation, revocation and clients that come and go (L6). Prints what memory and
// descriptors did. TEST_SOAK_MINUTES (60), TEST_SEED. With TEST_SOAK_LEAK a leak is planted, which must be reported.
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { get } from '../../bench/load.ts';
import { startChild } from '../harness/child.ts';
import { writeResult } from '../harness/results.ts';
import { Random } from '../revocation/simulation.ts';
import { closedLoop, type Load, openLoop, openWires } from './generator.ts';
import { createMany } from './overload.ts';
import { Requests } from './requests.ts';
import { slopePerHour } from './slope.ts';

const MINUTES = Number(process.env.TEST_SOAK_MINUTES ?? 60);
const LEAK = process.env.TEST_SOAK_LEAK !== undefined;
const SEED = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
/** Connections live for one of these, then all clients come anew. */
const SLICE_SECONDS = Math.min(30, MINUTES * 3);
/** The first part is not looked at: code is compiled, and the heap finds its size. */
const WARM_SHARE = 0.3;
const SLOPE_MOST = 1;

const undo: (() => unknown)[] = [];
const t = { after: (step: () => unknown) => undo.push(step) } as unknown as TestContext;

const random = new Random(SEED);
const server = await startChild(t, {
  env: { LINARITE_LOG_LEVEL: 'warn' },
  faults: LEAK ? [join(import.meta.dirname, 'faults', 'leak.ts')] : [],
});
const requests = new Requests(server.port, server.key);
const ids = await createMany(server.port, requests, 200);
let token = '';

const next = (): Load => {
  const what = random.next();
  if (what < 0.6)
    return {
      request: requests.issue(random.pick(ids)),
      take: ({ status, text }) => {
        if (status === 200) token = JSON.parse(text).token;
      },
    };
  if (what < 0.7) return { request: requests.revoke(random.pick(ids)) };
  if (what < 0.75) return { request: requests.create() };
  // Many of these tokens have been revoked: 401 is as good an answer as 200.
  return { request: get(server.port, '/-/whoami', { Authorization: `Bearer ${token || 'none'}` }) };
};

const warmUp = performance.now() + 5000;
await closedLoop(server.port, 16, next, () => performance.now() < warmUp);
const until = performance.now() + 5000;
const capacity = (await closedLoop(server.port, 16, next, () => performance.now() < until)).answered / 5;

const started = performance.now();
const points: { hours: number; mebibytes: number }[] = [];
const descriptors: number[] = [];
const counts = { asked: 0, unexpected: 0, refused: 0, cut: 0 };
while (performance.now() - started < MINUTES * 60_000) {
  const wires = await openWires(server.port, 100);
  const tally = await openLoop(wires, { perSecond: 0.6 * capacity, seconds: SLICE_SECONDS }, next);
  counts.asked += tally.answered + tally.cut;
  counts.unexpected += tally.unexpected - tally.count(401);
  counts.refused += tally.count(503) + tally.count(429);
  counts.cut += tally.cut;
  await sleep(500); // the connections of that slice are gone
  points.push({ hours: (performance.now() - started) / 3_600_000, mebibytes: server.residentMebibytes() });
  descriptors.push(server.descriptors());
  const { mebibytes = 0 } = points.at(-1) ?? {};
  console.log(
    `${(points.at(-1)?.hours ?? 0).toFixed(3)} h  ${mebibytes.toFixed(1)} MiB  ${descriptors.at(-1)} descriptors`,
  );
}
const code = await server.end('SIGTERM');
for (const step of undo.reverse()) await step();

const warm = points.slice(Math.floor(points.length * WARM_SHARE));
const figures = {
  minutes: MINUTES,
  capacityPerSecond: Math.round(capacity),
  ...counts,
  mebibytesPerHour: Math.round(slopePerHour(warm) * 10) / 10,
  residentMebibytesLast: Math.round(points.at(-1)?.mebibytes ?? 0),
  descriptorsFirst: descriptors[0] ?? 0,
  descriptorsLast: descriptors.at(-1) ?? 0,
  exitCode: code ?? -1,
};
const clean = counts.unexpected === 0 && counts.cut === 0 && code === 0;
const flat = figures.mebibytesPerHour < SLOPE_MOST && figures.descriptorsLast <= figures.descriptorsFirst + 2;
console.log(JSON.stringify({ seed: SEED, ...figures, passed: clean && flat }, undefined, 2));
if (!LEAK) writeResult({ id: 'L6', seed: SEED, figures, passed: clean && flat, planted: false });
process.exitCode = clean && flat ? 0 : 1;
