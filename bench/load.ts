import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { contentHash, signatureOf } from '../tests/harness/sign.ts';

/** An answer whose headers do not matter. */
export interface Answer {
  readonly status: number;
  readonly text: string;
}

/**
 * One keep-alive connection over plain HTTP to this machine. Understands just enough of HTTP to be cheap: the generator
 * shares the cores with what it measures.
 */
class Client {
  readonly #socket: Socket;
  #received = '';
  #waiting: { resolve: (answer: Answer) => void; reject: (cause: unknown) => void } | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      this.#received += chunk;
      this.#deliver();
    });
    const fail = (cause?: unknown): void => this.#waiting?.reject(cause ?? new Error('the server hung up'));
    socket.on('error', fail).on('close', () => fail());
  }

  ask(request: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(request, 'latin1');
    });
  }

  /** The server hangs up on those who are silent for a minute. */
  get isOpen(): boolean {
    return this.#socket.writable;
  }

  close(): void {
    this.#waiting = undefined;
    this.#socket.destroy();
  }

  #deliver(): void {
    const end = this.#received.indexOf('\r\n\r\n');
    if (end < 0) return;
    const bodyAt = end + 4;
    const length = /\r\ncontent-length: *(\d+)/i.exec(this.#received.slice(0, end))?.[1];
    // Only errors come in chunks, and errors end the run: their text may stay as it is.
    if (
      length === undefined ? !this.#received.endsWith('0\r\n\r\n') : this.#received.length < bodyAt + Number(length)
    ) {
      return;
    }
    const answer = { status: Number(this.#received.slice(9, 12)), text: this.#received.slice(bodyAt) };
    this.#received = '';
    this.#waiting?.resolve(answer);
  }
}

/** A number of connections that each send their next request when the answer to the last one has come. */
export class Load {
  readonly #port: number;
  #clients: readonly Client[];

  constructor(port: number, clients: readonly Client[]) {
    this.#port = port;
    this.#clients = clients;
  }

  static async open(port: number, connections: number): Promise<Load> {
    return new Load(port, await openClients(port, connections));
  }

  /**
   * Sends so many requests in all.
   * @param next makes the next request
   * @param take sees each answer
   * @returns seconds of wall time
   * @throws Error for any status but the expected one
   */
  async run(count: number, status: number, next: () => string, take?: (answer: Answer) => void): Promise<number> {
    const open = this.#clients.filter((client) => client.isOpen);
    this.#clients = [...open, ...(await openClients(this.#port, this.#clients.length - open.length))];
    const started = performance.now();
    let left = count;
    const work = async (client: Client): Promise<void> => {
      while (left-- > 0) {
        const answer = await client.ask(next());
        if (answer.status !== status) throw new Error(`${answer.status} instead of ${status}: ${answer.text}`);
        take?.(answer);
      }
    };
    await Promise.all(this.#clients.map(work));
    return (performance.now() - started) / 1000;
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }
}

async function openClients(port: number, count: number): Promise<Client[]> {
  const sockets = Array.from({ length: count }, () => connect({ port, host: '127.0.0.1', noDelay: true }));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  return sockets.map((socket) => new Client(socket));
}

/** Writes requests that are signed with an access key, with the headers that the JavaScript client sends. */
export class Signer {
  readonly #host: string;
  readonly #key: string;
  readonly #hashes = new Map<string, string>();
  #second = 0;
  #date = '';

  constructor(port: number, key: string) {
    this.#host = `localhost:${port}`;
    this.#key = key;
  }

  post(target: string, body: string): string {
    return this.#request('POST', target, body);
  }

  get(target: string): string {
    return this.#request('GET', target, '');
  }

  patch(target: string, body: string): string {
    return this.#request('PATCH', target, body);
  }

  #request(method: 'GET' | 'POST' | 'PATCH', target: string, body: string): string {
    const date = this.#dateNow();
    const hash = this.#hashOf(body);
    const signature = signatureOf(this.#key, `${method}\n${target}\n${date};${this.#host};${hash}`);
    return [
      `${method} ${target} HTTP/1.1`,
      `Host: ${this.#host}`,
      'Accept: application/json',
      'Accept-Encoding: gzip,deflate',
      'User-Agent: azsdk-js-communication-identity/1.3.1 core-rest-pipeline/1.22.0 Node/26.10.0 OS/(x64-Linux)',
      ...(method !== 'GET' ? ['Content-Type: application/json', `Content-Length: ${body.length}`] : []),
      'x-ms-client-request-id: 5a9f2c1e-7b7e-4b1c-9d0e-3f0f6f1d2c3b',
      `x-ms-date: ${date}`,
      `x-ms-content-sha256: ${hash}`,
      `Authorization: HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=${signature}`,
      '\r\n',
    ]
      .join('\r\n')
      .concat(body);
  }

  #hashOf(body: string): string {
    const known = this.#hashes.get(body);
    if (known !== undefined) return known;
    const hash = contentHash(body);
    this.#hashes.set(body, hash);
    return hash;
  }

  /** The same text for a whole second. */
  #dateNow(): string {
    const second = Math.floor(Date.now() / 1000);
    if (second !== this.#second) [this.#second, this.#date] = [second, new Date(second * 1000).toUTCString()];
    return this.#date;
  }
}

/** A request without a body. */
export const get = (port: number, target: string, headers: Readonly<Record<string, string>> = {}): string =>
  [
    `GET ${target} HTTP/1.1`,
    `Host: localhost:${port}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    '\r\n',
  ].join('\r\n');

const API_VERSION = 'api-version=2023-10-01';
const TWO_SCOPES = JSON.stringify({ scopes: ['chat', 'voip'] });

/** One request outside of all measuring. @returns the body @throws Error unless it is answered with 200 */
export async function read(port: number, target: string): Promise<string> {
  const load = await Load.open(port, 1);
  try {
    let body = '';
    await load.run(
      1,
      200,
      () => get(port, target),
      ({ text }) => {
        body = text;
      },
    );
    return body;
  } finally {
    load.close();
  }
}

/** The request for an identity. */
export const createRequest = (signer: Signer): string => signer.post(`/identities?${API_VERSION}`, '{}');

/** The request to look an identity up: signed like the others, reads one row and writes none. */
export const lookUpRequest = (signer: Signer, id: string): string =>
  signer.get(`/identities/${encodeURIComponent(id)}?${API_VERSION}`);

/** The request for a token with two scopes. */
export const issueRequest = (signer: Signer, id: string): string =>
  signer.post(`/identities/${encodeURIComponent(id)}/:issueAccessToken?${API_VERSION}`, TWO_SCOPES);
