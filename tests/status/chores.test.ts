import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DIRECTORY_TENANT } from '../../src/planes/sign-in/directory.ts';
import { ALICE, APP } from '../harness/dev-tokens.ts';
import { givenResource } from '../harness/resources.ts';
import { startTestServer } from '../harness/server.ts';

test('a chore that fails is reported, and keeps none of the others from being done', async (t) => {
  const server = await startTestServer(t);
  // One of the first; the comparison of the clocks is the last.
  t.mock.method(server.server.keys, 'rotate', () => Promise.reject(new Error('out of order')));
  const began = Date.now();
  while (!/^linarite_clock_offset_seconds /m.test((await server.send({ target: '/-/metrics' })).text)) {
    assert.ok(Date.now() - began < 20_000, 'the other chores were not done');
    await sleep(50);
  }
  assert.ok(
    server.log.lines.some(({ level, message }) => level === 'error' && message === 'rotating signing keys failed'),
  );
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
