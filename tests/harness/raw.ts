import net from 'node:net';

/** An answer read from a socket that the server closed. */
export interface RawAnswer {
  status: number;
  /** Header values under their lower-case names. */
  headers: Record<string, string>;
  body: string;
}

/** A request of exactly these lines: for what `node:http` would refuse to send, tidy up or join. */
export const requestText = (
  line: string,
  headers: readonly (readonly [string, string])[],
  body: string | Buffer = '',
): Buffer =>
  Buffer.concat([
    Buffer.from(
      `${line} HTTP/1.1\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
      'latin1',
    ),
    Buffer.from(body),
  ]);

/**
 * Sends bytes and reads until the server closes, which it does after `Connection: close` and after a refusal for which
 * it will not wait for the rest.
 */
export function sendRaw(port: number, bytes: string | Buffer, patienceMs = 10_000): Promise<RawAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>();
  const socket = net.connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.setTimeout(patienceMs, () => socket.destroy(new Error(`no answer within ${patienceMs} ms`)));
  socket.on('error', reject);
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('end', () => {
    socket.destroy();
    resolve(readAnswer(Buffer.concat(chunks).toString('latin1')));
  });
  socket.write(bytes);
  return promise;
}

/** The answer in all that came before the connection ended; without a status when it is none. */
function readAnswer(text: string): RawAnswer {
  return takeAnswer(text, { ended: true })?.answer ?? { status: Number.NaN, headers: {}, body: text };
}

/**
 * Takes one answer off the front of what a server sent. Reads it as RFC 9112 says and no more forgivingly.
 * @returns the answer and what follows it; undefined while it is not complete
 */
export function takeAnswer(
  text: string,
  { head = false, ended = false } = {},
): { answer: RawAnswer; rest: string } | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [statusLine = '', ...lines] = text.slice(0, end).split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1] ?? Number.NaN);
  const headers = Object.fromEntries(
    lines.map((line) => [
      line.slice(0, line.indexOf(':')).toLowerCase(),
      line.slice(line.indexOf(':') + 1).trimStart(),
    ]),
  );
  const whole = (size: number, body = text.slice(end + 4, size)) => ({
    answer: { status, headers, body },
    rest: text.slice(size),
  });
  if (head || status === 204) return whole(end + 4);
  if (headers['transfer-encoding'] === 'chunked') {
    let body = '';
    for (let at = end + 4; ; ) {
      const line = text.indexOf('\r\n', at);
      if (line < 0) return undefined;
      const size = Number.parseInt(text.slice(at, line), 16);
      if (!(text.length >= line + 2 + size + 2)) return undefined;
      body += text.slice(line + 2, line + 2 + size);
      at = line + 2 + size + 2;
      if (size === 0) return whole(at, body);
    }
  }
  const length = headers['content-length'];
  if (length === undefined) return ended ? whole(text.length) : undefined;
  return text.length < end + 4 + Number(length) ? undefined : whole(end + 4 + Number(length));
}

/** A client that keeps its connection as long as the server does, for many requests of exactly the wanted bytes. */
export class RawClient {
  readonly #port: number;
  #socket: net.Socket | undefined;

  constructor(port: number) {
    this.#port = port;
  }

  /** @throws Error when no whole answer comes in time, or more than one */
  send(bytes: Buffer, { head = false, patienceMs = 10_000 } = {}): Promise<RawAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>();
    this.#socket ??= net.connect({ port: this.#port, host: '127.0.0.1', noDelay: true }).on('error', () => undefined); // between two requests nobody listens
    const socket = this.#socket;
    let text = '';
    const read = (chunk?: Buffer): void => {
      text += chunk?.toString('latin1') ?? '';
      const taken = takeAnswer(text, { head, ended: chunk === undefined });
      // A refusal of bytes that became no request does not know that they asked with HEAD; it is the last on its connection.
      const isLast = head && taken?.answer.headers.connection === 'close';
      if (taken && (taken.rest === '' || isLast)) finish(taken.answer);
      else if (taken) fail(new Error(`more than one answer: ${taken.rest.slice(0, 200)}`));
      else if (chunk === undefined) fail(new Error(`no whole answer before the end: ${text.slice(0, 200)}`));
    };
    const ended = (): void => read();
    const late = (): void => fail(new Error(`no answer within ${patienceMs} ms`));
    const fail = (error: Error): void => {
      release();
      this.close();
      reject(error);
    };
    const finish = (answer: RawAnswer): void => {
      release();
      if (answer.headers.connection !== 'keep-alive') this.close();
      resolve(answer);
    };
    const release = (): void => {
      socket.setTimeout(0);
      socket.off('data', read).off('end', ended).off('error', fail).off('timeout', late);
    };
    socket.setTimeout(patienceMs);
    socket.on('data', read).on('end', ended).on('error', fail).on('timeout', late);
    socket.write(bytes);
    return promise;
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }
}
