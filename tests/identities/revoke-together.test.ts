import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServiceError } from '../../src/errors.ts';
import { startTestServer } from '../harness/server.ts';

test('revocations that failed before their transaction began do not stand in the way of later ones', async (t) => {
  const server = await startTestServer(t);
  const { identities, revocations } = server.server;
  const id = await server.givenIdentity();
  const token = await server.givenToken(id);
  const caller = { resourceId: (await server.asUser(token)).body.resourceId };
  const { end } = revocations;
  revocations.end = async () => {
    throw new ServiceError('StoreUnavailable'); // as when no connection can be had
  };
  const revoke = () => identities.revokeTokens(caller as never, id as never);
  await Promise.all([revoke(), revoke()].map((call) => assert.rejects(call)));
  revocations.end = end;
  await revoke();
  assert.equal((await server.asUser(token)).status, 401);
});
