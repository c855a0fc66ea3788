import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { ResourceId } from '../../src/callers.ts';
import { ServiceError } from '../../src/errors.ts';
import { noContent, type Route, route } from '../../src/http/route.ts';
import { assertError } from '../harness/envelope.ts';
import { send } from '../harness/http.ts';
import { sign } from '../harness/sign.ts';
import { givenPipeline } from '../harness/test-pipeline.ts';

// Keys and trusts are remembered. A server that cannot tell whether they were taken back lets nobody in by them.

const ACCESS: Readonly<Record<string, Route['access']>> = {
  service: { caller: 'service' },
  operator: { caller: 'operator' },
  either: { caller: 'serviceOrOperator' },
  user: { caller: 'entraUser', purpose: 'entraUser' },
};

test('a server that cannot tell whether it is current refuses keys and tokens of others with 503, and does nothing', async (t) => {
  let done = 0;
  const routes = Object.entries(ACCESS).map(([name, access]) =>
    route({
      operation: name,
      summary: 'Notes that it was called.',
      at: `GET /${name}`,
      access,
      answers: { 204: 'nothing' },
      handle: () => {
        done += 1;
        return noContent();
      },
    } as never),
  );
  const bytes = randomBytes(64);
  const secret = createSecretKey(bytes);
  const keys = [{ slot: 'primary' as const, version: 1, secret, wellKnown: false }];
  const state = { isFresh: true };
  const port = await givenPipeline(t, routes, {
    signatories: [{ resource: { id: 'x' as ResourceId }, keys }],
    requireFresh: async () => {
      if (!state.isFresh) throw new ServiceError('NotFresh', { reason: 'lease.expired' });
    },
  });
  const signed = (target: string) => {
    const host = `localhost:${port}`;
    return send(port, { target, headers: sign({ method: 'GET', target, host, key: bytes.toString('base64') }) });
  };
  const bearer = (target: string) => send(port, { target, headers: { Authorization: 'Bearer a.b.c' } });
  assert.equal((await signed('/service')).status, 204);
  assert.equal((await bearer('/service')).status, 401, 'no issuer is known here');
  state.isFresh = false;
  done = 0;
  for (const answer of [
    await signed('/service'),
    await signed('/either'),
    ...(await Promise.all(Object.keys(ACCESS).map((name) => bearer(`/${name}`)))),
  ]) {
    assertError(answer, { status: 503, code: 'ServiceUnavailable' });
    assert.equal(answer.headers['x-linarite-reason'], 'lease.expired');
  }
  assert.equal(done, 0);
});
