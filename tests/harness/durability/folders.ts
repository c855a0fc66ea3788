import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { TestContext } from 'node:test';

/** A folder that is gone after the test. */
export function givenFolder(t: TestContext, name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `linarite-${name}-`));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** `ok`, or what SQLite finds wrong with the database of a data folder that no server has open. */
export function integrity(folder: string): string {
  const db = new DatabaseSync(join(folder, 'linarite.db'));
  try {
    return String(db.prepare('pragma integrity_check').get()?.integrity_check);
  } finally {
    db.close();
  }
}
