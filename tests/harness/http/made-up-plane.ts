import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import type { ProvenUser } from '../../../src/callers.ts';
import { certificatesIn } from '../../../src/certificates/own-certificates.ts';
import { type Reason, ServiceError } from '../../../src/errors.ts';
import { fileRoutes, manifestOf } from '../../../src/http/files.ts';
import { type Listener, listen, type WIRE_LIMITS } from '../../../src/http/listen.ts';
import {
  noContent,
  type OpenSocket,
  ok,
  opened,
  type Route,
  route,
  type SocketOptions,
} from '../../../src/http/route.ts';
import { type Session, type Sessions, UNWATCHED } from '../../../src/http/session.ts';
import type { Tickets } from '../../../src/http/tickets.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { TestLog, type TestServer } from '../server.ts';
import { pipelineOf } from '../test-pipeline.ts';

// A plane that nobody needs, with every ending that a request may have: boards, and notes that are put on them.

export const TICKET = { parameter: 'ticket', purpose: 'board' } as const;
const FOR_USERS = { caller: 'user', requires: 'anyScope' } as const;

/** A board: tells those who wait, and those who listen, about each note. */
class Board {
  readonly notes: string[] = [];
  readonly sockets = new Set<OpenSocket>();
  #next = Promise.withResolvers<string>();

  get next(): Promise<string> {
    return this.#next.promise;
  }

  put(note: string): void {
    this.notes.push(note);
    this.#next.resolve(note);
    this.#next = Promise.withResolvers();
    for (const socket of this.sockets) socket.send(note);
  }
}

/** What the handlers of sockets saw. */
export interface Seen {
  messages: (string | Buffer)[];
  closed: number[];
  /** Why signals of parked requests were aborted. */
  aborted: unknown[];
}

export interface Plane {
  readonly board: Board;
  readonly seen: Seen;
  readonly routes: readonly Route[];
}

export function madeUpPlane(options: Partial<SocketOptions> = {}, tickets?: Tickets): Plane {
  const board = new Board();
  const seen: Seen = { messages: [], closed: [], aborted: [] };
  const routes = [
    ...fileRoutes(manifestOf({ 'index.html': Buffer.from('<!doctype html><title>board</title>') }), {
      below: '/app',
      operation: 'getPage',
      summary: 'The page of the board.',
      access: { caller: 'nobody' },
    }),
    route({
      operation: 'listNotes',
      summary: 'All notes.',
      at: 'GET /board',
      access: FOR_USERS,
      answers: { 200: 'nothing', 304: 'nothing' },
      handle: () => ({ ...ok({ notes: board.notes }), etag: `"${board.notes.length}"` }),
    }),
    route({
      operation: 'awaitNote',
      summary: 'Waits for the next note.',
      at: 'GET /board/next',
      access: FOR_USERS,
      answers: { 200: 'nothing' },
      async handle({ park, signal }) {
        signal.addEventListener('abort', () => seen.aborted.push(signal.reason));
        return ok({ note: await park(board.next) });
      },
    }),
    route({
      operation: 'putNote',
      summary: 'Puts a note on the board.',
      at: 'POST /board/{note}',
      access: FOR_USERS,
      answers: { 204: 'nothing' },
      handle({ path }) {
        board.put(path.note);
        return noContent();
      },
    }),
    route({
      operation: 'openBoard',
      summary: 'Opens a socket that gets every note, and sends back every message.',
      at: 'GET /board/socket',
      access: { ...FOR_USERS, requires: 'chat.message.read', ticket: TICKET },
      socket: { messageBytes: 1000, protocols: ['notes.v2', 'notes.v1'], ...options },
      answers: { 101: 'nothing' },
      handle() {
        let own: OpenSocket | undefined;
        return opened({
          opened(socket) {
            own = socket;
            board.sockets.add(socket);
          },
          async message(message) {
            seen.messages.push(message);
            if (message === 'fail') throw new Error('a bug in the handler');
            if (message === 'slow') await sleep(20);
            if (message === 'leave') own?.close(4000, 'asked to');
            own?.send(message);
          },
          closed(code) {
            seen.closed.push(code);
            if (own) board.sockets.delete(own);
          },
        });
      },
    }),
    route({
      operation: 'issueTicket',
      summary: 'A ticket for the socket.',
      at: 'POST /board/socket/ticket',
      access: FOR_USERS,
      answers: { 200: 'nothing' },
      handle: ({ user }) => ok({ ticket: tickets?.issue(TICKET.purpose, user) }),
    }),
  ];
  return { board, seen, routes };
}

/** Sessions that a test ends by hand. */
export class SessionsByHand implements Sessions {
  readonly begun = new Map<(refusal: ServiceError) => void, ProvenUser>();

  open(user: ProvenUser, end: (refusal: ServiceError) => void): Session {
    this.begun.set(end, user);
    return { ...UNWATCHED.open(user, end, 'socket'), close: () => void this.begun.delete(end) };
  }

  /** As a token that has ended does. */
  endAll(facts: { reason: Reason; detail?: string }): void {
    for (const end of [...this.begun.keys()]) end(new ServiceError('TokenRefused', facts));
  }
}

export interface Running extends Plane {
  readonly port: number;
  readonly listener: Listener;
  readonly log: TestLog;
  readonly caPem: string;
}

/** The plane behind a port for HTTP and HTTPS, with the users of a server. */
export async function startPlane(
  t: Pick<TestContext, 'after'>,
  { server, folder }: TestServer,
  {
    socket = {},
    tickets,
    limits = {},
    ...more
  }: Parameters<typeof pipelineOf>[1] & {
    socket?: Partial<SocketOptions>;
    tickets?: Tickets;
    limits?: Partial<typeof WIRE_LIMITS>;
  } = {},
): Promise<Running> {
  const { certPem, keyPem, caPem } = await certificatesIn(folder, systemClock);
  const plane = madeUpPlane(socket, tickets);
  const log = new TestLog();
  const pipeline = pipelineOf(plane.routes, { tokens: server.tokens, log, ...(tickets && { tickets }), ...more });
  const listener = await listen({
    hosts: ['127.0.0.1'],
    port: 0,
    tls: { cert: certPem, key: keyPem },
    handler: pipeline,
    limits,
    onProblem: () => undefined,
  });
  t.after(() => listener.close(0));
  return { ...plane, listener, port: listener.port, log, caPem };
}

/** A WebSocket of a client, and all that came of it. */
export class Client {
  readonly socket: WebSocket;
  readonly messages: string[] = [];
  readonly opened: Promise<void>;
  /** Code and reason; of a refused handshake its status and body. */
  readonly closed: Promise<{ code: number; reason: string }>;

  constructor(socket: WebSocket) {
    this.socket = socket;
    const closed = Promise.withResolvers<{ code: number; reason: string }>();
    const opening = Promise.withResolvers<void>();
    opening.promise.catch(() => undefined);
    this.opened = opening.promise;
    this.closed = closed.promise;
    socket.on('open', () => opening.resolve());
    socket.on('message', (data: Buffer) => this.messages.push(data.toString()));
    socket.on('error', (error) => opening.reject(error));
    socket.on('close', (code: number, reason: Buffer) => closed.resolve({ code, reason: reason.toString() }));
    socket.on('unexpected-response', (_request, response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () => {
        const code = response.statusCode ?? 0;
        opening.reject(new Error(`refused with ${code}`));
        closed.resolve({ code, reason: text });
        socket.terminate();
      });
    });
  }

  async next(): Promise<string> {
    if (this.messages.length === 0) await once(this.socket, 'message');
    return this.messages.shift() ?? '';
  }
}

/** Opens the socket of the plane. */
export function openBoard(
  { port, caPem }: Running,
  {
    token,
    secure = false,
    query = '',
    protocols = [],
    headers = {},
  }: { token?: string; secure?: boolean; query?: string; protocols?: string[]; headers?: Record<string, string> },
): Client {
  const address = `${secure ? 'wss' : 'ws'}://localhost:${port}/board/socket${query}`;
  return new Client(
    new WebSocket(address, protocols, {
      headers: { ...(token !== undefined && { Authorization: `Bearer ${token}` }), ...headers },
      ca: caPem,
    }),
  );
}

/** Waits until something is so. */
export async function eventually(happened: () => boolean, what: string, withinMs = 10_000): Promise<void> {
  for (const end = performance.now() + withinMs; !happened(); await sleep(5)) {
    if (performance.now() > end) throw new Error(`waited in vain for ${what}`);
  }
}
