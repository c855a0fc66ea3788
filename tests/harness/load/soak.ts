// npm run harness -- soak: an hour at 60 % load, with rotation, revocation and clients that come and go (L6). Prints what memory and
// descriptors did. TEST_SOAK_MINUTES (60), TEST_SEED. Before it a leak is planted for some minutes, which must be found.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { get } from '../../../bench/load.ts';
import { type Child, startChild } from '../child.ts';
import { writeResult } from '../results.ts';
import { Random } from '../revocation/simulation.ts';
import { closedLoop, type Load, openLoop, openWires } from './generator.ts';
import { createMany } from './overload.ts';
import { Requests } from './requests.ts';
import { slopePerHour } from './slope.ts';

const MINUTES = Number(process.env.TEST_SOAK_MINUTES ?? 60);
const LEAK_MINUTES = Math.min(MINUTES, 3);
/** What faults/leak.ts leaves behind of each request, at least. */
const LEAK_BYTES = 1000;
const SEED = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
/** The first part is not looked at: code is compiled, caches fill, and the heap finds its size. */
const WARM_SHARE = 0.3;
/** Identities that are there before a long run: more pages than SQLite keeps in memory, so that its cache is full. */
const FULL = MINUTES < 30 ? 0 : 200_000;
const SLOPE_MOST = 1;
const MEBIBYTE = 1024 * 1024;

/** What is left after all garbage was collected, in bytes. */
interface Memory {
  /** JavaScript's objects, and what they hold outside of the heap. */
  readonly live: number;
  readonly resident: number;
}

async function memoryOf({ pid }: Child, file: string): Promise<Memory> {
  rmSync(file, { force: true });
  process.kill(pid, 'SIGUSR2');
  for (let tries = 0; tries < 600; tries += 1) {
    await sleep(50);
    try {
      return JSON.parse(readFileSync(file, 'utf8'));
    } catch {
      // not yet
    }
  }
  throw new Error('the server says nothing about its memory');
}

/** Loads a server for so long. Connections live for one slice, then all clients come anew. */
async function soak(minutes: number, identities: number, ...faults: string[]) {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-soak-'));
  const undo: (() => unknown)[] = [() => rmSync(folder, { recursive: true })];
  const t = { after: (step: () => unknown) => undo.push(step) } as unknown as TestContext;
  try {
    const memoryFile = join(folder, 'memory');
    const server = await startChild(t, {
      env: { LINARITE_LOG_LEVEL: 'warn', TEST_MEMORY_FILE: memoryFile },
      faults: [join(import.meta.dirname, 'collect.ts'), ...faults],
    });
    const next = await mixOf(server);
    await fill(server, identities);
    const warmUp = performance.now() + 5000;
    await closedLoop(server.port, 16, next, () => performance.now() < warmUp);
    const until = performance.now() + 5000;
    const capacity = (await closedLoop(server.port, 16, next, () => performance.now() < until)).answered / 5;

    const started = performance.now();
    const sliceSeconds = Math.min(30, minutes * 3);
    const points: { hours: number; live: number; resident: number; descriptors: number }[] = [];
    const counts = { asked: 0, unexpected: 0, refused: 0, cut: 0 };
    let residentMost = 0;
    while (performance.now() - started < minutes * 60_000) {
      const wires = await openWires(server.port, 100);
      const tally = await openLoop(wires, { perSecond: 0.6 * capacity, seconds: sliceSeconds }, next);
      counts.asked += tally.answered + tally.cut;
      counts.unexpected += tally.unexpected - tally.count(401);
      counts.refused += tally.count(503) + tally.count(429);
      counts.cut += tally.cut;
      residentMost = Math.max(residentMost, server.residentMebibytes());
      await sleep(500); // the connections of that slice are gone
      const hours = (performance.now() - started) / 3_600_000;
      const { live, resident } = await memoryOf(server, memoryFile);
      const point = { hours, live: live / MEBIBYTE, resident: resident / MEBIBYTE, descriptors: server.descriptors() };
      points.push(point);
      const { live: l, resident: r, descriptors } = point;
      console.log(
        `${hours.toFixed(3)} h  ${l.toFixed(1)} MiB live  ${r.toFixed(1)} MiB resident  ${descriptors} descriptors`,
      );
    }
    const code = await server.end('SIGTERM');
    return { points, capacity, counts, residentMost, code };
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

async function fill({ port, key }: Child, identities: number): Promise<void> {
  const requests = new Requests(port, key);
  let left = identities;
  const tally = await closedLoop(
    port,
    64,
    () => ({ request: requests.create() }),
    () => left-- > 0,
  );
  if (tally.count(201) < identities) throw new Error(`${tally.count(201)} identities instead of ${identities}`);
}

/** Tokens, revocations, new identities, and uses of tokens, many of which have been revoked. */
async function mixOf({ port, key }: Child): Promise<() => Load> {
  const random = new Random(SEED);
  const requests = new Requests(port, key);
  const ids = await createMany(port, requests, 200);
  let token = '';
  return () => {
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
    // 401 is as good an answer as 200.
    return { request: get(port, '/-/whoami', { Authorization: `Bearer ${token || 'none'}` }) };
  };
}

console.log(`seed ${SEED}; ${LEAK_MINUTES} minutes with a leak`);
const leaking = await soak(LEAK_MINUTES, 0, join(import.meta.dirname, 'faults', 'leak.ts'));
const grown = (leaking.points.at(-1)?.live ?? 0) - (leaking.points[0]?.live ?? 0);
const leaked = (leaking.counts.asked * (1 - 1 / leaking.points.length) * LEAK_BYTES) / MEBIBYTE;
const planted = grown > 0.8 * leaked;
console.log(`grown by ${grown.toFixed(1)} MiB, of which at least ${leaked.toFixed(1)} were planted`);

console.log(`${MINUTES} minutes without one`);
const { points, capacity, counts, residentMost, code } = await soak(MINUTES, FULL);
const warm = points.slice(Math.floor(points.length * WARM_SHARE));
const slopeOf = (which: 'live' | 'resident') =>
  slopePerHour(warm.map(({ hours, [which]: mebibytes }) => ({ hours, mebibytes })));
const [live, resident] = [slopeOf('live'), slopeOf('resident')];
const rounded = (value: number): number => Math.round(value * 100) / 100;
const descriptors = points.map((point) => point.descriptors);
const figures = {
  minutes: MINUTES,
  capacityPerSecond: Math.round(capacity),
  ...counts,
  liveMebibytesPerHour: rounded(live.rise),
  liveStandardError: rounded(live.error),
  residentMebibytesPerHour: rounded(resident.rise),
  residentStandardError: rounded(resident.error),
  liveMebibytesLast: Math.round(points.at(-1)?.live ?? 0),
  residentMebibytesLast: Math.round(points.at(-1)?.resident ?? 0),
  residentMebibytesMost: Math.round(residentMost),
  descriptorsFirst: descriptors[0] ?? 0,
  descriptorsLast: descriptors.at(-1) ?? 0,
  exitCode: code ?? -1,
};
const clean = counts.unexpected === 0 && counts.cut === 0 && code === 0;
// Two standard errors: a rise that chance alone would explain is none.
const flat =
  live.rise - 2 * live.error < SLOPE_MOST &&
  resident.rise - 2 * resident.error < SLOPE_MOST &&
  figures.descriptorsLast <= figures.descriptorsFirst + 2;
console.log(JSON.stringify({ seed: SEED, ...figures, planted, passed: clean && flat }, undefined, 2));
writeResult({ id: 'L6', seed: SEED, figures, passed: clean && flat, planted });
process.exitCode = clean && flat && planted ? 0 : 1;
