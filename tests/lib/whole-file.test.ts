import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { writeWhole } from '../../src/lib/whole-file.ts';
import { givenFolder } from '../harness/durability/folders.ts';

const NAMES = ['one', 'two'];

/** Notes at each sync which of the files had their new text then. */
async function watchSyncs(t: TestContext, folder: string): Promise<string[][]> {
  const handle = await open(folder, 'r');
  const prototype: FileHandle = Object.getPrototypeOf(handle);
  await handle.close();
  const { sync } = prototype;
  const seen: string[][] = [];
  t.mock.method(prototype, 'sync', async function (this: FileHandle) {
    await sync.call(this);
    const isNew = (name: string) =>
      existsSync(join(folder, name)) && readFileSync(join(folder, name), 'utf8') === 'new';
    seen.push(NAMES.filter(isNew));
  });
  return seen;
}

test('files take their places after their contents have reached the disk, and the names reach it last', async (t) => {
  const folder = givenFolder(t, 'whole');
  writeFileSync(join(folder, 'one'), 'old');
  const seen = await watchSyncs(t, folder);
  await writeWhole(
    folder,
    NAMES.map((name) => ({ name, text: 'new', mode: 0o600 })),
  );
  const isWindows = process.platform === 'win32'; // where names are not synced, and modes are nothing
  assert.deepEqual(seen, isWindows ? [[], []] : [[], [], NAMES]);
  if (!isWindows) for (const name of NAMES) assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600);
});
