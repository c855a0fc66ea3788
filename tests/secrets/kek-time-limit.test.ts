import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { kekReader } from '../../src/secrets/kek.ts';
import { readSettings } from '../../src/settings.ts';

test('the program that prints the key-encryption key has ten seconds, whatever holds on to its output', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-kek-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const hangs = join(folder, 'hangs.mjs');
  writeFileSync(
    hangs,
    `import { spawn } from 'node:child_process';
     process.on('SIGTERM', () => 0);
     spawn(process.execPath, ['-e', 'setTimeout(() => 0, 20_000)'], { stdio: 'inherit' });
     setTimeout(() => 0, 20_000);`,
  );
  const started = performance.now();
  await assert.rejects(kekReader(readSettings({ LINARITE_KEK_COMMAND: `${process.execPath} ${hangs}` }))(), {
    name: 'SettingsError',
    message: 'LINARITE_KEK_COMMAND did not end within 10 seconds',
  });
  const seconds = (performance.now() - started) / 1000;
  assert.ok(seconds >= 9.9 && seconds < 18, String(seconds)); // the limit itself, not a speed
});
