import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, createWriteStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, describe, type TestContext, test } from 'node:test';
import { cpuSecondsOf } from '../../../bench/measure.ts';
import { findPostgres, startPostgres } from '../../../scripts/postgres.ts';
import { identityIdMaker } from '../../../src/identities/identity.ts';
import { beside, type Child, startChild } from '../child.ts';
import { send } from '../http.ts';
import { DEV_ID } from '../resources.ts';
import { writeResult } from '../results.ts';
import { sign } from '../sign.ts';
import { withChildren } from './revoking.ts';

// O8: a million identities are imported by the command line. That all of them are there is judged; the time is reported.

const IDS = Number(process.env.TEST_IMPORT_IDS ?? 5000);
/** Seconds for a million, for the table of promises. */
const GOAL = 60;
const MAIN = join(import.meta.dirname, '../../../src/main.ts');
const binaries = findPostgres();
const isLinux = process.platform === 'linux';

/** Writes a file of ids, each made by the original a while ago, with custom ids and times. */
async function writeIds(file: string, count: number): Promise<void> {
  const make = identityIdMaker();
  const since = Date.UTC(2021, 0, 1);
  function* lines() {
    yield 'id,customId,createdAt\n';
    for (let index = 0; index < count; index += 1) {
      const at = since + index * 60_000;
      yield `${make(DEV_ID, at)},user-${index},${new Date(at).toISOString()}\n`;
    }
  }
  await pipeline(Readable.from(lines()), createWriteStream(file));
}

interface Run {
  code: number;
  out: { imported: number; unchanged: number };
  wallSeconds: number;
  cpuSeconds: number;
  mebibytes: number;
}

/** Runs the command with the file as its standard input, and watches its memory. */
async function importBy(server: Child, file: string): Promise<Run> {
  const started = performance.now();
  const child = spawn(process.execPath, [MAIN, 'identity', 'import', '-', '--name', 'dev'], {
    env: { PATH: process.env.PATH, LINARITE_DATA: join(server.folder, 'data'), LINARITE_PORT: String(server.port) },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let [mebibytes, cpuSeconds] = [0, 0];
  const watch = setInterval(() => {
    const most = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1];
    mebibytes = Math.max(mebibytes, Number(most ?? 0) / 1024);
    cpuSeconds = cpuSecondsOf(child.pid ?? 0);
  }, 100);
  const exited = once(child, 'exit');
  void exited.finally(() => clearInterval(watch));
  const [output, [code]] = await Promise.all([
    child.stdout.setEncoding('utf8').toArray(),
    exited,
    pipeline(createReadStream(file), child.stdin),
  ]);
  return {
    code,
    out: JSON.parse(output.join('')),
    wallSeconds: (performance.now() - started) / 1000,
    cpuSeconds,
    mebibytes,
  };
}

/** How many identities the directory has, page by page. */
async function countIdentities({ port, key }: Child): Promise<number> {
  let count = 0;
  let next: string | undefined;
  do {
    const target = `/-/identities?pageSize=1000${next === undefined ? '' : `&continuation=${encodeURIComponent(next)}`}`;
    const headers = sign({ method: 'GET', target, host: `localhost:${port}`, key });
    const { body } = await send(port, { target, headers });
    count += body.value.length;
    next = body.continuation;
  } while (next !== undefined);
  return count;
}

async function run(t: TestContext, store: 'sqlite' | 'postgres', count: number, ...faults: string[]) {
  const postgres = store === 'postgres' ? await startPostgres(binaries) : undefined;
  t.after(() => postgres?.stop());
  const server = await startChild(t, {
    env: postgres ? { LINARITE_DATABASE_URL: postgres.url } : {},
    faults: beside(join(import.meta.dirname, 'faults'), ...faults),
  });
  const file = join(server.folder, 'ids.csv');
  await writeIds(file, count);
  const before = cpuSecondsOf(server.pid);
  const databaseBefore = postgres ? withChildren(postgres.pid) : 0;
  const first = await importBy(server, file);
  const serverCpuSeconds = cpuSecondsOf(server.pid) - before;
  const databaseCpuSeconds = postgres ? withChildren(postgres.pid) - databaseBefore : 0;
  const again = await importBy(server, file);
  const there = await countIdentities(server);
  const round = (value: number): number => Math.round(value * 10) / 10;
  const figures = {
    identities: count,
    wallSeconds: round(first.wallSeconds),
    serverCpuSeconds: round(serverCpuSeconds),
    databaseCpuSeconds: round(databaseCpuSeconds),
    commandCpuSeconds: round(first.cpuSeconds),
    commandMebibytesMost: Math.round(first.mebibytes),
    serverMebibytes: Math.round(server.residentMebibytes()),
    againWallSeconds: round(again.wallSeconds),
  };
  t.diagnostic(JSON.stringify(figures));
  await server.end('SIGTERM');
  const broken: string[] = [];
  if (first.code !== 0 || first.out.imported !== count) broken.push(`imported: ${JSON.stringify(first.out)}`);
  if (again.code !== 0 || again.out.unchanged !== count) broken.push(`unchanged: ${JSON.stringify(again.out)}`);
  if (there !== count) broken.push(`${there} of ${count} are there`);
  if (first.mebibytes > 300) broken.push(`the command took ${first.mebibytes} MiB`);
  return { figures, broken };
}

for (const store of ['sqlite', 'postgres'] as const) {
  const missing = store === 'postgres' && !binaries && 'PostgreSQL is missing: apt-get install postgresql';
  describe(`${IDS} identities are imported by the command line on ${store}`, { skip: !isLinux || missing }, () => {
    const id = store === 'sqlite' ? 'O8' : 'O8-postgres';
    const report = { id, seed: 'none', figures: {}, passed: false, planted: false };
    after(() => writeResult(report));

    test('and are all there, once, also after a second time', async (t) => {
      const { figures, broken } = await run(t, store, IDS);
      report.figures = figures;
      assert.deepEqual(broken, []);
      report.passed = figures.wallSeconds <= (GOAL * IDS) / 1_000_000;
    });

    test('the harness reports one that is left out', async (t) => {
      const { broken } = await run(t, store, 1500, 'one-import-lost.ts');
      assert.ok(
        broken.some((words) => words.includes('are there')),
        broken.join(),
      );
      report.planted = true;
    });
  });
}
