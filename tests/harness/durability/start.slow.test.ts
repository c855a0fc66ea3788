import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSecondsOf } from '../../../bench/measure.ts';
import type { IdentityId } from '../../../src/callers.ts';
import { openPostgres } from '../../../src/storage/postgres.ts';
import { openSqlite } from '../../../src/storage/sqlite.ts';
import { send } from '../http.ts';
import { freshDatabase, STORES } from '../postgres.ts';
import { writeResult } from '../results.ts';
import { startTestServer } from '../server.ts';
import { type ChildServer, startChild } from './child-server.ts';
import { fillLog } from './fill-log.ts';
import { givenFolder } from './folders.ts';

// R5: a server with very many events of every kind in its log is killed and started; it is asked from the first moment on.

/** 1,000,000 for a release. */
const COUNT = Number(process.env.TEST_START_REVOCATIONS ?? 20_000);
const SAMPLE = 100;
const STARTS = 3;
const WITHOUT_ANSWER = 0;

type Store = (typeof STORES)[number];

/** A store full of revocations, with tokens from before them. */
interface Full {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  readonly port: number;
  readonly revoked: readonly string[];
  readonly good: readonly string[];
}

async function givenFull(t: TestContext, store: Store, count: number): Promise<Full> {
  const folder = givenFolder(t, 'start');
  const url = store === 'postgres' ? await freshDatabase(t) : undefined;
  const env: Record<string, string> = url === undefined ? {} : { LINARITE_DATABASE_URL: url };
  const server = await startTestServer(t, { folder, env });
  const { port } = server;
  await server.server.revocations.record({ kind: 'all' }); // the one kind that would end the tokens that stay good
  const some = () => Promise.all(Array.from({ length: SAMPLE }, () => server.givenIdentity()));
  const tokens = (ids: readonly string[]) => Promise.all(ids.map((id) => server.givenToken(id)));
  const ended = await some();
  const [revoked, good] = [await tokens(ended), await tokens(await some())];
  await server.server.close();
  const db = url === undefined ? openSqlite(join(folder, 'linarite.db')) : await openPostgres(url);
  await fillLog(db, count, ended as IdentityId[]);
  await db.close();
  return { folder, env, port, revoked, good };
}

interface Found {
  /** Token calls answered 503, or not at all, before the server was ready. */
  heldOff: number;
  /** Token calls that were judged although the server, asked next, was not ready. */
  early: number;
  accepted: number;
  wronglyRefused: number;
  readySeconds: number;
  cpuSeconds: number;
}

const status = (port: number, target: string, token?: string): Promise<number> =>
  send(port, { target, ...(token !== undefined && { headers: { Authorization: `Bearer ${token}` } }) }).then(
    (answer) => answer.status,
    () => WITHOUT_ANSWER,
  );

/** Starts the server, asks it token by token until it is ready, and then for all of the sample. */
async function startAsked(full: Full, faults: readonly string[] = []): Promise<{ server: ChildServer; found: Found }> {
  const { folder, env, port, revoked, good } = full;
  const found: Found = { heldOff: 0, early: 0, accepted: 0, wronglyRefused: 0, readySeconds: 0, cpuSeconds: 0 };
  const use = async (index: number): Promise<boolean> => {
    const isGood = index % 2 === 0;
    const token = (isGood ? good : revoked)[Math.floor(index / 2) % SAMPLE];
    const answer = await status(port, '/-/whoami', token);
    if (answer === (isGood ? 401 : 200)) found[isGood ? 'wronglyRefused' : 'accepted'] += 1;
    return answer === 200 || answer === 401;
  };

  const began = performance.now();
  const starting = startChild(folder, { env: { ...env, LINARITE_PORT: String(port) }, faults });
  let failure: unknown;
  starting.catch((cause: unknown) => {
    failure = cause;
  });
  for (let index = 0; ; index += 1) {
    const isJudged = await use(index);
    const isReady = (await status(port, '/-/health/ready')) === 200;
    if (!isJudged) found.heldOff += 1;
    else if (!isReady) found.early += 1;
    if (isReady) break;
    if (failure) throw failure;
    await sleep(2);
  }
  found.readySeconds = (performance.now() - began) / 1000;
  const server = await starting;
  found.cpuSeconds = cpuSecondsOf(server.pid);
  for (let index = 0; index < 2 * SAMPLE; index += 1) await use(index);
  return { server, found };
}

for (const store of STORES) {
  describe(`a start with ${COUNT.toLocaleString('en')} revocations on ${store}`, () => {
    const report = {
      id: store === 'sqlite' ? 'R5' : 'R5-postgres',
      seed: 'none',
      figures: {},
      passed: false,
      planted: false,
    };
    after(() => writeResult(report));

    test('serves no token before all of them are known, and judges each as before, kill after kill', async (t) => {
      const full = await givenFull(t, store, COUNT);
      const starts: Found[] = [];
      for (let start = 0; start < STARTS; start += 1) {
        const { server, found } = await startAsked(full);
        await server.kill();
        t.diagnostic(JSON.stringify(found));
        starts.push(found);
      }
      const sum = (name: keyof Found): number => starts.reduce((total, found) => total + found[name], 0);
      const median = (name: keyof Found): number =>
        Math.round((starts.map((found) => found[name]).sort((one, other) => one - other)[1] ?? 0) * 100) / 100;
      const figures = {
        revocations: COUNT,
        starts: STARTS,
        heldOff: sum('heldOff'),
        early: sum('early'),
        accepted: sum('accepted'),
        wronglyRefused: sum('wronglyRefused'),
        readySeconds: median('readySeconds'),
        cpuSeconds: median('cpuSeconds'),
      };
      report.figures = figures;
      assert.ok(figures.heldOff > 0);
      assert.deepEqual([figures.early, figures.accepted, figures.wronglyRefused], [0, 0, 0]);
      report.passed = true;
    });

    test('the harness reports a server that serves while it loads', async (t) => {
      const full = await givenFull(t, store, 5000);
      const { server, found } = await startAsked(full, ['serves-while-loading.ts']);
      await server.kill();
      t.diagnostic(JSON.stringify(found));
      assert.ok(found.accepted + found.early > 0);
      report.planted = true;
    });
  });
}
