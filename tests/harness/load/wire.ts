import { connect, type Socket } from 'node:net';

/** What an answer says that matters under load. */
export interface LoadAnswer {
  readonly status: number;
  readonly retryAfter: number | undefined;
  readonly text: string;
}

/**
 * One keep-alive connection over plain HTTP to this machine, which understands just enough of HTTP to be cheap: the
 * generator shares the cores with what it loads. Opens itself again when it was closed between two requests.
 */
export class Wire {
  readonly #port: number;
  #socket: Socket | undefined;
  #received = '';
  #waiting: { resolve: (answer: LoadAnswer) => void; reject: (cause: unknown) => void } | undefined;

  constructor(port: number) {
    this.#port = port;
  }

  /** Whether a next request needs no new connection. */
  get isOpen(): boolean {
    return this.#socket?.writable === true;
  }

  /** @throws Error when the connection was cut before an answer */
  ask(request: string): Promise<LoadAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<LoadAnswer>();
    this.#waiting = { resolve, reject };
    if (!this.#socket?.writable) this.#socket = this.#open();
    this.#socket.write(request, 'latin1');
    return promise;
  }

  close(): void {
    this.#waiting = undefined;
    this.#socket?.destroy();
  }

  #open(): Socket {
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true }).setEncoding('latin1');
    this.#received = '';
    socket.on('data', (chunk: string) => {
      this.#received += chunk;
      this.#deliver(socket);
    });
    const lost = (cause?: unknown): void => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      const waiting = this.#waiting;
      this.#waiting = undefined;
      waiting?.reject(cause ?? new Error('cut off without an answer'));
    };
    socket.on('error', lost).on('close', () => lost());
    return socket;
  }

  #deliver(socket: Socket): void {
    const end = this.#received.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = this.#received.slice(0, end);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    const bodyAt = end + 4;
    const chunked = /\r\ntransfer-encoding: *chunked/i.test(head);
    if (chunked ? !this.#received.endsWith('0\r\n\r\n') : this.#received.length < bodyAt + Number(length ?? 0)) return;
    const retryAfter = /\r\nretry-after: *(\d+)/i.exec(head)?.[1];
    const answer = {
      status: Number(head.slice(9, 12)),
      retryAfter: retryAfter === undefined ? undefined : Number(retryAfter),
      text: this.#received.slice(bodyAt),
    };
    this.#received = '';
    if (/\r\nconnection: *close/i.test(head)) {
      this.#socket = undefined;
      socket.destroy();
    }
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(answer);
  }
}
