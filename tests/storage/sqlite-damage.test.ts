import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { checkLog } from '../../src/revocation/log-check.ts';
import { RevocationStore } from '../../src/revocation/revocation-store.ts';
import { statement } from '../../src/storage/sql.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import { givenFolder } from '../harness/durability/folders.ts';
import { givenStore } from '../harness/given-store.ts';

const HEADER = 32;
const FRAME = 24 + 4096;

/** A database whose log holds ten transactions of one row each, as a kill leaves it. */
function givenKilled(t: TestContext): { file: string; log: string; frames: number } {
  const folder = givenFolder(t, 'damage');
  const living = join(folder, 'living.db');
  const db = new DatabaseSync(living);
  db.exec('pragma journal_mode = wal; create table things (n integer)');
  for (let n = 0; n < 10; n += 1) db.exec(`insert into things values (${n})`);
  const file = join(folder, 'killed.db');
  const log = `${file}-wal`;
  copyFileSync(living, file);
  copyFileSync(`${living}-wal`, log);
  db.close();
  return { file, log, frames: (readFileSync(log).length - HEADER) / FRAME };
}

function changeByte(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(file, bytes);
}

async function count(file: string): Promise<number> {
  const db = openSqlite(file);
  try {
    return (await db.rows.first<{ count: number }>(statement('select count(*) as count from things')))?.count ?? 0;
  } finally {
    await db.close();
  }
}

test('a log that is whole is used to its end', async (t) => {
  const { file } = givenKilled(t);
  assert.equal(await count(file), 10);
});

for (const [part, offset] of [
  ['its header', () => 12],
  ['the page of a transaction before the last', (frames: number) => HEADER + (frames - 2) * FRAME + 2000],
  ['the frame header of a transaction before the last', (frames: number) => HEADER + (frames - 3) * FRAME + 9],
] as const) {
  test(`a log with a changed byte in ${part} is refused`, async (t) => {
    const { file, log, frames } = givenKilled(t);
    changeByte(log, offset(frames));
    await assert.rejects(count(file), { name: 'StoreError', message: /damaged/ });
  });
}

test('a log whose last transaction did not reach the disk is used up to it', async (t) => {
  const torn = givenKilled(t);
  changeByte(torn.log, HEADER + (torn.frames - 1) * FRAME + 2000);
  assert.equal(await count(torn.file), 9);
  const short = givenKilled(t);
  truncateSync(short.log, HEADER + short.frames * FRAME - 700);
  assert.equal(await count(short.file), 9);
});

for (const [what, change, complaint] of [
  ['has another subject', "update revocation_log set subject = 'primary' where seq = 102", /entry 102/],
  ['is missing', 'delete from revocation_log where seq = 102', /entry 103 of the revocation log follows 101/],
  ['is missing at the end', 'delete from revocation_log where seq = 103', /ends at 102, its counter is at 103/],
] as const) {
  test(`an entry of the revocation log that ${what} is noticed`, async (t) => {
    const db = await givenStore(t, 'sqlite');
    const store = new RevocationStore(db);
    await db.writer.write(async (tx) => {
      await store.ensureHead(tx, 100);
      for (const kid of ['A', 'B', 'C']) await store.append(tx, { kind: 'signingKey', kid });
    });
    await checkLog(db, Number.POSITIVE_INFINITY);
    await db.rows.run(statement(change));
    await assert.rejects(checkLog(db, Number.POSITIVE_INFINITY), { name: 'StoreError', message: complaint });
  });
}

test('entries from before there were check values are read as they are', async (t) => {
  const db = await givenStore(t, 'sqlite');
  await db.rows.run(statement('insert into head (id, seq, config) values (1, 5, 1)'));
  await db.rows.run(statement("insert into revocation_log (seq, kind, at) values (5, 'all', 0)"));
  await checkLog(db, Number.POSITIVE_INFINITY);
});
