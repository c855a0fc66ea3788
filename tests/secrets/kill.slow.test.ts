import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openPostgres } from '../../src/storage/postgres.ts';
import { sql } from '../../src/storage/sql.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import { type ChildServer, startChild } from '../harness/durability/child-server.ts';
import { type Answer, send } from '../harness/http.ts';
import { freshDatabase, STORES } from '../harness/postgres.ts';
import { writeResult } from '../harness/results.ts';
import { Random } from '../harness/revocation/simulation.ts';

/** 150 for a release: `npm run harness -- secrets`. */
const CYCLES = Number(process.env.TEST_SECRETS_KILLS ?? 3);
const SEED = Number(process.env.TEST_SECRETS_SEED ?? Date.now() % 1_000_000);
const RESOURCES = 20;
const OPERATOR = randomBytes(32).toString('base64url');
const GROUP = '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ring';
const VERSION = '?api-version=2026-03-18';

const newKek = () => randomBytes(32).toString('base64');

/** A store, the server on it, and an operator who changes keys without pause and remembers what was confirmed. */
class Operator {
  readonly random = new Random(SEED);
  readonly folder: string;
  readonly env: Record<string, string>;
  /** Secondary keys as the server last gave them; undefined while an answer is outstanding. */
  readonly keys = new Map<string, string | undefined>();
  readonly kekFile: string;
  confirmed = { regenerated: 0, dataKeys: 0, keks: 0 };

  constructor(folder: string, database: Record<string, string>) {
    this.folder = folder;
    this.kekFile = join(folder, 'kek');
    writeFileSync(this.kekFile, newKek(), { mode: 0o600 });
    // A server that was killed is waited for this long by the next one.
    this.env = {
      ...database,
      LINARITE_LEASE_MS: '500',
      LINARITE_KEK_FILE: this.kekFile,
      LINARITE_OPERATOR_KEY: OPERATOR,
    };
  }

  start(): Promise<ChildServer> {
    return startChild(join(this.folder, 'data'), { env: this.env });
  }

  async prepare(server: ChildServer): Promise<void> {
    await ask(server, 'PUT', GROUP, { location: 'global' });
    for (let index = 0; index < RESOURCES; index += 1) {
      const at = `${GROUP}/providers/Microsoft.Communication/communicationServices/r${index}`;
      await ask(server, 'PUT', at, { location: 'global', properties: { dataLocation: 'Europe' } });
      this.keys.set(at, (await ask(server, 'POST', `${at}/listKeys`)).body.secondaryKey);
    }
  }

  /** Changes keys of all three kinds until the server is gone. */
  async work(server: ChildServer): Promise<void> {
    const access = async (): Promise<void> => {
      for (;;) {
        const at = this.random.pick([...this.keys.keys()]);
        this.keys.set(at, undefined);
        this.keys.set(
          at,
          (await ask(server, 'POST', `${at}/regenerateKey`, { keyType: 'Secondary' })).body.secondaryKey,
        );
        this.confirmed.regenerated += 1;
      }
    };
    const data = async (): Promise<void> => {
      for (;;) {
        await ask(server, 'POST', '/-/key-ring/rotate-data-key');
        this.confirmed.dataKeys += 1;
      }
    };
    const kek = async (): Promise<void> => {
      for (;;) {
        await ask(server, 'POST', '/-/key-ring/rotate-kek'); // what was cut short is finished before the next change
        const [current = ''] = readFileSync(this.kekFile, 'utf8').split('\n');
        writeFileSync(this.kekFile, `${newKek()}\n${current}`);
        await ask(server, 'POST', '/-/key-ring/rotate-kek');
        this.confirmed.keks += 1;
      }
    };
    const outcomes = await Promise.allSettled([access(), data(), kek()]);
    for (const outcome of outcomes)
      if (outcome.status === 'rejected' && outcome.reason instanceof assert.AssertionError) throw outcome.reason;
  }

  /** Until something was confirmed, on a slow machine too: a server that is killed before that tells nothing. */
  async untilBusy(): Promise<void> {
    const done = (): number => Object.values(this.confirmed).reduce((sum, count) => sum + count, 0);
    for (const before = done(); done() < before + 2; ) await sleep(10);
  }

  /** What is not as the server had said, or does not open. @returns with the reason of a server that did not start */
  async broken(): Promise<{ found: string[]; server: ChildServer | undefined }> {
    const found: string[] = [];
    const server = await this.start().catch((cause: unknown) => {
      found.push(String(cause));
      return undefined;
    });
    if (!server) return { found, server };
    for (const [at, key] of this.keys) {
      const now = (await ask(server, 'POST', `${at}/listKeys`)).body.secondaryKey;
      if (key !== undefined && now !== key) found.push(`${at} has another key than was confirmed`);
      this.keys.set(at, now);
    }
    return { found, server };
  }

  /** The rows, while no server runs. */
  async alter(change: (rows: Awaited<ReturnType<typeof openPostgres>>) => Promise<unknown>): Promise<void> {
    const url = this.env.LINARITE_DATABASE_URL;
    const db = url ? await openPostgres(url) : openSqlite(join(this.folder, 'data/linarite.db'));
    await change(db);
    await db.close();
  }
}

async function ask({ port }: ChildServer, method: string, at: string, body?: object): Promise<Answer> {
  const target = at.startsWith('/-/') ? at : `${at}${VERSION}`;
  const headers = { Authorization: `Bearer ${OPERATOR}`, 'Content-Type': 'application/json' };
  const answer = await send(port, { method, target, headers, body: body && JSON.stringify(body) });
  assert.ok(answer.status < 300, `${method} ${at}: ${answer.status} ${answer.text}`);
  return answer;
}

async function given(t: TestContext, store: (typeof STORES)[number]): Promise<Operator> {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-ring-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return new Operator(folder, store === 'postgres' ? { LINARITE_DATABASE_URL: await freshDatabase(t) } : {});
}

for (const store of STORES) {
  describe(`kill -9 while keys are changed, on ${store}`, () => {
    test(`${CYCLES} times: every secret opens under one of the two key-encryption keys`, async (t) => {
      const operator = await given(t, store);
      let server = await operator.start();
      t.after(() => server.kill());
      await operator.prepare(server);
      for (let cycle = 1; cycle <= CYCLES; cycle += 1) {
        const working = operator.work(server);
        await Promise.race([operator.untilBusy(), working]);
        await sleep(operator.random.between(0, 500));
        await server.kill();
        await working;
        const after = await operator.broken();
        assert.deepEqual(after.found, [], `seed ${SEED}, cycle ${cycle}`);
        if (after.server) server = after.server;
      }
      await server.kill();

      // Planted: a change of the key-encryption key that had kept one data key under a former one.
      await operator.alter(async (db) => {
        const [row] = await db.rows.all<{ id: string }>(sql`select id from data_keys order by created_at desc`);
        const other = await db.rows.first<{ sealed: string }>(sql`select sealed from data_keys order by created_at`);
        await db.rows.run(sql`update data_keys set sealed = ${other?.sealed ?? ''} where id = ${row?.id ?? ''}`);
      });
      const planted = await operator.broken();
      await planted.server?.kill();
      assert.match(planted.found.join(), /key-encryption key is not the one of this store/);

      const figures = { cycles: CYCLES, ...operator.confirmed, lost: 0 };
      t.diagnostic(`seed ${SEED}: ${JSON.stringify(figures)}`);
      assert.ok(operator.confirmed.regenerated > 0 && operator.confirmed.dataKeys > 0);
      writeResult({
        id: store === 'sqlite' ? 'K1' : 'K1-postgres',
        seed: SEED,
        figures,
        passed: true,
        planted: planted.found.length > 0,
      });
    });
  });
}
