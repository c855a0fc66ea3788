import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { ServiceError } from '../errors.ts';
import { http } from '../lib/node-http.ts';
import { release } from '../lib/release.ts';
import { Exchange, type Expectation, malformed } from './exchange.ts';
import type { RequestHandler, Takeover, WireEnd, WireReply } from './wire.ts';

/** How much of everything one listener puts up with. */
export interface WireLimits {
  /** From the opening of a connection to the first request on it, and from the first byte of a request to its body. */
  readonly headersTimeoutMs: number;
  /** From the first byte of a request to its last; and as long again for an answer that the client does not take. */
  readonly requestTimeoutMs: number;
  /** Between two requests. */
  readonly keepAliveTimeoutMs: number;
  /** How often the first two are looked at. */
  readonly checkIntervalMs: number;
  /** Open connections on all addresses together. */
  readonly maxConnections: number;
  /** Bytes of request line and header lines. */
  readonly maxHeaderBytes: number;
  readonly maxHeaderLines: number;
  /** Requests that may wait on one connection for the answer to an earlier one. */
  readonly maxPipelined: number;
  /** A body of at most this announced size that nobody wanted is thrown away to keep the connection. */
  readonly discardBytes: number;
  /** After the last answer: how long and how much is still taken from a client that is busy sending. */
  readonly lingerMs: number;
  readonly lingerBytes: number;
}

/** What the listener tells about itself; what is said of a request is for the pipeline. */
export type OnProblem = (level: 'debug' | 'warn' | 'error', message: string, facts?: Record<string, unknown>) => void;

/** What all connections of a listener share. */
export interface ListenerState {
  readonly handler: RequestHandler;
  readonly limits: WireLimits;
  readonly onProblem: OnProblem;
  /** True from the moment the listener was asked to stop: every answer is the last of its connection. */
  stopping: boolean;
  /** True once it waits for no further request. */
  closing: boolean;
}

/**
 * One connection that has begun to speak HTTP. Its requests go through the pipeline one after another, so that there is
 * never a doubt which of them an answer, or a fault in the bytes, belongs to.
 */
export class Connection {
  readonly secure: boolean;
  readonly peer: string;

  readonly #state: ListenerState;
  readonly #socket: Socket;
  readonly #waiting: Exchange[] = [];
  #current: Exchange | undefined;
  #newest: Exchange | undefined;
  /** What was wrong with the bytes after the newest request: the last thing to be answered. */
  #refusal: { readonly error: ServiceError; readonly method?: string | undefined } | undefined;
  /** The last answer has been written. */
  #finished = false;
  /** What still arrives is thrown away. */
  #discarding = false;
  /** Bytes received when the last request was done with: more since then are the beginning of another. */
  #bytesBefore = 0;
  #deadline: NodeJS.Timeout | undefined;
  /** Once the connection speaks another protocol: told when it must end. */
  #endTakeover: ((why: WireEnd) => void) | undefined;

  constructor(state: ListenerState, socket: Socket, secure: boolean) {
    this.#state = state;
    this.#socket = socket;
    this.secure = secure;
    // IPv4 clients of an IPv6 socket appear as ::ffff:127.0.0.1, which nobody downstream should have to know.
    this.peer = (socket.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/i, '');
    socket.on('close', () => {
      clearTimeout(this.#deadline);
      this.#end('gone');
    });
    // A client that ends its half still gets its answer. But an answer that is waited for it gets now: most such clients
    // have closed their connection, and nothing else would ever tell.
    socket.on('end', () => this.#end('gone'));
  }

  /** A request whose headers are there. */
  take(request: IncomingMessage, response: ServerResponse, expectation: Expectation): void {
    if (this.#finished || this.#refusal !== undefined) return;
    const { limits } = this.#state;
    const exchange = new Exchange(request, response, this, expectation, limits.maxHeaderLines);
    if (this.#current === undefined) {
      this.#newest = exchange;
      this.#start(exchange);
    } else if (this.#waiting.length < limits.maxPipelined) {
      this.#newest = exchange;
      this.#waiting.push(exchange);
    } else {
      const error = new ServiceError('TooManyRequests', { detail: 'too many pipelined requests' });
      this.#refusal = { error, method: exchange.method };
      this.#discardInput();
    }
  }

  /** A request to go on with WebSocket frames. Its connection has no parser any more, and nobody reads from it yet. */
  takeHandshake(request: IncomingMessage, head: Buffer): void {
    if (this.#finished || this.#refusal !== undefined) return;
    const exchange = new Exchange(request, undefined, this, 'nothing', this.#state.limits.maxHeaderLines);
    if (this.#current !== undefined)
      this.reject(malformed('an upgrade must wait for earlier answers'), exchange.method);
    else if (head.length > 0)
      this.reject(malformed('there are bytes before the upgrade was answered'), exchange.method);
    else this.#start(exchange);
  }

  /**
   * Bytes, or their absence, that cannot be turned into a request or into the rest of one.
   * @param method that they begin with, where it can be told
   */
  reject(error: ServiceError, method?: string): void {
    const newest = this.#newest;
    if (this.#finished || this.#refusal !== undefined) return;
    this.#discardInput(); // the parser would go on to complain about every further byte
    if (newest !== undefined && !newest.complete) {
      // They belong to the body of a request, which gets one answer like any other, and may have got it already.
      if (newest.answered) this.#closeAfterAnswer();
      else newest.fail(error);
      return;
    }
    this.#refusal = { error, method };
    if (this.#current === undefined) this.#refuse(error, method);
  }

  /** The listener is about to stop: nothing is lost with a connection that is between two requests. */
  stop(): void {
    const idle = this.#current === undefined && this.#socket.bytesRead === this.#bytesBefore;
    if (idle && !this.#finished) this.#socket.destroySoon();
    else this.#end('stopping');
  }

  #end(why: WireEnd): void {
    this.#current?.end(why);
    this.#endTakeover?.(why);
  }

  /** The listener waits no longer for the answer to the request under way. */
  abandon(error: ServiceError): void {
    const exchange = this.#current;
    if (exchange === undefined || exchange.answered) return;
    this.#refuse(error, exchange.method);
    exchange.fail(error);
  }

  #start(exchange: Exchange): void {
    this.#current = exchange;
    if (this.#state.closing) exchange.end('stopping');
    if (exchange.fault === undefined) void this.#answer(exchange);
    else this.#refuse(exchange.fault, exchange.method);
  }

  async #answer(exchange: Exchange): Promise<void> {
    try {
      const reply = await this.#state.handler.answer(exchange);
      if (reply.takeover) this.#handOver(reply.takeover, reply, exchange);
      else this.#send(reply, exchange);
    } catch (cause) {
      // The request pipeline promises not to get here; a client must have its answer all the same.
      this.#state.onProblem('error', 'a request could not be answered', { cause });
      this.#refuse(cause, exchange.method);
    }
  }

  #send(reply: WireReply, exchange: Exchange): void {
    if (this.#finished || this.#socket.destroyed) return;
    if (this.#isLast(exchange)) {
      this.#sendLast(reply, exchange.method);
      return;
    }
    const { response } = exchange;
    response.writeHead(reply.status, headerFields(reply));
    // Head and body leave in one piece: of a chunk, Node makes five.
    if (reply.chunked) response.chunkedEncoding = false;
    exchange.answered = true;
    response.end(reply.chunked ? inOneChunk(reply.body ?? '') : reply.body, () => this.#next());
    if (this.#socket.writableLength > 0) this.#destroyAfter(this.#state.limits.requestTimeoutMs);
  }

  /** The connection goes on in another protocol, and HTTP is done with it. */
  #handOver(takeover: Takeover, { headers }: WireReply, exchange: Exchange): void {
    const socket = this.#socket;
    if (this.#finished || socket.destroyed || !socket.readable || !socket.writable) {
      takeover.drop();
      socket.destroy();
      return;
    }
    if (socket.readableLength > 0) {
      takeover.drop();
      this.#refuse(malformed('there are bytes before the upgrade was answered'), exchange.method);
      return;
    }
    this.#finished = true;
    this.#current = undefined;
    this.#endTakeover = exchange.handOver();
    takeover.take({ request: exchange.request, socket, headers });
  }

  #isLast(exchange: Exchange): boolean {
    if (exchange.upgrades) return true;
    if (!exchange.response.shouldKeepAlive || exchange.leftWaiting || exchange.failed) return true;
    if (!exchange.complete && !exchange.mayDiscardRest(this.#state.limits.discardBytes)) return true;
    return (this.#state.stopping || this.#socket.readableEnded) && this.#waiting.length === 0;
  }

  /** The answer has left for the client: on to the next request. */
  #next(): void {
    if (this.#finished) return;
    clearTimeout(this.#deadline);
    this.#current = undefined;
    this.#bytesBefore = this.#socket.bytesRead;
    const next = this.#waiting.shift();
    if (next !== undefined) this.#start(next);
    else if (this.#refusal !== undefined) this.#refuse(this.#refusal.error, this.#refusal.method);
    // Until then a client that was told nothing may have its next request on the way.
    else if (this.#state.closing) this.#closeAfterAnswer();
  }

  #refuse(error: unknown, method: string | undefined): void {
    if (this.#finished) return;
    try {
      this.#sendLast(this.#state.handler.refuse(error), method);
    } catch (cause) {
      this.#state.onProblem('error', 'an error answer could not be written', { cause });
      this.#socket.destroy();
    }
  }

  /**
   * Writes the answer after which nothing more is read. Not through `ServerResponse`: that ends by destroying the
   * socket, and a client in the middle of an upload would lose the answer to the reset this causes.
   */
  #sendLast(reply: WireReply, method: string | undefined): void {
    const socket = this.#socket;
    const bytes = lastAnswer(reply, method !== 'HEAD');
    if (this.#current) this.#current.answered = true;
    if (!socket.writable) socket.destroy();
    else socket.write(bytes);
    this.#closeAfterAnswer();
  }

  /** Ends our half of the connection and gives the client a moment to notice. */
  #closeAfterAnswer(): void {
    const socket = this.#socket;
    const { lingerMs, requestTimeoutMs } = this.#state.limits;
    this.#finished = true;
    if (socket.destroyed) return;

    this.#discardInput();
    this.#newest?.drop();
    socket.on('end', () => socket.destroySoon());
    this.#destroyAfter(requestTimeoutMs);
    socket.end(() => (socket.readableEnded ? socket.destroy() : this.#destroyAfter(lingerMs)));
  }

  /** Takes the bytes away from the parser and throws them away, up to a limit. */
  #discardInput(): void {
    if (this.#discarding) return;
    this.#discarding = true;
    const socket = this.#socket;
    let leftBytes = this.#state.limits.lingerBytes;
    socket.removeAllListeners('data'); // the parser's
    socket.on('data', (chunk: Buffer) => {
      leftBytes -= chunk.length;
      release(chunk);
      // What is not read fills the window of the client, which holds it without a reset.
      if (leftBytes < 0) stopReading(socket);
    });
    socket.resume();
  }

  #destroyAfter(ms: number): void {
    clearTimeout(this.#deadline);
    if (!this.#socket.destroyed) this.#deadline = setTimeout(() => this.#socket.destroy(), ms);
  }
}

/** What Node adds to an error of its parser. */
export interface ParserError extends NodeJS.ErrnoException {
  readonly rawPacket?: Buffer;
  readonly bytesParsed?: number;
}

/** `pause` alone takes in one more chunk and keeps it, 64 KiB for each client that goes on sending. */
function stopReading(socket: Socket): void {
  socket.pause();
  // Not in the documentation. node:http does the same to the sockets that it reads.
  (socket as Socket & { _handle?: { readStop?(): void } | null })._handle?.readStop?.();
}

/**
 * What a fault of the parser means in the protocol; undefined when it is the connection that failed, and nobody is
 * left to answer.
 */
export function parserFault(error: NodeJS.ErrnoException): ServiceError | undefined {
  const code = error.code ?? '';
  if (code === 'HPE_HEADER_OVERFLOW') return new ServiceError('HeadersTooLarge', { cause: error });
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new ServiceError('RequestTimeout', { cause: error });
  return code.startsWith('HPE_') ? malformed(code, error) : undefined;
}

/**
 * The method of the request in which a fault of the parser is: what stands after the last empty line before it. Undefined
 * when the request began in an earlier piece of what was received.
 */
export function methodBefore({ rawPacket, bytesParsed = 0 }: ParserError): string | undefined {
  const before = rawPacket?.toString('latin1', 0, bytesParsed) ?? '';
  const end = before.lastIndexOf('\r\n\r\n');
  return /^(?:\r?\n)*([A-Z]+) /.exec(end < 0 ? before : before.slice(end + 4))?.[1];
}

/** Statuses whose answers have no body (RFC 9110, section 6.4.1). */
const isBodiless = (status: number): boolean => status === 204 || status === 304;

/** The headers of a reply, with its length unless it goes out in chunks or has no body by its status. */
function headerFields(reply: WireReply): Record<string, string | number> {
  const fields: Record<string, string | number> = { ...reply.headers };
  if (isBodiless(reply.status)) return fields;
  if (reply.chunked) fields['Transfer-Encoding'] = 'chunked';
  else fields['Content-Length'] = reply.body === undefined ? 0 : Buffer.byteLength(reply.body);
  return fields;
}

function lastAnswer(reply: WireReply, withBody: boolean): Buffer {
  const { Connection: option, ...headers } = headerFields(reply);
  const connection = option === undefined ? 'close' : `close, ${option}`;
  const fields = { ...headers, Date: new Date().toUTCString(), Connection: connection };
  let head = `HTTP/1.1 ${reply.status} ${http.STATUS_CODES[reply.status] ?? 'unknown'}\r\n`;
  for (const [name, value] of Object.entries(fields)) {
    http.validateHeaderName(name);
    http.validateHeaderValue(name, String(value));
    head += `${name}: ${value}\r\n`;
  }
  const { status, body = '', chunked } = reply;
  const bytes = withBody && !isBodiless(status) ? (chunked ? inOneChunk(body) : body) : '';
  return Buffer.concat([Buffer.from(`${head}\r\n`, 'latin1'), Buffer.from(bytes)]);
}

/** A body as one chunk and the last one (RFC 9112, 7.1). */
function inOneChunk(body: string | Uint8Array): Buffer {
  const bytes = Buffer.from(body);
  if (bytes.length === 0) return Buffer.from(LAST_CHUNK);
  const head = `${bytes.length.toString(16)}\r\n`;
  return Buffer.concat([Buffer.from(head), bytes, Buffer.from(`\r\n${LAST_CHUNK}`)]);
}

const LAST_CHUNK = '0\r\n\r\n';
