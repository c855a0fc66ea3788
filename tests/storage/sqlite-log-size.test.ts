import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { sql } from '../../src/storage/sql.ts';
import { openSqlite } from '../../src/storage/sqlite.ts';
import { givenFolder } from '../harness/durability/folders.ts';

const MEBIBYTE = 1024 * 1024;

test('the write-ahead log is carried over into the database now and then, and does not grow with what is written', async (t) => {
  const file = join(givenFolder(t, 'log-size'), 'things.db');
  const db = openSqlite(file);
  t.after(() => db.close());
  await db.rows.run(sql`create table things (n integer primary key, text text)`);
  for (let n = 0; n < 32; n += 1) {
    await db.writer.write((tx) => tx.run(sql`insert into things (n, text) values (${n}, ${'x'.repeat(MEBIBYTE / 2)})`));
  }
  assert.ok(statSync(`${file}-wal`).size < 8 * MEBIBYTE, `${statSync(`${file}-wal`).size} bytes`);
});
