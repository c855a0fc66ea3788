import type { IncomingMessage, ServerResponse } from 'node:http';
import { ServiceError } from '../errors.ts';
import { release } from '../lib/release.ts';
import { handshakeFault } from './handshake.ts';
import type { WireEnd, WireRequest } from './wire.ts';

const NONE: readonly string[] = Object.freeze([]);
const EMPTY = Buffer.alloc(0);

/** Origin-form (RFC 9112, 3.2.1) in visible ASCII. A fragment never belongs on the wire, so `#` is left out. */
const ORIGIN_FORM = /^\/[!"$-~]*$/;

/** What the client asks for before it sends the body (RFC 9110, 10.1.1), as far as the parser tells. */
export type Expectation = 'nothing' | 'continue' | 'something else';

/** The error for bytes that are no acceptable HTTP/1.1 request. */
export const malformed = (detail: string, cause?: unknown): ServiceError =>
  new ServiceError('RequestMalformed', { detail, cause });

/** One request and its one answer, on a connection that may carry many. */
export class Exchange implements WireRequest {
  readonly secure: boolean;
  readonly peer: string;
  /** Why the request pipeline must not see this request. */
  readonly fault: ServiceError | undefined;
  /** Announced length of the body; infinite when it comes in chunks. */
  readonly bodyBytes: number;
  /** Set as soon as the answer has been handed to the socket. */
  answered = false;

  readonly #request: IncomingMessage;
  readonly #response: ServerResponse | undefined;
  readonly #expectation: Expectation;
  #failure: unknown;
  #abandonBody: ((error: unknown) => void) | undefined;
  #bodyAsked = false;
  #ended: WireEnd | undefined;
  #onEnd: ((why: WireEnd) => void) | undefined;

  /** @param response undefined for a WebSocket handshake, see {@link isHandshake} */
  constructor(
    request: IncomingMessage,
    response: ServerResponse | undefined,
    connection: { secure: boolean; peer: string },
    expectation: Expectation,
    maxHeaderLines: number,
  ) {
    const framing = examine(request, maxHeaderLines, response === undefined);
    this.#request = request;
    this.#expectation = expectation;
    this.#response = response;
    this.secure = connection.secure;
    this.peer = connection.peer;
    this.bodyBytes = framing.bodyBytes;
    this.fault = framing.fault ?? this.#expectationFault() ?? this.#handshakeFault();
  }

  /** Where the answer goes. A handshake has none: node:http lets go of its connection. */
  get response(): ServerResponse {
    if (this.#response === undefined) throw new Error('a handshake is not answered by node:http');
    return this.#response;
  }

  get request(): IncomingMessage {
    return this.#request;
  }

  get upgrades(): boolean {
    return this.#response === undefined;
  }

  get method(): string {
    return this.#request.method ?? '';
  }

  get target(): string {
    return this.#request.url ?? '';
  }

  get hasBody(): boolean {
    return this.bodyBytes > 0;
  }

  get complete(): boolean {
    return this.#request.complete;
  }

  /** Whether the bytes of this request went wrong after its headers. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Whether the client asked to be told before it sends the body, and was not. Node says `close` in the answer then. */
  get leftWaiting(): boolean {
    return this.#expectation !== 'nothing' && !this.#bodyAsked;
  }

  /**
   * Whether what is missing of the body may simply be thrown away, to keep the connection. Not after an unanswered
   * `Expect`: then nobody can tell whether the next bytes are a body or a request.
   */
  mayDiscardRest(limitBytes: number): boolean {
    return this.#expectation === 'nothing' && !this.#bodyAsked && this.bodyBytes <= limitBytes;
  }

  // A scan, no map: the pipeline asks for about a dozen of some twenty headers, and comparing lengths first makes each
  // question cheaper than building a map for all.
  header(name: string): readonly string[] {
    const raw = this.#request.rawHeaders;
    let found: string[] | undefined;
    for (let i = 0; i < raw.length; i += 2) {
      const candidate = raw[i];
      if (candidate === undefined || candidate.length !== name.length) continue;
      if (candidate !== name && candidate.toLowerCase() !== name) continue;
      found ??= [];
      found.push(raw[i + 1] ?? '');
    }
    return found ?? NONE;
  }

  async readBody(limitBytes: number, onBytes?: (bytes: number) => void): Promise<Buffer> {
    if (this.#bodyAsked) throw new Error('the body of a request can be read only once');
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.hasBody) return EMPTY;
    if (this.bodyBytes !== Number.POSITIVE_INFINITY && this.bodyBytes > limitBytes) throw tooLarge(limitBytes);
    // A client that left takes what it sent with it: the stream would stay silent for ever.
    if (this.#request.destroyed) throw malformed('the connection was lost');

    this.#bodyAsked = true;
    if (this.#expectation === 'continue') this.response.writeContinue();
    return this.#collect(limitBytes, onBytes);
  }

  /** The bytes of this request cannot be read to their end: those who read the body, now or later, get the error. */
  fail(error: unknown): void {
    this.#failure ??= error;
    this.#abandonBody?.(this.#failure);
  }

  onEnd(listener: (why: WireEnd) => void): void {
    this.#onEnd = listener;
    if (this.#ended !== undefined) listener(this.#ended);
  }

  /** Nobody waits for the answer any longer. Of several reasons, the first counts. */
  end(why: WireEnd): void {
    if (this.#ended !== undefined) return;
    this.#ended = why;
    this.#onEnd?.(why);
  }

  /** @returns what is to be told in place of {@link end}, without this request, which lives no longer than its answer */
  handOver(): (why: WireEnd) => void {
    return this.#onEnd ?? (() => undefined);
  }

  /** Throws away what has come of the body and nobody read. */
  drop(): void {
    this.#request.on('data', release).resume();
  }

  #expectationFault(): ServiceError | undefined {
    if (this.#expectation === 'nothing') return undefined;
    // The parser is content when 100-continue is among several.
    const [only, ...more] = this.header('expect');
    const met = only?.toLowerCase() === '100-continue' && more.length === 0;
    return met ? undefined : new ServiceError('ExpectationFailed');
  }

  #handshakeFault(): ServiceError | undefined {
    return this.upgrades ? handshakeFault((name) => this.header(name)) : undefined;
  }

  #collect(limitBytes: number, onBytes: (bytes: number) => void = () => undefined): Promise<Buffer> {
    const request = this.#request;
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const chunks: Buffer[] = [];
    let size = 0;

    const take = (chunk: Buffer): void => {
      chunks.push(chunk);
      try {
        size += chunk.length;
        if (size > limitBytes) throw tooLarge(limitBytes);
        onBytes(chunk.length);
      } catch (cause) {
        abandon(cause);
      }
    };
    const finish = (): void => {
      detach();
      const [only] = chunks;
      if (chunks.length === 1 && only !== undefined) resolve(only);
      else {
        resolve(Buffer.concat(chunks, size));
        chunks.forEach(release);
      }
    };
    const abandon = (error: unknown): void => {
      detach();
      request.pause();
      chunks.forEach(release);
      reject(error);
    };
    const lost = (): void => abandon(malformed('the connection was lost in the middle of the body'));
    const detach = (): void => {
      this.#abandonBody = undefined;
      request.off('data', take).off('end', finish).off('close', lost);
    };

    this.#abandonBody = abandon;
    request.on('data', take).on('end', finish).on('close', lost);
    return promise;
  }
}

const tooLarge = (limitBytes: number): ServiceError =>
  new ServiceError('BodyTooLarge', { values: { limit: limitBytes } });

/**
 * Whether node:http may let go of the connection of a request with an Upgrade header. False for what is wrong in any other
 * way than the handshake itself: then it stays a request like any other, and is refused.
 */
export const isHandshake = (request: IncomingMessage, maxHeaderLines: number): boolean => {
  const { fault, bodyBytes } = examine(request, maxHeaderLines, true);
  return fault === undefined && bodyBytes === 0 && request.method === 'GET' && request.headers.expect === undefined;
};

interface Framing {
  readonly bodyBytes: number;
  readonly fault: ServiceError | undefined;
}

/**
 * Looks at what the parser lets through although it is ambiguous or not for us, in one pass over the header lines.
 * Lengths and codings are the parser's business too; here they are checked before the pipeline sees the request, because
 * the parser notices some of them only in the body.
 */
function examine(request: IncomingMessage, maxHeaderLines: number, mayUpgrade = false): Framing {
  const raw = request.rawHeaders;
  let hosts = 0;
  let upgrade = false;
  let length: string | undefined;
  let coding: string | undefined;
  let repeated = false;

  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    switch (name.length) {
      case 4:
        if (name.toLowerCase() === 'host') hosts += 1;
        break;
      case 7:
        if (name.toLowerCase() === 'upgrade') upgrade = true;
        break;
      case 14:
        if (name.toLowerCase() !== 'content-length') break;
        repeated ||= length !== undefined;
        length = raw[i + 1];
        break;
      case 17:
        if (name.toLowerCase() !== 'transfer-encoding') break;
        repeated ||= coding !== undefined;
        coding = raw[i + 1];
        break;
    }
  }

  const fault = (): ServiceError | undefined => {
    if (raw.length > 2 * maxHeaderLines) return new ServiceError('HeadersTooLarge');
    if (request.httpVersion !== '1.1') return malformed('the version is not HTTP/1.1');
    if (!ORIGIN_FORM.test(request.url ?? '')) return malformed('the target is not in origin-form');
    if (hosts !== 1) return malformed(hosts === 0 ? 'there is no Host header' : 'there is more than one Host header');
    if (upgrade && !mayUpgrade) return malformed('there is an Upgrade header');
    if (repeated || (length !== undefined && coding !== undefined)) return malformed('the length is given twice');
    if (length !== undefined && !/^\d+$/.test(length)) return malformed('the Content-Length is not a number');
    if (coding !== undefined && coding.toLowerCase() !== 'chunked')
      return malformed('the only accepted Transfer-Encoding is chunked');
    return undefined;
  };

  return { bodyBytes: coding === undefined ? Number(length ?? 0) : Number.POSITIVE_INFINITY, fault: fault() };
}
