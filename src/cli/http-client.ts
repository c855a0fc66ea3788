import { createHash, createHmac } from 'node:crypto';
import type { Agent, IncomingMessage, OutgoingHttpHeaders, RequestOptions } from 'node:http';
import { http } from '../lib/node-http.ts';
import { type Connection, isThisMachine } from './connection-string.ts';
import { CommandError } from './exit.ts';

/** How a server is reached. */
export interface Line {
  readonly endpoint: URL;
  /** What named it, for messages: an option or a variable. */
  readonly source: string;
  /** Address of a server on this machine, for messages. */
  readonly here: string;
  /** Authorities to trust, PEM; undefined: those of the system and of NODE_EXTRA_CA_CERTS. */
  readonly ca: readonly string[] | undefined;
}

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

interface Options {
  /** An object is sent as JSON, a text as a form. */
  body?: object | string | undefined;
  /** Longest silence, in milliseconds. */
  patienceMs?: number;
}

/** Talks to a server as somebody. */
export interface Client {
  /** @returns the JSON of the answer, undefined when there was none. @throws CommandError with the server's own words */
  call<T>(method: Method, target: string, options?: Options): Promise<T>;
}

/** A server's refusal. */
export class Refusal extends CommandError {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const PATIENCE_MS = 60_000;

/** Signs every request with an access key (identity-protocol, section 3.1). */
export function serviceClient({ endpoint, accessKey }: Connection, line: Line): Client {
  return client(line, (method, target, body) => {
    const date = new Date().toUTCString();
    const hash = createHash('sha256').update(body).digest('base64');
    const text = `${method}\n${target}\n${date};${endpoint.host};${hash}`;
    const signature = createHmac('sha256', accessKey).update(text).digest('base64');
    return {
      'x-ms-date': date,
      'x-ms-content-sha256': hash,
      Authorization: `HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=${signature}`,
    };
  });
}

/** Shows the operator key with every request. */
export const operatorClient = (line: Line, key: string): Client =>
  client(line, () => ({ Authorization: `Bearer ${key}` }));

type Proof = (method: Method, target: string, body: Buffer) => OutgoingHttpHeaders;

function client(line: Line, proof: Proof): Client {
  let agent: Promise<Agent> | undefined;
  return {
    async call<T>(method: Method, target: string, { body, patienceMs = PATIENCE_MS }: Options = {}): Promise<T> {
      const bytes = Buffer.from(body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body));
      const headers = {
        Host: line.endpoint.host,
        'Content-Type': typeof body === 'string' ? 'application/x-www-form-urlencoded' : 'application/json',
        'Content-Length': String(bytes.length),
        ...proof(method, target, bytes),
      };
      agent ??= agentFor(line);
      const options = { method, path: target, headers, timeout: patienceMs, agent: await agent };
      const answer = await send(line, options, bytes);
      if (answer.status >= 400) throw refusalFrom(answer);
      return (answer.text === '' ? undefined : jsonFrom(answer)) as T;
    },
  };
}

/** Keeps connections for the requests that follow: to set one up takes 12 ms of processor time. None holds up the end. */
async function agentFor({ endpoint, ca }: Line): Promise<Agent> {
  const { Agent } = endpoint.protocol === 'https:' ? await import('node:https') : http;
  return new Agent({ keepAlive: true, ...(ca && { ca: [...ca] }) });
}

interface Answer {
  readonly status: number;
  readonly text: string;
  /** Why, from a server in dev mode. */
  readonly reason: string | undefined;
}

async function send(line: Line, options: RequestOptions, body: Buffer): Promise<Answer> {
  const { endpoint } = line;
  const secure = endpoint.protocol === 'https:';
  const { request } = secure ? await import('node:https') : http;
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const { hostname, port } = endpoint;
  const sent = request(
    {
      ...options,
      host: hostname.replace(/^\[|\]$/g, ''),
      ...(port && { port }),
    },
    resolve,
  );
  sent.on('error', reject);
  sent.on('timeout', () => sent.destroy(Object.assign(new Error('silence'), { code: 'ETIMEDOUT' })));
  sent.end(body);
  try {
    const response = await promise;
    const text = Buffer.concat(await response.toArray()).toString('utf8');
    const reason = response.headers['x-linarite-reason'];
    return { status: response.statusCode ?? 0, text, reason: typeof reason === 'string' ? reason : undefined };
  } catch (cause) {
    throw new CommandError(failureText(line, cause), { cause });
  }
}

/** Codes by which Node says that a certificate is not to be trusted. */
const UNTRUSTED_CODES = /^(?:DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|ERR_TLS_CERT|CERT_)/;

/** And that there is no TLS at all at the other end: what came was the beginning of an answer in plain text. */
const NO_TLS = /^(?:EPROTO|ERR_SSL_(?:WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST))$/;

function failureText({ endpoint, source, here }: Line, cause: unknown): string {
  const { origin, hostname } = endpoint;
  const { code = 'unknown', message } = cause as { code?: string; message?: string };
  if (code === 'ECONNREFUSED')
    return `no server answers at ${origin} (from ${source}): start one with \`linarite serve\`; if it listens at another address, set LINARITE_PORT or give --endpoint`;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return `the name ${hostname} (from ${source}) cannot be resolved on this machine (${code}): on the machine of the server, try --endpoint ${here}`;
  if (NO_TLS.test(code) && endpoint.protocol === 'https:')
    return `the server at ${origin} (from ${source}) does not speak HTTPS: on its own machine use --endpoint http://${isThisMachine(endpoint) ? endpoint.host : here.slice('http://'.length)}`;
  if (code === 'ETIMEDOUT') return `the server at ${origin} does not answer`;
  if (UNTRUSTED_CODES.test(code))
    return `the certificate of ${hostname} is not trusted (${code}): give its certificate authority with --ca`;
  return `${origin} cannot be reached: ${message || code}`;
}

function refusalFrom({ status, text, reason }: Answer): Refusal {
  const { code = String(status), message = 'the server gave no reason' } = errorOf(text) ?? {};
  const why = reason === undefined ? '' : ` (${reason})`;
  return new Refusal(status, code, `${code}: ${message}${why}`);
}

function errorOf(text: string): { code?: string; message?: string } | undefined {
  try {
    return (JSON.parse(text) as { error?: { code?: string; message?: string } }).error;
  } catch {
    return undefined; // something else answered, such as a proxy
  }
}

function jsonFrom({ text }: Answer): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CommandError('the answer is not JSON: is there a Linarite server at that address?', { cause });
  }
}
