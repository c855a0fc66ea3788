import type { TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import WebSocket from 'ws';
import { type OpenSocket, ok, opened, route } from '../../../src/http/route.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { SteadyTime } from '../../../src/lib/steady-time.ts';
import { Sessions } from '../../../src/sessions/sessions.ts';
import { send } from '../http.ts';
import type { TestServer } from '../server.ts';
import { givenPipeline } from '../test-pipeline.ts';

// A plane of a test's own: a socket, and a request that waits. Everything that it sends says when it was sent.

const USER = { caller: 'user', requires: 'anyScope' } as const;

/** What a client has got, and how it ended. Times are of one clock: client and server are one process. */
export interface Client {
  /** When what has arrived was sent. */
  readonly sentAt: number[];
  /** Whether the server would still send it something. */
  isOpen(): boolean;
  /** When the server ended it. */
  endedAt(): number | undefined;
  /** Close code and reason, or status and reason. */
  readonly end: Promise<string>;
  /** Whether it can take more than one message: a request that waits takes one and has to be sent again. */
  readonly takesAll: boolean;
  /** Has the server write to it, ended or not. */
  write(): void;
  /** Goes away, if it was not ended. */
  leave(): void;
}

/** The server's side of a client. */
interface Side {
  /** Undefined until there is somebody to write to. */
  write: (() => void) | undefined;
  isOpen: boolean;
  endedAt: number | undefined;
}

/** A node of the made-up plane over the tokens and revocations of a real server, and a writer that never pauses. */
export class TestPlane {
  readonly sessions: Sessions;
  readonly #port: Promise<number>;
  readonly #sockets = new Map<string, Side>();
  readonly #parked = new Map<string, Side>();
  #names = 0;
  /** Requests that were answered 503, because this node could not tell. */
  unsure = 0;

  constructor(t: TestContext, { server }: TestServer) {
    const { tokens, revocations } = server;
    const events = { sessionEnded: () => undefined, notice: () => undefined };
    const [time, clock] = [new SteadyTime(systemClock), systemClock];
    this.sessions = new Sessions({ tokens, revocations, time, clock, events });
    t.after(() => this.sessions.stop());
    this.#port = givenPipeline(t, this.#routes(), { tokens, sessions: this.sessions });
  }

  #routes() {
    return [
      route({
        operation: 'listen',
        summary: 'Sends until it is told to stop.',
        at: 'GET /listen/{name}',
        access: USER,
        socket: { messageBytes: 1024 },
        answers: { 101: 'nothing' },
        handle: ({ path: { name } }) =>
          opened({
            opened: (socket: OpenSocket) => begin(this.#sockets.get(name), () => socket.send(now())),
            closed: () => end(this.#sockets.get(name)),
          }),
      }),
      route({
        operation: 'await',
        summary: 'Answers when there is something to say.',
        at: 'GET /await/{name}',
        access: USER,
        answers: { 200: 'nothing' },
        handle: async ({ path: { name }, park, signal }) => {
          const { promise, resolve } = Promise.withResolvers<string>();
          const side = this.#parked.get(name);
          signal.addEventListener('abort', () => end(side));
          begin(side, () => {
            if (side) side.isOpen = false; // it is answered now
            resolve(now());
          });
          return ok({ at: await park(promise) });
        },
      }),
    ];
  }

  /** A client with a socket. Settles when it is open. */
  async socket(token: string): Promise<Client> {
    const name = `socket-${this.#names++}`;
    const url = `ws://localhost:${await this.#port}/listen/${name}`;
    this.#sockets.set(name, { write: undefined, isOpen: false, endedAt: undefined });
    const socket = new WebSocket(url, { headers: { Authorization: `Bearer ${token}` } });
    const end = new Promise<string>((resolve) => {
      socket.on('close', (code, reason) => resolve(`${code} ${reason}`));
      socket.on('error', ({ message }) => resolve(message));
    });
    const sentAt: number[] = [];
    socket.on('message', (data) => sentAt.push(Number(data)));
    const leave = (): void => {
      socket.terminate();
      this.#sockets.delete(name);
    };
    return clientOf(this.#sockets.get(name), { sentAt, end, leave, takesAll: true });
  }

  /** A client that asks again whenever it is answered. Settles when the first request is parked. */
  async waiting(token: string): Promise<Client> {
    const name = `await-${this.#names++}`;
    const port = await this.#port;
    const sentAt: number[] = [];
    const ask = async (isOver: () => boolean): Promise<string> => {
      while (!isOver()) {
        const { status, body, headers } = await send(port, {
          target: `/await/${name}`,
          headers: { Authorization: `Bearer ${token}` },
        });
        if (status === 503)
          this.unsure += 1; // the lease is over: it comes again, as a client does
        else if (status !== 200) return `${status} ${headers['x-linarite-reason']?.toString().split(';')[0]}`;
        else sentAt.push(Number(body.at));
      }
      return 'left';
    };
    this.#parked.set(name, { write: undefined, isOpen: false, endedAt: undefined });
    let isOver = false;
    const leave = (): void => {
      isOver = true;
      this.#parked.get(name)?.write?.();
      this.#parked.delete(name);
    };
    return clientOf(this.#parked.get(name), { sentAt, end: ask(() => isOver), leave, takesAll: false });
  }
}

/** Settles when the server has somebody to write to. */
async function clientOf(
  side: Side | undefined,
  client: Pick<Client, 'sentAt' | 'end' | 'leave' | 'takesAll'>,
): Promise<Client> {
  if (!side) throw new Error('there is no such client');
  await until(() => side.write !== undefined, client.end);
  return { ...client, write: () => side.write?.(), isOpen: () => side.isOpen, endedAt: () => side.endedAt };
}

const now = (): string => String(performance.now());

function begin(side: Side | undefined, write: () => void): void {
  if (side) Object.assign(side, { write, isOpen: true });
}

function end(side: Side | undefined): void {
  if (side) Object.assign(side, { isOpen: false, endedAt: side.endedAt ?? performance.now() });
}

async function until(isThere: () => boolean, end: Promise<string>): Promise<void> {
  let ended: string | undefined;
  void end.then((how) => {
    ended = how;
  });
  while (!isThere()) {
    if (ended !== undefined) throw new Error(`it was ended before it began: ${ended}`);
    await turn();
  }
}
