import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TokenFacts } from '../../src/callers.ts';
import { inPath } from '../harness/resources.ts';
import { startTestServer } from '../harness/server.ts';

// What a ticket carries is asked about once more when it is taken, perhaps by another node.

describe('a token that was verified before', () => {
  test('is still held while nothing has ended it, also by what was written down of it', async (t) => {
    const server = await startTestServer(t);
    const { tokens } = server.server;
    const id = await server.givenIdentity();
    const { caller, revocable } = await tokens.verify(await server.givenToken(id));
    const written = JSON.parse(JSON.stringify({ ...revocable, fingerprint: undefined })) as TokenFacts;
    await tokens.requireStillHeld(caller, revocable);
    await tokens.requireStillHeld(caller, written);
    await server.asService(`POST ${inPath(id)}/:revokeAccessTokens`);
    for (const facts of [revocable, written])
      await assert.rejects(tokens.requireStillHeld(caller, facts), {
        error: 'TokenRefused',
        reason: 'revoked.identity',
      });
  });

  test('is not held after its time', async (t) => {
    const server = await startTestServer(t);
    const { tokens } = server.server;
    const { caller, revocable } = await tokens.verify(await server.givenToken(await server.givenIdentity()));
    const expired = { ...caller, expiresOnMs: Date.now() - 1 };
    await assert.rejects(tokens.requireStillHeld(expired, revocable), { reason: 'token.expired' });
  });
});
