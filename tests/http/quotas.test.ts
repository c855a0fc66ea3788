import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ResourceId } from '../../src/callers.ts';
import { ServiceError } from '../../src/errors.ts';
import { QUOTAS, type QuotaName, Quotas } from '../../src/http/quotas.ts';
import { describedRoutes } from '../harness/described.ts';
import { assertError } from '../harness/envelope.ts';
import { givenResource, inPath } from '../harness/resources.ts';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';

const [ONE, OTHER] = ['one' as ResourceId, 'other' as ResourceId];
const NAMES = Object.keys(QUOTAS) as QuotaName[];
/** The beginning of a window. */
const START = 30_000 * 1_000_000;

/** How many requests go through before one is refused, up to 2000. */
function allowed(quotas: Quotas, name: QuotaName, resource = ONE): number {
  for (let count = 0; count < 2000; count += 1) {
    try {
      quotas.count(name, resource);
    } catch (cause) {
      assert.ok(cause instanceof ServiceError && cause.error === 'TooManyRequests');
      return count;
    }
  }
  return Number.POSITIVE_INFINITY;
}

describe('quotas', () => {
  test('are those of the original, of each resource and each operation', () => {
    const quotas = new Quotas(new TestClock(START), { preset: 'acs', countsEndings: true });
    const table = Object.fromEntries(NAMES.map((name) => [name, allowed(quotas, name)]));
    assert.deepEqual(table, {
      createIdentity: 1000,
      createIdentityWithToken: 1000,
      issueToken: 1000,
      exchangeToken: 500,
      deleteIdentity: 500,
      revokeTokens: 500,
    });
    assert.equal(allowed(quotas, 'issueToken', OTHER), 1000);
  });

  test('never keep anybody from revoking and deleting in production mode', () => {
    const quotas = new Quotas(new TestClock(START), { preset: 'acs', countsEndings: false });
    const endless = NAMES.filter((name) => allowed(quotas, name) === Number.POSITIVE_INFINITY);
    assert.deepEqual(endless, ['deleteIdentity', 'revokeTokens']);
  });

  test('are off unless asked for', () => {
    const quotas = new Quotas(new TestClock(START), { preset: 'off', countsEndings: true });
    for (const name of NAMES) assert.equal(allowed(quotas, name), Number.POSITIVE_INFINITY);
  });

  test('begin anew after 30 seconds, and say how long that will be', () => {
    const clock = new TestClock(START);
    const quotas = new Quotas(clock, { preset: 'acs', countsEndings: true });
    const retryAfter = () => {
      try {
        quotas.count('revokeTokens', ONE);
        return 'admitted';
      } catch (cause) {
        return (cause as ServiceError).retryAfter;
      }
    };
    assert.equal(allowed(quotas, 'revokeTokens'), 500);
    clock.advance(10_000);
    assert.equal(retryAfter(), 20);
    clock.advance(19_999);
    assert.equal(retryAfter(), 1);
    clock.advance(1);
    assert.equal(retryAfter(), 'admitted');
  });
});

test('every operation that the original counts is counted, and by its own quota', () => {
  const counted = describedRoutes('production').flatMap(({ operation, quota }) =>
    quota === undefined ? [] : [[operation, typeof quota === 'function' ? 'by its body' : quota] as const],
  );
  assert.deepEqual(Object.fromEntries(counted), {
    createIdentity: 'by its body',
    issueAccessToken: 'issueToken',
    issueToken: 'issueToken',
    deleteIdentity: 'deleteIdentity',
    revokeAccessTokens: 'revokeTokens',
    updateIdentity: 'revokeTokens',
    exchangeTeamsUserAccessToken: 'exchangeToken',
    exchangeTeamsExtensionAccessToken: 'exchangeToken',
    exchangeEntraUserAccessToken: 'exchangeToken',
  });
});

describe('a server with the quotas of the original', () => {
  const given = (t: Parameters<typeof startTestServer>[0], env: Record<string, string>): Promise<TestServer> =>
    startTestServer(t, { env, clock: new TestClock(Math.floor(Date.now() / 30_000) * 30_000 + 1000) });

  test('refuses the 501st revocation of a resource with 429 and Retry-After, and nothing else', async (t) => {
    const server = await given(t, { LINARITE_QUOTAS: 'acs' });
    const id = await server.givenIdentity();
    const revoke = () => server.asService(`POST ${inPath(id)}/:revokeAccessTokens`);
    for (let done = 0; done < 500; done += 50) {
      const answers = await Promise.all(Array.from({ length: 50 }, revoke));
      assert.deepEqual([...new Set(answers.map(({ status }) => status))], [204]);
    }
    const answer = await revoke();
    assertError(answer, { status: 429, code: 'TooManyRequests' });
    assert.equal(answer.headers['retry-after'], '29');
    assert.equal(answer.headers['x-linarite-reason'], 'quota.exceeded; revokeTokens');
    await server.givenToken(id);
    const { id: other, key } = await givenResource(server);
    const mine = await server.asService('POST /identities', {}, { key });
    assert.match(mine.body.identity.id, new RegExp(other));
    assert.equal(
      (await server.asService(`POST ${inPath(mine.body.identity.id)}/:revokeAccessTokens`, '', { key })).status,
      204,
    );
  });

  test('counts a create with a token apart from one without', async (t) => {
    const server = await given(t, { LINARITE_QUOTAS: 'acs' });
    for (let done = 0; done < 1000; done += 50)
      await Promise.all(Array.from({ length: 50 }, () => server.givenIdentity()));
    assert.equal((await server.asService('POST /identities', {})).status, 429);
    assert.equal((await server.asService('POST /identities', { createTokenWithScopes: [] })).status, 429);
    assert.equal((await server.asService('POST /identities', { createTokenWithScopes: ['chat'] })).status, 201);
  });
});
