import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Clock } from '../../src/lib/clock.ts';
import { startTestServer } from '../harness/server.ts';

const DAY_MS = 86_400_000;

function givenFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-replaced-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts and stops a server. @returns what its log says of a new authority */
async function saidAtStart(
  t: TestContext,
  folder: string,
  { hosts = '', clock }: { hosts?: string; clock?: Clock } = {},
): Promise<unknown[]> {
  const { server, log } = await startTestServer(t, {
    folder,
    env: { LINARITE_ALLOWED_HOSTS: hosts },
    ...(clock && { clock }),
  });
  await server.close();
  return log.lines
    .filter(({ message }) => message === 'new certificate authority: trust it again')
    .map(({ level, facts }) => [level, facts]);
}

test('a name in LINARITE_ALLOWED_HOSTS that is new replaces the authority, which the log says', async (t) => {
  const folder = givenFolder(t);
  const file = join(folder, 'ca.pem');
  assert.deepEqual(await saidAtStart(t, folder), [], 'nobody trusts anything yet');
  const former = readFileSync(file, 'utf8');
  const hosts = 'acs.local,shop.local';
  const because = 'the former one does not cover acs.local, shop.local';
  assert.deepEqual(await saidAtStart(t, folder, { hosts }), [['warn', { file, because }]]);
  assert.notEqual(readFileSync(file, 'utf8'), former);
  assert.deepEqual(await saidAtStart(t, folder, { hosts }), []);
  assert.deepEqual(await saidAtStart(t, folder), [], 'a name that is gone replaces nothing');
});

test('so do damage and age', async (t) => {
  const folder = givenFolder(t);
  const file = join(folder, 'ca.pem');
  await saidAtStart(t, folder);
  writeFileSync(join(folder, 'server.key'), 'hello');
  assert.deepEqual(await saidAtStart(t, folder), [['warn', { file, because: 'a file is missing or damaged' }]]);
  const start = Date.now() + 370 * DAY_MS;
  const clock: Clock = { now: () => start, elapsed: () => performance.now() };
  assert.deepEqual(await saidAtStart(t, folder, { clock }), [
    ['warn', { file, because: 'the former one was about to expire' }],
  ]);
});
