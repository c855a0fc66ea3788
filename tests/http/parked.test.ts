import assert from 'node:assert/strict';
import https from 'node:https';
import net from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ServiceError } from '../../src/errors.ts';
import { Admission } from '../../src/http/admission.ts';
import { Holds } from '../../src/http/holds.ts';
import { RequestScope } from '../../src/http/request-scope.ts';
import { ReturnQueue } from '../../src/http/return-queue.ts';
import { noContent, ok, route } from '../../src/http/route.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { eventually, type Running, SessionsByHand, startPlane } from '../harness/http/made-up-plane.ts';
import { send } from '../harness/http.ts';
import { requestText } from '../harness/raw.ts';
import { TestLog, type TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';
import { givenPipeline } from '../harness/test-pipeline.ts';

let server: TestServer;
let token: string;
shareServer(async (started) => {
  server = started;
  token = await server.givenToken(await server.givenIdentity());
});

const bearing = () => ({ Authorization: `Bearer ${token}` });
const wait = (port: number) => send(port, { target: '/board/next', headers: bearing() });
const put = (port: number, note: string) =>
  send(port, { method: 'POST', target: `/board/${note}`, headers: bearing() });
const lineOf = ({ log }: Pick<Running, 'log'>) =>
  log.lines.filter(({ facts }) => facts.operation === 'awaitNote').at(-1)?.facts ?? {};

/** Parks a request on a connection of its own. */
async function park(plane: Running, sessions: SessionsByHand): Promise<net.Socket> {
  const before = sessions.begun.size;
  const socket = net.connect({ port: plane.port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => undefined);
  socket.write(
    requestText('GET /board/next', [
      ['Host', `localhost:${plane.port}`],
      ['Authorization', `Bearer ${token}`],
    ]),
  );
  await eventually(() => sessions.begun.size > before, 'the request to be parked');
  return socket;
}

describe('a parked request', () => {
  test('is answered when what it waits for has happened, over HTTP and HTTPS', async (t) => {
    const sessions = new SessionsByHand();
    const plane = await startPlane(t, server, { sessions });
    const plain = wait(plane.port);
    const secured = new Promise<string>((resolve, reject) => {
      const options = { port: plane.port, path: '/board/next', headers: bearing(), ca: plane.caPem };
      https
        .get({ host: 'localhost', ...options }, (response) => {
          response.on('data', (bytes: Buffer) => resolve(bytes.toString()));
        })
        .on('error', reject);
    });
    await eventually(() => sessions.begun.size === 2, 'both to be parked');
    await put(plane.port, 'hello');
    assert.deepEqual((await plain).body, { note: 'hello' });
    assert.equal(await secured, '{"note":"hello"}');
    assert.equal(sessions.begun.size, 0);
    assert.deepEqual(plane.seen.aborted, []);
  });

  test('takes no place meanwhile, and its time is in no latency', async (t) => {
    const sessions = new SessionsByHand();
    const plane = await startPlane(t, server, { sessions, places: 2 }); // one resource has one of two
    const waiting = [wait(plane.port), wait(plane.port), wait(plane.port)];
    await eventually(() => sessions.begun.size === 3, 'three to be parked');
    await sleep(200);
    assert.equal((await put(plane.port, 'note')).status, 204);
    for (const { status } of await Promise.all(waiting)) assert.equal(status, 200);
    const { parkedMs, durationMs } = lineOf(plane);
    assert.ok(Number(parkedMs) >= 195, String(parkedMs));
    assert.ok(Number(durationMs) < Number(parkedMs), String(durationMs));
  });

  test('fifty that are answered together are, with one place for all', async (t) => {
    const sessions = new SessionsByHand();
    const held = { user: 1000, resource: 1000, all: 1000 };
    const plane = await startPlane(t, server, { sessions, places: 2, held });
    const waiting: ReturnType<typeof wait>[] = [];
    for (let count = 1; count <= 50; count += 1) {
      waiting.push(wait(plane.port));
      await eventually(() => sessions.begun.size === count, 'one more to be parked');
    }
    await put(plane.port, 'all');
    assert.deepEqual(
      (await Promise.all(waiting)).filter(({ status }) => status !== 200),
      [],
    );
  });

  test('is one of so many of its user, its resource and the server', async (t) => {
    for (const [held, status, reason] of [
      [{ user: 1, resource: 9, all: 9 }, 429, 'held.user'],
      [{ user: 9, resource: 1, all: 9 }, 429, 'held.resource'],
      [{ user: 9, resource: 9, all: 1 }, 503, 'held.all'],
    ] as const) {
      const sessions = new SessionsByHand();
      const plane = await startPlane(t, server, { sessions, held });
      const first = wait(plane.port);
      await eventually(() => sessions.begun.size === 1, 'the first to be parked');
      const refused = await wait(plane.port);
      assert.deepEqual([refused.status, refused.headers['retry-after']], [status, '1']);
      assert.equal(lineOf(plane).reason, reason);
      await put(plane.port, 'note');
      assert.equal((await first).status, 200);
      const next = wait(plane.port);
      await eventually(() => sessions.begun.size === 1, 'another to be parked');
      await put(plane.port, 'note');
      assert.equal((await next).status, 200);
    }
  });

  test('whose client leaves, in whatever way, frees everything at once', async (t) => {
    const sessions = new SessionsByHand();
    const plane = await startPlane(t, server, { sessions, held: { user: 1, resource: 1, all: 1 } });
    for (const leave of ['destroy', 'resetAndDestroy', 'end'] as const) {
      const socket = await park(plane, sessions);
      socket[leave]();
      await eventually(() => sessions.begun.size === 0, leave);
      const [reason] = plane.seen.aborted.splice(0);
      assert.ok(reason instanceof ServiceError && reason.error === 'RequestAbandoned', leave);
      socket.destroy();
    }
    await eventually(() => lineOf(plane).reason === 'RequestAbandoned', 'the line in the log');
    assert.equal(lineOf(plane).status, 400);
    const socket = await park(plane, sessions);
    socket.destroy();
  });

  test('of a client that has ended its half is answered on the other', async (t) => {
    const sessions = new SessionsByHand();
    const plane = await startPlane(t, server, { sessions });
    const socket = await park(plane, sessions);
    let text = '';
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString();
    });
    socket.end();
    await eventually(() => text.includes('RequestAbandoned'), 'the answer');
  });

  test('is told that the server stops', async (t) => {
    const sessions = new SessionsByHand();
    const plane = await startPlane(t, server, { sessions });
    const waiting = wait(plane.port);
    await eventually(() => sessions.begun.size === 1, 'it to be parked');
    const stopped = plane.listener.close(60_000);
    const answer = await waiting;
    assert.deepEqual([answer.status, answer.headers['retry-after'], answer.headers.connection], [503, '1', 'close']);
    await stopped;
  });

  test('waits on while the server drains, and is answered as the last of its connection', async (t) => {
    const sessions = new SessionsByHand();
    const plane = await startPlane(t, server, { sessions });
    const [first, second] = [wait(plane.port), wait(plane.port)];
    await eventually(() => sessions.begun.size === 2, 'both to be parked');
    const stopped = plane.listener.close(60_000, 1_000);
    plane.board.put('note');
    for (const { status, headers } of [await first, await second])
      assert.deepEqual([status, headers.connection], [200, 'close']);
    await stopped;
  });

  test('is refused when access ends, and not told what has happened since', async (t) => {
    const sessions = new SessionsByHand();
    const plane = await startPlane(t, server, { sessions });
    const [first, second] = [wait(plane.port), wait(plane.port)];
    await eventually(() => sessions.begun.size === 2, 'both to be parked');
    plane.board.put('in the same moment'); // what it waits for and the end of access, in both orders
    sessions.endAll({ reason: 'revoked.identity', detail: 'event 7' });
    for (const { status, body } of [await first, await second]) {
      assert.deepEqual([status, body.error.code], [401, 'Unauthorized']);
    }
    const third = wait(plane.port);
    await eventually(() => sessions.begun.size === 1, 'another to be parked');
    sessions.endAll({ reason: 'token.expired' });
    await put(plane.port, 'afterwards');
    assert.equal((await third).status, 401);
    assert.equal(lineOf(plane).reason, 'token.expired');
  });

  test('is not cut by the timeouts for requests', async (t) => {
    const sessions = new SessionsByHand();
    const limits = { requestTimeoutMs: 150, headersTimeoutMs: 100, keepAliveTimeoutMs: 100, checkIntervalMs: 20 };
    const plane = await startPlane(t, server, { sessions, limits });
    const waiting = wait(plane.port);
    await eventually(() => sessions.begun.size === 1, 'it to be parked');
    await sleep(600);
    await put(plane.port, 'note');
    assert.equal((await waiting).status, 200);
  });

  test('keeps the requests behind it on its connection in order', async (t) => {
    const sessions = new SessionsByHand();
    const plane = await startPlane(t, server, { sessions });
    const head = [
      ['Host', `localhost:${plane.port}`],
      ['Authorization', `Bearer ${token}`],
    ] as const;
    const last = requestText('GET /board', [...head, ['Connection', 'close']]);
    const socket = net.connect(plane.port, '127.0.0.1');
    socket.write(Buffer.concat([requestText('GET /board/next', head), last]));
    await eventually(() => sessions.begun.size === 1, 'it to be parked');
    await put(plane.port, 'note');
    const text = Buffer.concat(await socket.toArray()).toString();
    assert.match(text, /\r\n\r\n\{"note":"note"\}HTTP\/1\.1 200 OK[\s\S]*\{"notes":\["note"\]\}$/);
  });

  test('may answer its end in its own way, park again, and fail as its wait does', async (t) => {
    const log = new TestLog();
    const access = { caller: 'nobody' } as const;
    const port = await givenPipeline(
      t,
      [
        route({
          operation: 'twice',
          summary: '',
          at: 'GET /twice',
          access,
          answers: { 200: 'nothing' },
          async handle({ park }) {
            return ok({ sum: (await park(sleep(10, 1))) + (await park(sleep(10, 2))) });
          },
        }),
        route({
          operation: 'fails',
          summary: '',
          at: 'GET /fails',
          access,
          answers: { 200: 'nothing' },
          handle: async ({ park }) => park(sleep(10).then(() => Promise.reject(new ServiceError('IdentityNotFound')))),
        }),
        route({
          operation: 'own',
          summary: '',
          at: 'GET /own',
          access,
          answers: { 204: 'nothing' },
          handle: async ({ park, signal }) => {
            await park(new Promise(() => undefined)).catch(() => undefined);
            return signal.aborted ? noContent() : ok({});
          },
        }),
      ],
      { log },
    );
    assert.deepEqual((await send(port, { target: '/twice' })).body, { sum: 3 });
    assert.equal((await send(port, { target: '/fails' })).status, 404);
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.end(requestText('GET /own', [['Host', `localhost:${port}`]]));
    const [answer] = await new Promise<Buffer[]>((resolve) => socket.once('data', (bytes: Buffer) => resolve([bytes])));
    assert.match(String(answer), /^HTTP\/1\.1 204 /);
    assert.ok(Number(log.lines.find(({ facts }) => facts.operation === 'twice')?.facts.parkedMs) >= 18);
  });
});

describe('a request whose wait is over', () => {
  const scopeOf = (admission: Admission, clock = systemClock) =>
    new RequestScope(
      {
        parked: new Holds({ user: 9, resource: 9, all: 9 }),
        returns: new ReturnQueue(admission, clock),
        sessions: new SessionsByHand(),
        clock,
      },
      {
        request: { peer: 'here', onEnd: () => undefined } as never,
        caller: { kind: 'nobody' },
        user: undefined,
        holder: 'me',
      },
    );

  test('waits for a place, and is refused when there is none for seconds', async () => {
    const admission = new Admission({ places: { usual: 2, urgent: 2 }, bodyBytes: 1 });
    let elapsed = 0;
    const clock = { now: () => 0, elapsed: () => elapsed };
    const scope = scopeOf(admission, clock);
    scope.enter(admission.enter('usual', 'me'), 'usual');
    const wait = Promise.withResolvers<number>();
    const parked = scope.park(wait.promise);
    assert.equal(admission.underWay.usual, 0);
    const other = admission.enter('usual', 'me');
    wait.resolve(1);
    await sleep(30);
    other.leave();
    assert.equal(await parked, 1);
    assert.equal(admission.underWay.usual, 1);

    const again = scope.park(Promise.resolve(2));
    admission.enter('usual', 'me');
    const refused = assert.rejects(again, { error: 'Overloaded', reason: 'overload.usual' });
    await sleep(20);
    elapsed += 5_000;
    await refused;
    scope.close();
    assert.equal(admission.underWay.usual, 1);
  });
});
