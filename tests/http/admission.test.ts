import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { Admission, holderOf, type Lane, type Place, placesFor } from '../../src/http/admission.ts';
import { listOf, maybe, object, optional, recordOf, text } from '../../src/http/schema.ts';
import { digestOf } from '../../src/lib/bytes.ts';
import { assertError } from '../harness/envelope.ts';
import { inPath, unusedId } from '../harness/resources.ts';
import { Random } from '../harness/revocation/simulation.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';

const given = (usual: number, urgent: number, bodyBytes = 1000): Admission =>
  new Admission({ places: { usual, urgent }, bodyBytes });

const admitted = (admission: Admission, lane: Lane, holder: string, tries: number, places = 1): number => {
  let count = 0;
  for (let index = 0; index < tries; index += 1) {
    try {
      admission.enter(lane, holder, places);
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

  test('a request that costs as much as several takes several places, and none more than a quarter', () => {
    const admission = given(256, 1024);
    const place = admission.enter('usual', 'a', 8);
    place.grow(4);
    assert.equal(admission.underWay.usual, 8, 'it never shrinks');
    place.grow(1000);
    assert.equal(admission.underWay.usual, 64);
    const second = admission.enter('usual', 'a', 1000);
    assert.throws(() => admission.enter('usual', 'a', 1000), { reason: 'overload.usual' });
    const other = admission.enter('usual', 'b', 40);
    const third = admission.enter('usual', 'c', 32);
    assert.throws(() => other.grow(64), { reason: 'overload.usual' });
    for (const one of [place, second, other, third]) one.leave();
    assert.deepEqual(admission.underWay, { usual: 0, urgent: 0 });
  });

  test('where there are more places, or fewer, so few that cost much are under way all the same', () => {
    for (const all of [16, 64, 256, 1024]) {
      const admission = given(all, all);
      assert.equal(admitted(admission, 'urgent', 'a', 100, 32), 4);
      admission.enter('usual', 'a');
      assert.equal(admission.underWay.usual, 1, 'what costs little takes one');
    }
  });

  test('places by bytes and by entries', () => {
    assert.deepEqual(
      [0, 1, 8192, 8193, 1024 * 1024].map((bytes) => placesFor(bytes)),
      [1, 1, 1, 2, 128],
    );
    assert.deepEqual(
      [0, 8, 9, 500].map((entries) => placesFor(100, entries)),
      [1, 1, 2, 63],
    );
  });

  test('entries count in lists and records at any depth', () => {
    const schema = object({
      name: text(),
      all: optional(recordOf(optional(object({ names: optional(listOf(text())) })))),
      more: maybe(listOf(listOf(text()))),
    });
    for (const [value, entries] of [
      [{ name: 'x' }, 0],
      [{ name: 'x', all: null, more: [] }, 0],
      [{ name: 'x', all: { a: null, b: {}, c: { names: ['1', '2'] } } }, 5],
      [{ name: 'x', more: [['1'], ['2', '3']], other: [1, 2, 3] }, 5],
    ] as const) {
      assert.equal(schema.mismatch(value), undefined);
      assert.equal(schema.entries(value), entries, JSON.stringify(value));
    }
  });

  test('those that end access have places of their own', () => {
    const admission = given(8, 8);
    admitted(admission, 'usual', 'a', 100);
    assert.equal(admitted(admission, 'urgent', 'a', 100), 4);
  });

  test('those who ask for more than the others end up with the same share as they', () => {
    const admission = given(60, 1);
    const random = new Random(7);
    const held: { holder: string; place: Place }[] = [];
    for (let step = 0; step < 20_000; step += 1) {
      // One asks ten times as often as the two others; each place is held for as long.
      const holder = random.pick(['greedy', ...Array(9).fill('greedy'), 'b', 'c'] as string[]);
      try {
        held.push({ holder, place: admission.enter('usual', holder) });
      } catch {
        // refused
      }
      if (held.length > 0 && random.chance(0.5)) held.splice(random.below(held.length), 1)[0]?.place.leave();
      assert.equal(admission.underWay.usual, held.length);
      assert.ok(held.length < 60, 'there is a place for the next one');
      assert.ok(held.filter((one) => one.holder === 'greedy').length <= 30);
    }
    for (const { place } of held) place.leave();
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

  test('unauthenticated callers share by address; a resource’s service and its users apart', () => {
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
  test('still takes what ends access by its body, and only that', async (t) => {
    const server = await startTestServer(t, { env: { LINARITE_REQUESTS_MOST: '4' } });
    const { tokens } = server.server;
    const id = await server.givenIdentity();
    const at = '/access/entra/assignments';
    const [there, absent] = [randomUUID(), randomUUID()];
    const assignment = { tenantId: randomUUID(), principalType: 'user', clientIds: [randomUUID()] };
    const call = async (request: string, body?: object): Promise<number> =>
      (await server.asService(`${request}?api-version=2025-03-02-preview`, body)).status;
    assert.equal(await call(`PUT ${at}/${there}`, assignment), 201);
    const gate = Promise.withResolvers<void>();
    const issueToken = tokens.issue.bind(tokens);
    t.mock.method(tokens, 'issue', async (...wish: Parameters<typeof issueToken>) => {
      await gate.promise;
      return issueToken(...wish);
    });
    const waiting = [1, 2].map(() => server.asService(`POST ${inPath(id)}/:issueAccessToken`, { scopes: ['chat'] }));
    while ((await metric(server, 'linarite_requests_under_way{lane="usual"}')) < 2);
    assert.equal(await call(`PUT ${at}/${absent}`, assignment), 503);
    assert.equal(await call(`PUT ${at}/${there}`, { ...assignment, clientIds: [randomUUID()] }), 200);
    assert.equal(await call(`PATCH ${at}`, { [absent]: assignment }), 503);
    assert.equal(await call(`PATCH ${at}`, { [there]: null }), 204);
    gate.resolve();
    await Promise.all(waiting);
    assert.equal(await call(`GET ${at}/${there}`), 404);
  });

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
    assert.ok(performance.now() - asked > 45, 'refusals are not delayed');
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

  test('has every byte of a body back, however the request ended', async (t) => {
    const server = await startTestServer(t);
    const large = Buffer.alloc(1024 * 1024 + 1, 0x20);
    const inChunks = { 'Transfer-Encoding': 'chunked', 'Content-Length': [] };
    const refused = await Promise.all([
      server.asService('POST /identities', '{'),
      server.asService('POST /identities', '{}', {
        headers: { 'x-ms-content-sha256': digestOf('{ }').toString('base64') },
      }),
      server.asService('POST /identities', large.toString(), { headers: inChunks as never }),
      server.asService('POST /identities?api-version=1999-01-01', '{}'),
      server.asService(`POST ${inPath(unusedId())}/:issueAccessToken`, { scopes: ['chat'] }),
    ]);
    assert.deepEqual(
      refused.map(({ status }) => status),
      [400, 401, 413, 400, 404],
    );
    assert.equal(await metric(server, 'linarite_request_body_bytes'), 0);
    assert.equal(await metric(server, 'linarite_requests_under_way{lane="usual"}'), 0);
  });
});
