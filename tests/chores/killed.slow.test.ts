import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CHORES } from '../../src/chores/table.ts';
import { list, sql } from '../../src/storage/sql.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import { startChild } from '../harness/child.ts';
import { givenResource } from '../harness/resources.ts';
import { startTestServer } from '../harness/server.ts';

const MADE_UP = join(import.meta.dirname, '../harness/chores/faults/killed-while-forgetting.ts');
const NOTED_EARLY = join(import.meta.dirname, '../harness/chores/faults/noted-early.ts');
const PATIENCE_MS = 60_000;
const IDENTITIES = 60;

/** A data folder with a deleted resource of which nothing was removed yet. */
async function givenDeletion(t: TestContext): Promise<{ folder: string; id: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-forgetting-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const started = await startTestServer(t, { folder });
  const { id } = await givenResource(started);
  await started.server.resources.delete(id);
  await started.server.close();
  const db = openSqlite(join(folder, 'linarite.db'));
  await db.rows.run(sql`update resources set sweeps = 0, swept_at = null`);
  const rows = Array.from({ length: IDENTITIES }, (_, index) => sql`(${id}, ${`8:acs:${id}_${index}`}, 0, 0)`);
  await db.rows.run(sql`insert into identities (resource_id, id, created_at, revoked_seq) values ${list(rows)}`);
  await db.close();
  return { folder, id };
}

async function identitiesLeft(folder: string, id: string): Promise<number | undefined> {
  const db = openSqlite(join(folder, 'linarite.db'));
  const row = await db.rows.first<{ count: number }>(
    sql`select count(*) as count from identities where resource_id = ${id}`,
  );
  await db.close();
  return row?.count;
}

/** Kills servers while they forget a resource, and starts one that may finish. @returns what was asked, and what is left */
async function afterKills(
  t: TestContext,
  steps: readonly number[],
  faults: readonly string[] = [],
): Promise<{ id: string; lines: readonly string[]; left: (number | undefined)[] }> {
  const { folder, id } = await givenDeletion(t);
  const file = join(folder, 'made-up');
  writeFileSync(file, '');
  const lines = (): string[] => readFileSync(file, 'utf8').split('\n').filter(Boolean);
  const env = { LINARITE_DATA: folder, MADE_UP_FILE: file };
  const left = [];
  for (const step of steps) {
    const before = lines().length;
    const child = await startChild(t, {
      env: { ...env, MADE_UP_KILLED_AT: String(step) },
      faults: [MADE_UP, ...faults],
    });
    await until(() => lines().length > before);
    assert.equal(await child.end('SIGKILL'), null);
    left.push(await identitiesLeft(folder, id));
  }
  const child = await startChild(t, { env, faults: [MADE_UP] });
  await until(async () => (await child.metric(`linarite_chore_runs_total{chore="${CHORES.deletions.name}"}`)) > 0);
  await child.end('SIGTERM');
  left.push(await identitiesLeft(folder, id));
  return { id, lines: lines(), left };
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const began = Date.now();
  while (!(await isSo())) {
    assert.ok(Date.now() - began < PATIENCE_MS);
    await sleep(50);
  }
}

test('a server that is killed while it forgets a resource goes on after its next start', async (t) => {
  const { id, lines, left } = await afterKills(t, [1, 6]);
  assert.deepEqual(lines, [...Array(3).fill(`begun ${id}`), `done ${id}`]);
  assert.deepEqual(left, [IDENTITIES, IDENTITIES, 0], 'what the made-up area builds on goes after it');
});

test('a server that notes too early that a resource is forgotten is seen', async (t) => {
  const { left } = await afterKills(t, [6], [NOTED_EARLY]);
  assert.deepEqual(left, [IDENTITIES, IDENTITIES]);
});
