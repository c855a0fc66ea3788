import type { WebSocket, WebSocketServer } from 'ws';
import type { UserCaller } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Events, SocketFacts } from '../monitoring/events.ts';
import type { Hold, Holds } from './holds.ts';
import type { RequestScope, ScopeEnd } from './request-scope.ts';
import type { OpenSocket, SocketHandler, SocketOptions } from './route.ts';
import type { Takeover } from './wire.ts';

interface Uses {
  /** Bounds the sockets. */
  holds: Holds;
  clock: Clock;
  events: Events;
}

interface Times {
  /** Each socket is pinged this often; one that has sent nothing since the last ping is closed. */
  readonly pingMs: number;
  /** How long the client may take to answer a close frame. */
  readonly closeMs: number;
}

export const SOCKET_TIMES: Times = { pingMs: 30_000, closeMs: 2_000 };

/** A socket that is about to be opened. */
interface Opening {
  readonly options: SocketOptions;
  readonly handler: SocketHandler;
  readonly scope: RequestScope;
  readonly hold: Hold;
  /** Verifies a newer token of the user, and goes on with it. @throws ServiceError `TokenRefused`, `CapabilityMissing` */
  readonly renew: (jwt: string) => Promise<UserCaller>;
  readonly facts: Pick<SocketFacts, 'operation' | 'caller' | 'resourceId' | 'identityId'>;
}

/** Pings are spread over the interval, so that thousands of sockets are no burst. */
const SLOTS = 16;

/** Bytes that may wait for a client which does not read, unless the route says otherwise. */
const BUFFERED_BYTES_MOST = 1024 * 1024;

/** Codes of RFC 6455, section 7.4.1, and of its registry. */
const CODES = { goingAway: 1001, protocol: 1002, policy: 1008, internal: 1011, tryAgainLater: 1013 } as const;

/** Faults in frames, as `ws` names them, that are not answered with 1002. */
const FAULT_CODES: Readonly<Record<string, number>> = {
  WS_ERR_INVALID_UTF8: 1007,
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 1009,
  WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH: 1009,
  WS_ERR_TOO_MANY_BUFFERED_PARTS: 1008,
};

/** The open sockets of a server. `ws` does the framing; it is loaded with the first socket, and listens nowhere. */
export class Sockets {
  readonly #uses: Uses;
  readonly #times: Times;
  readonly #servers = new Map<SocketOptions, WebSocketServer>();
  readonly #slots = Array.from({ length: SLOTS }, () => new Set<Socket>());
  /** Where the next socket goes, and which one was pinged last: a socket is pinged once in each interval, however many come. */
  #filled = 0;
  #pinged = 0;
  /** Of the handshake that is being answered just now, beside those of `ws`. */
  #headers: Readonly<Record<string, string>> = {};
  #timer: NodeJS.Timeout | undefined;
  #library: Promise<typeof import('ws')> | undefined;

  constructor(uses: Uses, times: Times = SOCKET_TIMES) {
    this.#uses = uses;
    this.#times = times;
  }

  get holds(): Holds {
    return this.#uses.holds;
  }

  /** Makes ready for sockets of a route. */
  async prepare(options: SocketOptions): Promise<void> {
    this.#library ??= import('ws');
    const { WebSocketServer } = await this.#library;
    if (this.#servers.has(options)) return;
    const { protocols = [], messageBytes } = options;
    const server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: messageBytes,
      maxFragments: 1024,
      maxBufferedChunks: 4096,
      closeTimeout: this.#times.closeMs,
      handleProtocols: (offered: Set<string>) => protocols.find((name) => offered.has(name)) ?? false,
    } as ConstructorParameters<typeof WebSocketServer>[0]);
    server.on('headers', (lines: string[]) => {
      for (const [name, value] of Object.entries(this.#headers)) lines.push(`${name}: ${value}`);
    });
    this.#servers.set(options, server);
  }

  /** Opens a socket once its connection is handed over. {@link prepare} was called for its route. */
  takeover(opening: Opening): Takeover {
    const { options, scope, hold } = opening;
    const drop = (): void => {
      scope.close();
      hold.release();
    };
    return {
      drop,
      take: ({ request, socket, headers }) => {
        let opened = false;
        this.#headers = headers;
        this.#servers.get(options)?.handleUpgrade(request, socket, Buffer.alloc(0), (connection) => {
          opened = true;
          this.#open(connection, opening);
        });
        if (opened) return;
        socket.destroy();
        drop();
      },
    };
  }

  #open(connection: WebSocket, opening: Opening): void {
    this.#filled = (this.#filled + 1) % SLOTS;
    const slot = this.#slots[this.#filled] as Set<Socket>;
    const socket = new Socket(connection, opening, this.#uses, () => slot.delete(socket));
    slot.add(socket);
    this.#timer ??= setInterval(() => this.#ping(), this.#times.pingMs / SLOTS).unref();
    socket.start();
  }

  #ping(): void {
    this.#pinged = (this.#pinged + 1) % SLOTS;
    for (const socket of this.#slots[this.#pinged] ?? []) socket.ping();
    if (this.#slots.every(({ size }) => size === 0)) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }
}

/** One open socket: hands what arrives to its handler, one message at a time. */
class Socket implements OpenSocket {
  readonly #connection: WebSocket;
  readonly #opening: Opening;
  readonly #uses: Uses;
  readonly #onClosed: () => void;
  readonly #sinceMs: number;
  readonly #waiting: (string | Buffer)[] = [];
  /** What was sent while this node could not tell whether the user's access had ended. */
  readonly #held: (string | Uint8Array)[] = [];
  #heldBytes = 0;
  #busy = false;
  #heard = true;
  /** Why this side has begun to close it. */
  #why: string | undefined;
  /** What the client was closed with for a fault in its frames; it need not answer that. */
  #faultCode: number | undefined;
  #handlerTold = false;
  #received = 0;
  #sent = 0;

  constructor(connection: WebSocket, opening: Opening, uses: Uses, onClosed: () => void) {
    this.#connection = connection;
    this.#opening = opening;
    this.#uses = uses;
    this.#onClosed = onClosed;
    this.#sinceMs = uses.clock.elapsed();
    connection.on('message', (data: Buffer, isBinary: boolean) => this.#take(isBinary ? data : data.toString()));
    connection.on('pong', () => {
      this.#heard = true;
    });
    connection.on('error', (error: Error & { code?: string }) => this.#noteFault(error.code));
    connection.on('close', (code: number) => this.#closed(this.#faultCode ?? code));
  }

  start(): void {
    const { handler, scope } = this.#opening;
    scope.onEnd((why) => this.#end(why));
    if (this.#why === undefined) this.#run(() => handler.opened?.(this));
  }

  get bufferedBytes(): number {
    return this.#connection.bufferedAmount + this.#heldBytes;
  }

  renew(jwt: string): Promise<UserCaller> {
    return this.#opening.renew(jwt);
  }

  send(data: string | Uint8Array): void {
    if (this.#why !== undefined) return;
    const most = this.#opening.options.bufferedBytes ?? BUFFERED_BYTES_MOST;
    if (this.bufferedBytes + data.length > most) {
      this.close(CODES.tryAgainLater, 'messages are not read');
      return;
    }
    if (this.#held.length === 0 && this.#opening.scope.isOpen) this.#write(data);
    else this.#keep(data);
  }

  #write(data: string | Uint8Array): void {
    this.#sent += 1;
    this.#connection.send(data);
  }

  /** Keeps it until this node can tell. When access has ended, it is never sent. */
  #keep(data: string | Uint8Array): void {
    this.#held.push(data);
    this.#heldBytes += data.length;
    if (this.#held.length === 1) void this.#sendHeld();
  }

  async #sendHeld(): Promise<void> {
    const { scope } = this.#opening;
    while (this.#held.length > 0 && (await scope.whenOpen()) && this.#why === undefined)
      for (let data = this.#held[0]; data !== undefined && scope.isOpen; data = this.#held[0]) {
        this.#held.shift();
        this.#heldBytes -= data.length;
        this.#write(data);
      }
    this.#held.length = 0;
    this.#heldBytes = 0;
  }

  close(code: number, reason = ''): void {
    if (this.#why !== undefined) return;
    this.#why = reason === '' ? `closed with ${code}` : reason;
    this.#connection.close(code, reason);
    this.#tellHandler(code);
  }

  /** Asks the client whether it is still there; closes the connection of one that has not answered the last time. */
  ping(): void {
    if (this.#heard) this.#connection.ping();
    else {
      this.#why ??= 'no answer to a ping';
      this.#connection.terminate();
    }
    this.#heard = false;
  }

  #take(message: string | Buffer): void {
    this.#heard = true;
    this.#received += 1;
    if (this.#why !== undefined) return;
    this.#waiting.push(message);
    if (!this.#busy) void this.#work();
  }

  /** While a handler works on a message, nothing more is read than has arrived with it. */
  async #work(): Promise<void> {
    const { handler } = this.#opening;
    this.#busy = true;
    for (
      let next = this.#waiting.shift();
      next !== undefined && this.#why === undefined;
      next = this.#waiting.shift()
    ) {
      const message = next;
      if (!this.#opening.scope.isOpen && !(await this.#mayAct())) break;
      const working = this.#run(() => handler.message?.(message));
      if (working === undefined) continue;
      this.#connection.pause();
      await working;
      this.#connection.resume();
    }
    this.#busy = false;
  }

  /** Waits, without reading more, while this node cannot tell whether access has ended. @returns false when it has */
  async #mayAct(): Promise<boolean> {
    this.#connection.pause();
    const isOpen = await this.#opening.scope.whenOpen();
    this.#connection.resume();
    return isOpen && this.#why === undefined;
  }

  /** @returns undefined when the work is done */
  #run(work: () => void | Promise<void>): Promise<void> | undefined {
    try {
      return work()?.catch((cause: unknown) => this.#fail(cause));
    } catch (cause) {
      this.#fail(cause);
      return undefined;
    }
  }

  #fail(cause: unknown): void {
    if (cause instanceof ServiceError && cause.shape.status < 500) {
      this.close(CODES.policy, cause.reason);
      return;
    }
    const { operation } = this.#opening.facts;
    if (!(cause instanceof ServiceError)) this.#uses.events.notice('error', 'a socket failed', { operation, cause });
    this.close(CODES.internal, 'unexpected condition');
  }

  /** `ws` has closed the connection: 'close' follows. */
  #noteFault(fault: string | undefined): void {
    if (fault?.startsWith('WS_ERR_') !== true) return; // the connection has failed
    this.#faultCode = FAULT_CODES[fault] ?? CODES.protocol;
    this.#why ??= fault;
  }

  #end(why: ScopeEnd): void {
    if (why === 'gone') return; // 'close' follows, or has been there
    if (why === 'stopping') this.close(CODES.goingAway, 'the server stops');
    else if (why.error === 'NotFresh') this.close(CODES.tryAgainLater, why.reason);
    else this.close(this.#opening.options.endedCode ?? CODES.policy, why.reason);
  }

  #closed(code: number): void {
    const { scope, hold, facts } = this.#opening;
    this.#onClosed();
    this.#tellHandler(code);
    this.#waiting.length = 0;
    scope.close();
    hold.release();
    this.#uses.events.socketClosed({
      ...facts,
      code,
      why: this.#why,
      durationMs: this.#uses.clock.elapsed() - this.#sinceMs,
      received: this.#received,
      sent: this.#sent,
    });
  }

  #tellHandler(code: number): void {
    if (this.#handlerTold) return;
    this.#handlerTold = true;
    this.#run(() => this.#opening.handler.closed?.(code));
  }
}
