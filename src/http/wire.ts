import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/** Why nobody waits for an answer any longer: the client has left, or the server stops. */
export type WireEnd = 'gone' | 'stopping';

/** A request as it arrived, before anything about it is trusted. Made by `listen.ts`, read by the request pipeline. */
export interface WireRequest {
  readonly method: string;
  /** The request target exactly as sent. Origin-form: begins with `/`. */
  readonly target: string;
  /** Values of a header in order of arrival, under its lower-case name; empty when it was not sent. */
  header(name: string): readonly string[];
  /** Whether the connection is encrypted. */
  readonly secure: boolean;
  /** The address at the other end of the connection, such as `127.0.0.1` or `::1`. */
  readonly peer: string;
  /** True when a body was announced: a transfer coding, or a length above 0. */
  readonly hasBody: boolean;
  /** Whether the last byte has arrived, read or not. */
  readonly complete: boolean;
  /**
   * Reads the body, once, as it was sent. Nothing is buffered before this is called.
   * @param onBytes told of the bytes as they come; may throw, and then the reading ends with what it threw
   * @throws ServiceError `BodyTooLarge` (at once when announced, else at the limit), `RequestMalformed`
   */
  readBody(limitBytes: number, onBytes?: (bytes: number) => void): Promise<Buffer>;
  /** Whether the client wants to go on with WebSocket frames (RFC 6455), and asked for it correctly. */
  readonly upgrades: boolean;
  /** Tells once, also of what has happened before, that nobody waits for the answer any longer. */
  onEnd(listener: (why: WireEnd) => void): void;
}

/** A connection whose client waits for `101 Switching Protocols`. */
export interface Handshake {
  readonly request: IncomingMessage;
  readonly socket: Socket;
  /** Of the answer, beside those of the handshake itself. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Goes on with a connection in another protocol. Exactly one of the two is called, once. */
export interface Takeover {
  /** Writes the `101` and takes the connection, which HTTP does not touch any more. */
  take(handshake: Handshake): void;
  /** The client has left meanwhile. */
  drop(): void;
}

/** What goes back over the wire: every header, and the body. */
export interface WireReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array | undefined;
  /** Sent without a length, in chunks, as the original sends its errors. */
  readonly chunked: boolean;
  /** In place of an answer, for a request that {@link WireRequest.upgrades}. */
  readonly takeover?: Takeover | undefined;
}

/** The request pipeline, as the listener sees it. Never rejects. */
export interface RequestHandler {
  /** Whether a WebSocket may be asked for at a target. Undefined: nowhere. */
  offersSocket?(target: string): boolean;
  answer(request: WireRequest): Promise<WireReply>;
  /** The answer to bytes that did not become a request; `error` is what the listener made of them. */
  refuse(error: unknown): WireReply;
}
