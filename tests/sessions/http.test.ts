import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket from 'ws';
import { ServiceError } from '../../src/errors.ts';
import { type OpenSocket, ok, opened, route } from '../../src/http/route.ts';
import type { Session, Sessions } from '../../src/http/session.ts';
import { send } from '../harness/http.ts';
import { givenResource } from '../harness/resources.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';
import { sign } from '../harness/sign.ts';
import { givenPipeline } from '../harness/test-pipeline.ts';

// What a socket and a parked request make of their session. The sessions here do as they are told.

class SessionByHand implements Session {
  open = true;
  refusal: ServiceError | undefined;
  readonly renewed: string[] = [];
  readonly end: (refusal: ServiceError) => void;
  #change = Promise.withResolvers<void>();

  constructor(end: (refusal: ServiceError) => void) {
    this.end = end;
  }

  async requireOpen(): Promise<void> {
    if (!this.open) throw this.refusal ?? new ServiceError('NotFresh', { reason: 'lease.expired' });
  }

  async whenOpen(): Promise<boolean> {
    if (!this.open && !this.refusal) await this.#change.promise;
    return this.open;
  }

  async renew({ caller }: Parameters<Session['renew']>[0]): Promise<void> {
    this.renewed.push(caller.scopes.join());
  }

  close(): void {}

  hold(): void {
    this.open = false;
  }

  resume(): void {
    this.open = true;
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }

  /** Nothing is sent after this; the client is told later, with `end`. */
  shut(): ServiceError {
    this.open = false;
    this.refusal = new ServiceError('TokenRefused', { reason: 'revoked.identity' });
    this.#change.resolve();
    return this.refusal;
  }
}

let server: TestServer;
let token: string;
shareServer(async (started) => {
  server = started;
  token = await server.givenToken(await server.givenIdentity());
});

async function given(t: TestContext) {
  const seen = { session: undefined as SessionByHand | undefined, messages: [] as string[], kinds: [] as string[] };
  let socket: OpenSocket | undefined;
  const parked = Promise.withResolvers<string>();
  const sessions: Sessions = {
    open: (_, end, kind) => {
      seen.session = new SessionByHand(end);
      seen.kinds.push(kind);
      return seen.session;
    },
  };
  const access = { caller: 'user', requires: 'chat.thread.read' } as const;
  const routes = [
    route({
      operation: 'listen',
      summary: 'A socket.',
      at: 'GET /listen',
      access,
      socket: { messageBytes: 4096, bufferedBytes: 100 },
      answers: { 101: 'nothing' },
      handle: () =>
        opened({
          opened: (one) => {
            socket = one;
          },
          message: async (data) => {
            seen.messages.push(String(data).slice(0, 20));
            if (String(data).startsWith('renew ')) await socket?.renew(String(data).slice(6));
          },
        }),
    }),
    route({
      operation: 'await',
      summary: 'A request that waits.',
      at: 'GET /await/{how}',
      access,
      answers: { 200: 'nothing' },
      handle: async ({ path: { how }, park }) => {
        try {
          return ok({ said: await park(parked.promise) });
        } catch (cause) {
          if (how === 'data') return ok({ said: 'what was there before' });
          if (how === 'own') return { status: 410, body: { why: 'gone' } };
          throw cause;
        }
      },
    }),
  ];
  const port = await givenPipeline(t, routes, { tokens: server.server.tokens, sessions });
  const waiting = (how = 'error') =>
    send(port, { target: `/await/${how}`, headers: { Authorization: `Bearer ${token}` } });
  const connect = async () => {
    const client = new WebSocket(`ws://localhost:${port}/listen`, { headers: { Authorization: `Bearer ${token}` } });
    const got: string[] = [];
    client.on('message', (data) => got.push(String(data)));
    const closed = new Promise<string>((resolve) => client.on('close', (code, reason) => resolve(`${code} ${reason}`)));
    await new Promise((resolve, reject) => client.on('open', resolve).on('error', reject));
    t.after(() => client.terminate());
    return { client, got, closed };
  };
  const began = async (): Promise<SessionByHand> => {
    while (!seen.session) await sleep(1);
    return seen.session;
  };
  return {
    seen,
    waiting,
    connect,
    began,
    say: (text: string) => parked.resolve(text),
    get socket(): OpenSocket {
      assert.ok(socket);
      return socket;
    },
  };
}

const eventually = async (is: () => boolean): Promise<void> => {
  while (!is()) await sleep(1);
};

describe('a socket', () => {
  test('is closed with the reason when its session ends, and sends nothing from the step of the event on', async (t) => {
    const plane = await given(t);
    const { got, closed } = await plane.connect();
    const session = await plane.began();
    assert.deepEqual(plane.seen.kinds, ['socket']);
    plane.socket.send('before');
    const refusal = session.shut();
    plane.socket.send('between the event and its telling');
    await sleep(5);
    session.end(refusal);
    plane.socket.send('after');
    assert.equal(await closed, '1008 revoked.identity');
    assert.deepEqual(got, ['before']);
  });

  test('hands no message to its handler from then on', async (t) => {
    const plane = await given(t);
    const { client } = await plane.connect();
    const session = await plane.began();
    client.send('before');
    await eventually(() => plane.seen.messages.length === 1);
    session.shut();
    client.send('after');
    await sleep(20);
    assert.deepEqual(plane.seen.messages, ['before']);
  });

  test('keeps what is sent, and what arrives, while the node cannot tell, in order', async (t) => {
    const plane = await given(t);
    const { client, got } = await plane.connect();
    const session = await plane.began();
    session.hold();
    for (const text of ['one', 'two']) plane.socket.send(text);
    for (const text of ['three', 'four']) client.send(text);
    await sleep(20);
    assert.deepEqual([got, plane.seen.messages, plane.socket.bufferedBytes], [[], [], 6]);
    session.resume();
    plane.socket.send('five');
    await eventually(() => got.length === 3 && plane.seen.messages.length === 2);
    assert.deepEqual(
      [got, plane.seen.messages],
      [
        ['one', 'two', 'five'],
        ['three', 'four'],
      ],
    );
    assert.equal(plane.socket.bufferedBytes, 0);
  });

  test('never sends what it kept when access has ended meanwhile', async (t) => {
    const plane = await given(t);
    const { got, closed } = await plane.connect();
    const session = await plane.began();
    session.hold();
    plane.socket.send('kept');
    const refusal = session.shut();
    await sleep(5);
    session.end(refusal);
    assert.equal(await closed, '1008 revoked.identity');
    assert.deepEqual(got, []);
  });

  test('keeps no more than a client may leave unread', async (t) => {
    const plane = await given(t);
    const { closed } = await plane.connect();
    (await plane.began()).hold();
    plane.socket.send('x'.repeat(60));
    plane.socket.send('x'.repeat(60));
    assert.match(await closed, /^1013 /);
  });

  test('is told to come again later when the node could not tell for too long', async (t) => {
    const plane = await given(t);
    const { closed } = await plane.connect();
    const session = await plane.began();
    session.hold();
    session.end(new ServiceError('NotFresh', { reason: 'lease.expired' }));
    assert.equal(await closed, '1013 lease.expired');
  });

  test('goes on with a newer token that permits the same, and with no other', async (t) => {
    const plane = await given(t);
    const { client, closed } = await plane.connect();
    const session = await plane.began();
    const id = await server.givenIdentity();
    client.send(`renew ${await server.givenToken(id, ['chat'])}`);
    await eventually(() => session.renewed.length === 1);
    assert.deepEqual(session.renewed, ['chat']);
    client.send(`renew ${await server.givenToken(id, ['voip'])}`);
    assert.equal(await closed, '1008 scope.missing');
    assert.equal(session.renewed.length, 1);
  });
});

describe('a parked request', () => {
  test('gets the refusal of a request when its session ends', async (t) => {
    const plane = await given(t);
    const answer = plane.waiting();
    const session = await plane.began();
    assert.deepEqual(plane.seen.kinds, ['parked']);
    session.end(session.shut());
    const { status, headers } = await answer;
    assert.deepEqual([status, headers['x-linarite-reason']], [401, 'revoked.identity']);
  });

  test('gets nothing that was said between the event and its telling', async (t) => {
    const plane = await given(t);
    const answer = plane.waiting();
    const session = await plane.began();
    session.shut();
    plane.say('a secret');
    const { status, text } = await answer;
    assert.equal(status, 401);
    assert.ok(!text.includes('a secret'));
  });

  test('is answered 503 when the node cannot tell', async (t) => {
    const plane = await given(t);
    const answer = plane.waiting();
    const session = await plane.began();
    session.hold();
    plane.say('a secret');
    const { status, headers } = await answer;
    assert.deepEqual([status, headers['retry-after']], [503, '1']);
  });

  test('may say in its own way that access has ended, and nothing else', async (t) => {
    for (const [how, status] of [
      ['own', 410],
      ['data', 401],
    ] as const) {
      const plane = await given(t);
      const answer = plane.waiting(how);
      const session = await plane.began();
      session.end(session.shut());
      assert.equal((await answer).status, status, how);
    }
  });

  test('of a service is not answered once its access key was taken back', async (t) => {
    const { key } = await givenResource(server, 'waits');
    const parked = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const waits = route({
      operation: 'await',
      summary: 'A request that waits.',
      at: 'GET /await',
      access: { caller: 'service' },
      answers: { 200: 'nothing' },
      handle: async ({ park }) => {
        begun.resolve();
        await park(parked.promise);
        return ok({ said: 'a secret' });
      },
    });
    const { resources } = server.server;
    const signatories = resources.candidatesFor('localhost');
    const port = await givenPipeline(t, [waits], { signatories });
    const headers = sign({ method: 'GET', target: '/await', host: `localhost:${port}`, key });
    const answer = send(port, { target: '/await', headers });
    await begun.promise;
    signatories.length = 0;
    parked.resolve();
    assert.equal((await answer).status, 401);
  });
});
