import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { ServiceError } from '../errors.ts';
import { http } from '../lib/node-http.ts';
import { release } from '../lib/release.ts';
import { type BindOptions, type BoundPort, bind } from './bind.ts';
import {
  Connection,
  type ListenerState,
  methodBefore,
  type ParserError,
  parserFault,
  type WireLimits,
} from './connection.ts';
import { type Expectation, isHandshake, malformed } from './exchange.ts';
import type { RequestHandler } from './wire.ts';

/** What holds unless the caller says otherwise. The security page, 1.6, gives the reasons. */
export const WIRE_LIMITS: WireLimits = {
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  keepAliveTimeoutMs: 65_000,
  checkIntervalMs: 1_000,
  maxConnections: 12_000,
  maxHeaderBytes: 16 * 1024,
  maxHeaderLines: 100,
  maxPipelined: 32,
  discardBytes: 64 * 1024,
  lingerMs: 1_000,
  lingerBytes: 1024 * 1024,
};

/** Key and certificate chain, both in PEM. */
export interface TlsIdentity {
  readonly key: string;
  readonly cert: string;
}

export interface ServeOptions {
  /** Undefined: plain HTTP only, until {@link Listener.setTls}. */
  readonly tls: TlsIdentity | undefined;
  readonly handler: RequestHandler;
  readonly limits?: Partial<WireLimits>;
}

export interface Listener {
  readonly port: number;
  /** The addresses in use; one of the asked for may be missing on this machine. */
  readonly addresses: readonly string[];
  /** Replaces the certificate for connections opened after this. Throws, and changes nothing, if it is unusable. */
  setTls(identity: TlsIdentity): void;
  /** Open connections now, and how many were refused so far because there were too many. */
  readonly connections: { readonly open: number; readonly refused: number };
  /**
   * Stops in steps. For `drainMs` it goes on as before, but every answer is the last of its connection. Then it stops
   * accepting, closes idle connections and lets requests under way finish for at most `graceMs`; what is left is told
   * so and cut off. Resolves when no socket remains.
   */
  close(graceMs: number, drainMs?: number): Promise<void>;
}

/** Answers on an open port, by HTTP and HTTPS alike: every request goes through the request pipeline. */
export function serve(port: BoundPort, { tls, handler, limits }: ServeOptions): Listener {
  const { onProblem } = port;
  const state: ListenerState = {
    handler,
    limits: { ...WIRE_LIMITS, ...limits },
    onProblem,
    stopping: false,
    closing: false,
  };
  const acceptor = new Acceptor(state, tls);
  let closed: Promise<void> | undefined;
  port.accept((socket) => acceptor.accept(socket));

  return {
    port: port.port,
    addresses: port.addresses,
    setTls: (identity) => acceptor.setTls(identity),
    get connections() {
      return acceptor.connections;
    },
    close: (graceMs, drainMs = 0) => {
      closed ??= acceptor.close(port, graceMs, drainMs);
      return closed;
    },
  };
}

/** Opens a port and answers on it at once. @throws as {@link bind} */
export const listen = async (options: BindOptions & ServeOptions): Promise<Listener> =>
  serve(await bind(options), options);

/** Where sockets arrive and are told apart, up to the point where they speak HTTP. */
class Acceptor {
  readonly #state: ListenerState;
  readonly #http: Server;
  readonly #sockets = new Set<net.Socket>();
  /** Sockets that do not speak HTTP yet, and when they must. */
  readonly #awaitingRequest = new Map<net.Socket, NodeJS.Timeout>();
  /** Sockets that do, plain or decrypted. */
  readonly #connections = new Map<object, Connection>();
  #secureContext: tls.SecureContext | undefined;
  #refused = 0;
  /** When what was said last, in elapsed milliseconds. */
  readonly #warnedAt = new Map<'plain' | 'full', number>();

  constructor(state: ListenerState, identity: TlsIdentity | undefined) {
    this.#state = state;
    this.#http = httpServer(state, this.#connections);
    if (identity !== undefined) this.setTls(identity);
  }

  setTls({ key, cert }: TlsIdentity): void {
    this.#secureContext = tls.createSecureContext({ key, cert, minVersion: 'TLSv1.2' });
  }

  get connections(): Listener['connections'] {
    return { open: this.#sockets.size, refused: this.#refused };
  }

  async close(port: BoundPort, graceMs: number, drainMs: number): Promise<void> {
    this.#state.stopping = true;
    if (drainMs > 0) await sleep(drainMs);
    this.#state.closing = true;
    const drained = port.close();
    for (const socket of this.#awaitingRequest.keys()) socket.destroy();
    for (const connection of this.#connections.values()) connection.stop();
    const abandon = setTimeout(() => {
      for (const connection of this.#connections.values()) connection.abandon(new ServiceError('Stopping'));
    }, graceMs);
    const end = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, graceMs + this.#state.limits.lingerMs);
    await drained;
    clearTimeout(abandon);
    clearTimeout(end);
    this.#http.close(); // it never listened, but it has the interval that looks for timeouts
  }

  accept(socket: net.Socket): void {
    const { limits } = this.#state;
    if (this.#sockets.size >= limits.maxConnections) {
      socket.destroy();
      this.#refused += 1;
      this.#warnOfFull();
      return;
    }
    this.#sockets.add(socket);
    socket.on('error', ignore); // ECONNRESET and the like: 'close' follows and is all that matters
    socket.on('close', () => {
      this.#sockets.delete(socket);
      this.#requestBegan(socket);
    });
    // One deadline up to the end of the TLS handshake, so that a slow client cannot have it twice.
    this.#awaitingRequest.set(
      socket,
      setTimeout(() => socket.destroy(), limits.headersTimeoutMs),
    );
    this.#detectTls(socket);
  }

  /** Looks at the first byte and passes the socket on with it. */
  #detectTls(socket: net.Socket): void {
    const leave = (): unknown => socket.destroy();
    socket.once('end', leave);
    socket.once('data', (first: Buffer) => {
      socket.off('end', leave);
      socket.pause();
      if (first[0] === TLS_HANDSHAKE && this.#secureContext !== undefined) {
        socket.unshift(first);
        this.#handshake(socket, this.#secureContext);
        return;
      }
      if (first[0] === TLS_HANDSHAKE) this.#warnOfPlain();
      this.#serve(socket, socket, false);
      socket.unshift(first); // goes to the parser at once, which copies what it keeps
      if (socket.readableLength === 0) release(first);
    });
  }

  // A TLSSocket rather than a tls.Server, which would not say to which socket a finished handshake belongs.
  #handshake(socket: net.Socket, secureContext: tls.SecureContext): void {
    const secured = new tls.TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: ['http/1.1'] });
    const fail = (cause: unknown): void => {
      this.#state.onProblem('debug', 'a TLS connection failed', { cause });
      secured.destroy();
    };
    secured.on('error', ignore);
    secured.on('_tlsError', fail); // the only place where errors after the handshake appear on such a socket
    secured.once('secure', () => this.#serve(socket, secured, true));
  }

  #serve(socket: net.Socket, stream: net.Socket, secure: boolean): void {
    this.#requestBegan(socket);
    this.#connections.set(stream, new Connection(this.#state, stream, secure));
    stream.on('close', () => this.#connections.delete(stream));
    this.#http.emit('connection', stream);
    stream.resume();
  }

  #requestBegan(socket: net.Socket): void {
    clearTimeout(this.#awaitingRequest.get(socket));
    this.#awaitingRequest.delete(socket);
  }

  /** A flood of connections must not become a flood of log lines. */
  #isTooSoon(what: 'plain' | 'full', everyMs: number): boolean {
    const now = performance.now();
    if (now - (this.#warnedAt.get(what) ?? Number.NEGATIVE_INFINITY) < everyMs) return true;
    this.#warnedAt.set(what, now);
    return false;
  }

  /** The client sees no more than an error of its TLS library. */
  #warnOfPlain(): void {
    if (this.#isTooSoon('plain', 60_000)) return;
    this.#state.onProblem('warn', 'a client spoke HTTPS, but this server has no certificate: see LINARITE_TLS_CERT');
  }

  #warnOfFull(): void {
    if (this.#isTooSoon('full', 1_000)) return;
    this.#state.onProblem('warn', 'connections are refused: there are too many', {
      maxConnections: this.#state.limits.maxConnections,
    });
  }
}

const ignore = (): void => {};

/** The first byte of a TLS connection (RFC 8446, section 5.1). */
const TLS_HANDSHAKE = 0x16;

/** The parser and keeper of keep-alive connections. It gets its sockets from the acceptor and listens nowhere itself. */
function httpServer({ limits, handler }: ListenerState, connections: ReadonlyMap<object, Connection>): Server {
  const server = http.createServer({
    insecureHTTPParser: false, // said aloud, so that no command-line flag can switch it on
    requireHostHeader: false, // we look ourselves: this one would answer without our envelope
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    connectionsCheckingInterval: limits.checkIntervalMs,
    // Every other Upgrade header arrives with an ordinary request, where it is refused.
    shouldUpgradeCallback: (request) =>
      isHandshake(request, limits.maxHeaderLines) && handler.offersSocket?.(request.url ?? '') === true,
  });
  // It drops what is above without an error; one more than we take is enough to see that there were too many.
  server.maxHeadersCount = limits.maxHeaderLines + 1;
  // Not in the documentation: without it Node closes as soon as the client has ended its half, answered or not.
  Object.assign(server, { httpAllowHalfOpen: true });

  const take = (expectation: Expectation) => (request: IncomingMessage, response: ServerResponse) =>
    connections.get(request.socket)?.take(request, response, expectation);
  server.on('request', take('nothing'));
  server.on('checkContinue', take('continue'));
  server.on('checkExpectation', take('something else'));
  server.on('connect', (request) =>
    connections.get(request.socket)?.reject(malformed('the method CONNECT is not supported')),
  );
  server.on('clientError', (error: ParserError, socket) => {
    const fault = parserFault(error);
    if (fault === undefined) socket.destroy();
    else connections.get(socket)?.reject(fault, methodBefore(error));
  });
  server.on('upgrade', (request, socket, head) => connections.get(socket)?.takeHandshake(request, head));

  // Timeouts are looked after only by a server that listens; as far as this one knows, it does.
  server.emit('listening');
  return server;
}
