import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CHORES, type ChoreKey } from '../../src/chores/table.ts';
import { DIRECTORY_TENANT } from '../../src/planes/sign-in/directory.ts';
import { untilChoreRan } from '../harness/chores/chores.ts';
import { ALICE, APP } from '../harness/dev-tokens.ts';
import { givenResource } from '../harness/resources.ts';
import { startTestServer } from '../harness/server.ts';

test('a chore that fails is reported, and keeps none of the others from being done', async (t) => {
  const server = await startTestServer(t);
  t.mock.method(server.server.keys, 'rotate', () => Promise.reject(new Error('out of order')));
  const metrics = async () => (await server.send({ target: '/-/metrics' })).text;
  const others = ['dataKeys', 'encryptions', 'deletions', 'certificate', 'clockOffset'] as const;
  for (const key of ['signingKeys', ...others] as const) await untilChoreRan(key, metrics);
  assert.ok(
    server.log.lines.some(({ level, message }) => level === 'error' && message === 'rotating signing keys failed'),
  );
  const text = await metrics();
  const failures = (key: ChoreKey) => text.includes(`linarite_chore_failures_total{chore="${CHORES[key].name}"} 1\n`);
  const succeeded = (key: ChoreKey) =>
    text.includes(`linarite_chore_last_success_timestamp_seconds{chore="${CHORES[key].name}"} `);
  assert.deepEqual([failures('signingKeys'), succeeded('signingKeys')], [true, false]);
  for (const key of others) assert.deepEqual([failures(key), succeeded(key)], [false, true], key);
});

test('what belonged to a deleted resource is removed: its identities, and who might come in', async (t) => {
  const server = await startTestServer(t);
  const { resources } = server.server;
  const { id, key } = await givenResource(server);
  assert.equal((await server.asService('POST /identities', {}, { key })).status, 201);
  const assignment = { principalType: 'user', tenantId: DIRECTORY_TENANT, clientIds: [APP] };
  const at = `PUT /access/entra/assignments/${ALICE.objectId}?api-version=2025-03-02-preview`;
  assert.equal((await server.asService(at, assignment, { key })).status, 201);
  await resources.delete(id);
  assert.deepEqual(await resources.unfinishedDeletions(), [id]);
  const began = Date.now();
  while ((await resources.unfinishedDeletions()).length > 0) {
    assert.ok(Date.now() - began < 20_000, 'something is left');
    await sleep(50);
  }
});
