/** A request as it arrived, before anything about it is believed. Made by `listen.ts`, read by the road. */
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
}

/** What goes back over the wire: every header, the body as text. */
export interface WireReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  /** Sent without a length, in chunks, as the original sends its errors. */
  readonly chunked: boolean;
}

/** The road, as the listener sees it. Never rejects. */
export interface Road {
  answer(request: WireRequest): Promise<WireReply>;
  /** The answer to bytes that did not become a request; `error` is what the listener made of them. */
  refuse(error: unknown): WireReply;
}
