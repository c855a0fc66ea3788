import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Admission, holderOf, type Lane } from '../../src/http/admission.ts';
import { assertError } from '../harness/envelope.ts';
import { inPath } from '../harness/resources.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';
import { Random } from '../revocation/simulation.ts';

const given = (usual: number, urgent: number, bodyBytes = 1000): Admission =>
  new Admission({ places: { usual, urgent }, bodyBytes });

const admitted = (admission: Admission, lane: Lane, holder: string, tries: number): number => {
  let count = 0;
  for (let index = 0; index < tries; index += 1) {
    try {
      admission.enter(lane, holder);
      count += 1;
    } catch {
      // refused
    }
  }
  return count;
};

describe('places', () => {
  test('one alone gets half of them, and the next as much of what is left', () => {
    const admission = given(64, 8);
    assert.equal(admitted(admission, 'usual', 'a', 100), 32);
    assert.equal(admitted(admission, 'usual', 'b', 100), 16);
    assert.equal(admitted(admission, 'usual', 'c', 100), 8);
    assert.equal(admitted(admission, 'usual', 'a', 100), 0);
    assert.deepEqual(admission.underWay, { usual: 56, urgent: 0 });
  });

  test('those that end access have places of their own', () => {
    const admission = given(8, 8);
    admitted(admission, 'usual', 'a', 100);
    assert.equal(admitted(admission, 'urgent', 'a', 100), 4);
  });

  test('whoever asks for more than the others end up with the same share as they', () => {
    const admission = given(60, 1);
    const random = new Random(7);
    const held: { holder: string; leave: () => void }[] = [];
    for (let step = 0; step < 20_000; step += 1) {
      // One asks ten times as often as the two others; each place is held for as long.
      const holder = random.pick(['greedy', ...Array(9).fill('greedy'), 'b', 'c'] as string[]);
      try {
        held.push({ holder, leave: admission.enter('usual', holder) });
      } catch {
        // refused
      }
      if (held.length > 0 && random.chance(0.5)) held.splice(random.below(held.length), 1)[0]?.leave();
      assert.equal(admission.underWay.usual, held.length);
      assert.ok(held.length < 60, 'there is a place for whoever comes next');
      assert.ok(held.filter((one) => one.holder === 'greedy').length <= 30);
    }
    for (const { leave } of held) leave();
    assert.deepEqual(admission.underWay, { usual: 0, urgent: 0 });
    assert.equal(admitted(admission, 'usual', 'b', 100), 30, 'nothing is remembered of those who left');
  });

  test('bodies share bytes in the same way, as they come', () => {
    const admission = given(8, 8, 1000);
    const [one, other] = [admission.openBody('a'), admission.openBody('a')];
    one.add(300);
    other.add(200);
    assert.throws(() => other.add(1), { reason: 'overload.bodies' });
    admission.openBody('b').add(250);
    assert.equal(admission.bodyBytes, 750);
    one.close();
    other.add(100);
    other.close();
    assert.equal(admission.bodyBytes, 250);
  });

  test('strangers share by address; a resource’s service and its users apart', () => {
    assert.equal(holderOf({ kind: 'nobody' }, '10.0.0.1'), 'nobody 10.0.0.1');
    assert.notEqual(
      holderOf({ kind: 'service', resourceId: 'r' } as never, '10.0.0.1'),
      holderOf({ kind: 'user', resourceId: 'r' } as never, '10.0.0.1'),
    );
    assert.equal(holderOf({ kind: 'operator', over: 'everything' }, '10.0.0.1'), 'operator ');
  });
});

/** A value of a metric of the server; 0 where there is none. */
async function metric(server: TestServer, name: string): Promise<number> {
  const { text } = await server.send({ target: '/-/metrics' });
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1) ?? 0);
}

describe('a server with four places', () => {
  test('refuses with 503 and Retry-After what finds none, before it reads the body; revoking goes on', async (t) => {
    const server = await startTestServer(t, {
      env: { LINARITE_REQUESTS_MOST: '4', LINARITE_URGENT_REQUESTS_MOST: '64' },
    });
    const { tokens } = server.server;
    const id = await server.givenIdentity();
    const gate = Promise.withResolvers<void>();
    const issueToken = tokens.issue.bind(tokens);
    t.mock.method(tokens, 'issue', async (...wish: Parameters<typeof issueToken>) => {
      await gate.promise;
      return issueToken(...wish);
    });
    const issue = () => server.asService(`POST ${inPath(id)}/:issueAccessToken`, { scopes: ['chat'] });
    const waiting = Array.from({ length: 2 }, issue);
    while ((await metric(server, 'linarite_requests_under_way{lane="usual"}')) < 2);
    const asked = performance.now();
    const refused = await Promise.all(Array.from({ length: 20 }, issue));
    assert.ok(performance.now() - asked > 45, 'refusals are not kept back');
    const revocations = Array.from({ length: 10 }, () => server.asService(`POST ${inPath(id)}/:revokeAccessTokens`));
    const revoked = await Promise.all(revocations);
    assert.deepEqual([...new Set(revoked.map(({ status }) => status))], [204]);
    for (const answer of refused) {
      assertError(answer, { status: 503, code: 'ServiceUnavailable' });
      assert.equal(answer.headers['retry-after'], '1');
      assert.equal(answer.headers['x-linarite-reason'], 'overload.usual');
    }
    assert.equal(await metric(server, 'linarite_refusals_total{reason="overload.usual"}'), refused.length);
    gate.resolve();
    assert.deepEqual(
      (await Promise.all(waiting)).map(({ status }) => status),
      [200, 200],
    );
    assert.equal(await metric(server, 'linarite_requests_under_way{lane="usual"}'), 0);
    assert.equal(await metric(server, 'linarite_requests_under_way{lane="urgent"}'), 1, 'the scrape itself');
    assert.equal((await issue()).status, 200);
  });
});
