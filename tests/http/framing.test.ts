import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { ServiceError } from '../../src/errors.ts';
import type { BindOptions } from '../../src/http/bind.ts';
import type { WireLimits } from '../../src/http/connection.ts';
import { type Listener, listen, type ServeOptions, type TlsIdentity } from '../../src/http/listen.ts';
import type { RequestHandler, WireReply, WireRequest } from '../../src/http/wire.ts';

// ── The other side of the listener ──────────────────────────────────────────────────────────────────────────────────

const BODY_LIMIT = 100_000;

/** A handler of a few lines that remembers what reached it. An effect is what a route would do once it has the body. */
class FakeHandler implements RequestHandler {
  calls: WireRequest[] = [];
  effects: string[] = [];
  bodyErrors: unknown[] = [];
  #gates: (() => void)[] = [];

  async answer(request: WireRequest): Promise<WireReply> {
    this.calls.push(request);
    const path = request.target.split('?')[0];
    if (path === '/early') return envelope(new ServiceError('Denied'));
    if (path === '/throws') throw new Error('a bug in the handler');
    if (path === '/gate') await new Promise<void>((open) => this.#gates.push(open));
    if (path === '/soon') await sleep(5);
    if (path === '/large') return { ...reply(200, {}), body: 'x'.repeat(20_000_000) };
    if (path === '/empty') return { status: 204, headers: {}, body: undefined, chunked: false };
    if (request.method === 'HEAD' || request.method === 'TRACE') return envelope(new ServiceError('MethodNotAllowed'));
    let body: Buffer;
    try {
      body = await request.readBody(BODY_LIMIT);
    } catch (error) {
      this.bodyErrors.push(error);
      return this.refuse(error);
    }
    this.effects.push(body.toString('latin1'));
    return { ...reply(200, { target: request.target, body: body.toString('latin1') }), chunked: path === '/chunked' };
  }

  refuse(error: unknown): WireReply {
    return envelope(error instanceof ServiceError ? error : new ServiceError('Internal'));
  }

  openGates(): void {
    for (const open of this.#gates.splice(0)) open();
  }
}

const reply = (status: number, body: object): WireReply => ({
  status,
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(body),
  chunked: false,
});

const envelope = (error: ServiceError): WireReply =>
  reply(error.shape.status, { error: { code: error.shape.code, message: error.message } });

interface Setup {
  handler: FakeHandler;
  listener: Listener;
  port: number;
  problems: string[];
}

async function start(
  t: TestContext | undefined,
  limits: Partial<WireLimits> = {},
  more: Partial<BindOptions & ServeOptions> = {},
): Promise<Setup> {
  const handler = new FakeHandler();
  const problems: string[] = [];
  const onProblem = (level: string, message: string): unknown => problems.push(`${level}: ${message}`);
  const hosts = ['127.0.0.1'];
  const listener = await listen({ hosts, port: 0, tls: undefined, handler, onProblem, limits, ...more });
  t?.after(() => listener.close(0));
  return { handler, listener, port: listener.port, problems };
}

// ── A client that believes nothing ──────────────────────────────────────────────────────────────────────────────────

interface Answer {
  status: number;
  headers: Map<string, string>;
  body: string;
}

/** Reads every answer in what a server sent, and insists that there is nothing else. */
function parseAnswers(bytes: Buffer, { head = false } = {}): Answer[] {
  const answers: Answer[] = [];
  let rest = bytes.toString('latin1');
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n');
    const [first = '', ...lines] = rest.slice(0, end).split('\r\n');
    const status = /^HTTP\/1\.1 (\d{3}) [\w -]+$/.exec(first)?.[1];
    assert.ok(end > 0 && status, `not an answer: ${JSON.stringify(rest.slice(0, 200))}`);
    const headers = new Map(lines.map((line) => [line.split(': ')[0]?.toLowerCase() ?? '', line.split(': ')[1] ?? '']));
    assert.equal(headers.size, lines.length, 'a header is there twice');
    rest = rest.slice(end + 4);
    let body = '';
    if (headers.get('transfer-encoding') === 'chunked' && !head) {
      assert.ok(!headers.has('content-length'));
      for (let size = -1; size !== 0; ) {
        const line = rest.indexOf('\r\n');
        size = Number.parseInt(rest.slice(0, line), 16);
        body += rest.slice(line + 2, line + 2 + size);
        assert.equal(rest.slice(line + 2 + size, line + 4 + size), '\r\n');
        rest = rest.slice(line + 4 + size);
      }
    } else if (!head) {
      const length = Number(headers.get('content-length') ?? 0);
      body = rest.slice(0, length);
      assert.equal(body.length, length, 'the answer is cut short');
      rest = rest.slice(length);
    }
    answers.push({ status: Number(status), headers, body });
  }
  return answers;
}

function assertEnvelope(answer: Answer): void {
  assert.equal(answer.headers.get('content-type'), 'application/json');
  assert.ok(answer.headers.has('date'));
  const { error } = JSON.parse(answer.body) as { error: { code: unknown; message: unknown } };
  assert.equal(typeof error.code, 'string');
  assert.equal(typeof error.message, 'string');
}

/** Waits for something to become true, but not for ever. */
async function until(happened: () => boolean, what: string, withinMs = 3_000): Promise<void> {
  for (const end = performance.now() + withinMs; !happened(); await sleep(2)) {
    assert.ok(performance.now() < end, `waited ${withinMs} ms for ${what}`);
  }
}

/** A raw connection that keeps what it receives. */
class Wire {
  readonly socket: net.Socket;
  readonly #parts: Buffer[] = [];
  readonly closed: Promise<void>;
  error: Error | undefined;

  constructor(socket: net.Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('data', (part: Buffer) => this.#parts.push(part));
    socket.on('error', (error) => {
      this.error = error;
    });
  }

  static async open(port: number, { allowHalfOpen = false, host = '127.0.0.1' } = {}): Promise<Wire> {
    const socket = net.connect({ port, host, allowHalfOpen, noDelay: true });
    const wire = new Wire(socket);
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return wire;
  }

  get received(): Buffer {
    return Buffer.concat(this.#parts);
  }

  /** Waits until the server has ended its half, and lets go. */
  async untilEnded(withinMs = 3_000): Promise<Buffer> {
    const { socket } = this;
    const ended = new Promise<void>((resolve) => socket.once('end', resolve).once('close', () => resolve()));
    await this.#within(withinMs, ended, 'the connection to end');
    socket.destroy();
    return this.received;
  }

  /** Waits until the server has closed; a server that does not is a failure. */
  async untilClosed(withinMs = 3_000): Promise<Answer[]> {
    await this.untilGone(withinMs);
    return parseAnswers(this.received);
  }

  /** The same, when what was received is not a row of answers. */
  async untilGone(withinMs = 3_000): Promise<void> {
    await this.#within(withinMs, this.closed, 'the connection to close');
  }

  async untilReceived(pattern: RegExp, withinMs = 3_000): Promise<string> {
    await until(() => pattern.test(this.received.toString('latin1')), `${pattern}`, withinMs);
    return this.received.toString('latin1');
  }

  async #within(ms: number, event: Promise<void>, what: string): Promise<void> {
    const late = new AbortController();
    const timeout = sleep(ms, 'late', { signal: late.signal }).catch(() => 'aborted');
    const outcome = await Promise.race([event, timeout]);
    late.abort();
    if (outcome !== 'late') return;
    this.socket.destroy();
    assert.fail(`waited ${ms} ms for ${what}; received ${JSON.stringify(this.received.toString('latin1'))}`);
  }
}

const HOST = 'Host: localhost';
const lines = (...all: string[]): string => `${all.join('\r\n')}\r\n\r\n`;
const get = (target = '/', ...headers: string[]): string => lines(`GET ${target} HTTP/1.1`, HOST, ...headers);
const post = (headers: string[], body = ''): string => lines('POST /p HTTP/1.1', HOST, ...headers) + body;
const chunked = (body: string): string => post(['Transfer-Encoding: chunked'], body);
const FIVE = 'Content-Length: 5';

// ── Cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Case {
  name: string;
  send: string;
  /** Status of every answer, in order; empty: closed without one. */
  answers: number[];
  /** How often the handler may be called; 0 unless said. */
  calls?: number;
  /** How many bodies the handler may get to its end; as many as there are calls unless said. */
  effects?: number;
  /** The client ends its half after sending. Otherwise it is the server that must close. */
  ends?: boolean;
  head?: boolean;
}

const accepted = (name: string, send: string, more: Partial<Case> = {}): Case => ({
  name,
  send,
  answers: [200],
  calls: 1,
  ends: true,
  ...more,
});
const refused = (name: string, send: string, status = 400, more: Partial<Case> = {}): Case => ({
  name,
  send,
  answers: [status],
  ...more,
});
/** What the parser notices only after the headers: the handler may have been called, but never has an effect. */
const late = (name: string, send: string): Case => refused(name, send, 400, { calls: 1, effects: 0 });

const CASES: Case[] = [
  accepted('a plain GET', get()),
  accepted('a target with query and percent-encoding', get('/identities/8%3Aacs%3A1/:issueAccessToken?a=b&c')),
  accepted('a target that begins with two slashes', get('//evil.example/')),
  accepted('a body with a length', post([FIVE], 'hello')),
  accepted('a length of zero', post(['Content-Length: 0'])),
  accepted('a body in chunks', chunked('5\r\nhello\r\n0\r\n\r\n')),
  accepted('a body in chunks with an extension', chunked('5;a=b\r\nhello\r\n0\r\n\r\n')),
  accepted('a body in chunks with a trailer', chunked('5\r\nhello\r\n0\r\nX-Trailer: y\r\n\r\n')),
  accepted('the coding in capitals', post(['Transfer-Encoding: CHUNKED'], '0\r\n\r\n')),
  accepted('header names in capitals', lines('GET / HTTP/1.1', 'HOST: localhost')),
  accepted('a GET with a body', `${lines('GET / HTTP/1.1', HOST, FIVE)}hello`),
  accepted('an empty line before the request', `\r\n${get()}`),
  accepted('Connection: close', get('/', 'Connection: close'), { ends: false }),
  accepted('exactly 100 header lines', get('/', ...Array.from({ length: 99 }, (_, i) => `x-${i}: 1`))),
  accepted('headers just below 16 KiB', get('/', `x: ${'a'.repeat(16_000)}`)),
  accepted('two pipelined requests', get('/1') + get('/2'), { answers: [200, 200], calls: 2 }),
  accepted('pipelined requests with bodies', post([FIVE], 'first') + post([FIVE], 'other'), {
    answers: [200, 200],
    calls: 2,
  }),
  accepted('an expectation without a body, and then a request', get('/', 'Expect: 100-continue') + get('/2'), {
    ends: false,
  }),
  refused(
    'an expectation that is refused, and then a request',
    `${lines('POST /early HTTP/1.1', HOST, FIVE, 'Expect: 100-continue')}hello${get('/2')}`,
    401,
    { calls: 1, effects: 0 },
  ),
  accepted('a request and then garbage', `${get()}\0\0\r\n\r\n`, { answers: [200, 400], ends: false }),
  accepted('bytes after Connection: close', get('/', 'Connection: close') + get('/2'), { ends: false }),
  accepted('a request and then a CONNECT', get() + lines('CONNECT a:1 HTTP/1.1', HOST), {
    answers: [200, 400],
    ends: false,
  }),
  accepted('a request and then two Hosts', get() + get('/2', HOST), { answers: [200, 400], ends: false }),
  accepted('a request, a refused one and another', get() + get('/2', HOST) + get('/3'), {
    answers: [200, 400],
    ends: false,
  }),
  refused('TRACE, which the handler answers', lines('TRACE / HTTP/1.1', HOST), 405, {
    calls: 1,
    effects: 0,
    ends: true,
  }),
  refused('HEAD, which the handler answers', lines('HEAD / HTTP/1.1', HOST), 405, {
    calls: 1,
    effects: 0,
    ends: true,
    head: true,
  }),
  refused('HEAD that is refused before the handler', lines('HEAD / HTTP/1.1', HOST, HOST), 400, { head: true }),
  refused('HEAD that is no HTTP', lines('HEAD / HTTP/1.1', HOST, 'no header'), 400, { head: true }),
  refused('HEAD of a wrong version', lines('HEAD / HTTP/9.9', HOST), 400, { head: true }),
  refused('HEAD with too many headers', lines('HEAD / HTTP/1.1', HOST, `A: ${'a'.repeat(20_000)}`), 431, {
    head: true,
  }),

  // Two opinions on where the body ends.
  refused('length and coding', post([FIVE, 'Transfer-Encoding: chunked'], '0\r\n\r\n')),
  refused('coding and length', post(['Transfer-Encoding: chunked', FIVE], '0\r\n\r\nGET /x HTTP/1.1\r\n\r\n')),
  refused('two different lengths', post([FIVE, 'Content-Length: 6'], 'hello!')),
  refused('the same length twice', post([FIVE, FIVE], 'hello')),
  refused('a list of lengths', post(['Content-Length: 5, 5'], 'hello')),
  refused('a length with a sign', post(['Content-Length: +5'], 'hello')),
  refused('a negative length', post(['Content-Length: -5'], 'hello')),
  refused('a length in hexadecimal', post(['Content-Length: 0x5'], 'hello')),
  refused('an empty length', post(['Content-Length:'], 'hello')),
  refused('a length beyond 64 bits', post(['Content-Length: 99999999999999999999999'], 'hello')),
  refused('an unknown coding', post(['Transfer-Encoding: gzip'], 'hello')),
  refused('identity as coding', post(['Transfer-Encoding: identity'], 'hello')),
  refused('chunked not last', post(['Transfer-Encoding: chunked, gzip'], '0\r\n\r\n')),
  refused('a coding before chunked', post(['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n')),
  refused('chunked twice', post(['Transfer-Encoding: chunked, chunked'], '0\r\n\r\n')),
  refused('two Transfer-Encoding lines', post(['Transfer-Encoding: chunked', 'Transfer-Encoding: x'], '0\r\n\r\n')),
  refused('a misspelt coding', post(['Transfer-Encoding: xchunked'], '0\r\n\r\n')),
  refused('a quoted coding', post(['Transfer-Encoding: "chunked"'], '0\r\n\r\n')),
  refused('a vertical tab before chunked', post(['Transfer-Encoding: \x0bchunked'], '0\r\n\r\n')),
  refused('a folded coding', post(['Transfer-Encoding:', ' chunked'], '0\r\n\r\n')),
  refused('a space before the colon', post(['Transfer-Encoding : chunked'], '0\r\n\r\n')),
  refused('a space before the colon of the length', post(['Content-Length : 5'], 'hello')),
  refused('a folded header', get('/', 'X-A: 1', ' continued')),
  refused('a header line without a colon', get('/', 'X-A')),
  refused('a header line without a name', get('/', ': x')),
  refused('a space at the start of the first header', lines('GET / HTTP/1.1', ` ${HOST}`)),
  refused('bare LF everywhere', 'GET / HTTP/1.1\nHost: localhost\n\n'),
  refused('bare LF after a header', `GET / HTTP/1.1\r\n${HOST}\nX: y\r\n\r\n`),
  refused('bare CR in a header', get('/', 'X: a\rb')),
  refused('NUL in a header value', get('/', 'X: a\0b')),
  refused('NUL in a header name', get('/', 'X\0: a')),
  refused('NUL in the target', get('/a\0b')),

  // Chunks.
  late('a chunk size that is no number', chunked('z\r\nhello\r\n0\r\n\r\n')),
  late('a chunk size with a prefix', chunked('0x5\r\nhello\r\n0\r\n\r\n')),
  late('a negative chunk size', chunked('-5\r\nhello\r\n0\r\n\r\n')),
  late('a chunk size beyond 64 bits', chunked('fffffffffffffffff\r\nhello\r\n0\r\n\r\n')),
  late('a chunk size followed by a space', chunked('5 \r\nhello\r\n0\r\n\r\n')),
  late('a chunk longer than its size', chunked('5\r\nhello!\r\n0\r\n\r\n')),
  late('a chunk shorter than its size', chunked('6\r\nhello\r\n0\r\n\r\n')),
  late('a chunk ended by a bare LF', chunked('5\nhello\r\n0\r\n\r\n')),
  late('LF in a chunk extension', chunked('5;a\nb\r\nhello\r\n0\r\n\r\n')),
  late('a bad second chunk', chunked('5\r\nhello\r\nq\r\n')),
  late('a bad trailer', chunked('5\r\nhello\r\n0\r\nX : y\r\n\r\n')),
  { ...late('a body that ends too early', post([FIVE], 'hel')), ends: true },
  { ...late('chunks that end too early', chunked('5\r\nhel')), ends: true },
  { ...late('chunks without a last one', chunked('5\r\nhello\r\n')), ends: true },

  // The host that is asked, and what for.
  refused('no Host', lines('GET / HTTP/1.1', 'X: y')),
  refused('no header at all', 'GET / HTTP/1.1\r\n\r\n'),
  refused('two Hosts', get('/', 'Host: evil.example')),
  refused('the same Host twice', get('/', HOST)),
  refused('absolute-form', get('http://localhost/')),
  refused('absolute-form with another host', get('https://evil.example/x')),
  refused('OPTIONS *', lines('OPTIONS * HTTP/1.1', HOST)),
  refused('authority-form without CONNECT', get('localhost:80')),
  refused('a target without a slash', get('identities')),
  refused('a target with a fragment', get('/a#b')),
  refused('a target with a space', get('/a b')),
  refused('a target with bytes above ASCII', get('/\xe4')),
  refused('no target', lines('GET HTTP/1.1', HOST)),
  refused('CONNECT', lines('CONNECT localhost:80 HTTP/1.1', HOST)),
  refused('CONNECT with a body', `${lines('CONNECT localhost:80 HTTP/1.1', HOST, FIVE)}he`),

  // Other protocols.
  refused('HTTP/1.0', lines('GET / HTTP/1.0', HOST)),
  refused('HTTP/1.0 without Host', 'GET / HTTP/1.0\r\n\r\n'),
  refused('HTTP/0.9', 'GET /\r\n\r\n'),
  refused('HTTP/1.2', lines('GET / HTTP/1.2', HOST)),
  refused('HTTP/2.0 in the request line', lines('GET / HTTP/2.0', HOST)),
  refused('http in small letters', lines('GET / http/1.1', HOST)),
  refused('a version without a number', lines('GET / HTTP/', HOST)),
  refused('the HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'),
  refused('an upgrade to h2c', get('/', 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AA')),
  refused('an upgrade to WebSocket', get('/', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: x')),
  refused('an upgrade with a body', post(['Connection: Upgrade', 'Upgrade: x', FIVE], 'hello')),
  refused('Upgrade without Connection', get('/', 'Upgrade: h2c')),
  refused('garbage', '\x01\x02\x03\x04garbage'),
  refused('a TLS record where TLS is not spoken', '\x16\x03\x01\x02\0\x01garbage'),
  refused('a greeting of another protocol', 'EHLO mail.example.org\r\n'),
  refused('a method nobody knows', lines('FROB / HTTP/1.1', HOST)),
  refused('a method in small letters', lines('get / HTTP/1.1', HOST)),
  refused('a request line that ends too early', 'GET / HT', 400, { ends: true }),
  refused('headers that end too early', `GET / HTTP/1.1\r\n${HOST}\r\n`, 400, { ends: true }),
  { name: 'nothing at all', send: '', answers: [], ends: true },

  // Too much.
  refused('101 header lines', get('/', ...Array.from({ length: 100 }, (_, i) => `x-${i}: 1`)), 431),
  refused('3,000 header lines', get('/', ...Array.from({ length: 3_000 }, () => 'a:1')), 431),
  refused('a header above 16 KiB', get('/', `x: ${'a'.repeat(17_000)}`), 431),
  refused('a target above 16 KiB', get(`/${'a'.repeat(17_000)}`), 431),
  refused('a header of 1 MB', get('/', `x: ${'a'.repeat(1_000_000)}`), 431),
  refused('more than the body limit, announced', post(['Content-Length: 100001'], 'a'), 413, { calls: 1, effects: 0 }),
  refused('more than the body limit, in chunks', chunked(`186a1\r\n${'a'.repeat(100_001)}`), 413, {
    calls: 1,
    effects: 0,
  }),
  refused('an absurd length', post(['Content-Length: 9007199254740993'], 'a'), 413, { calls: 1, effects: 0 }),
  refused('an expectation nobody meets', post([FIVE, 'Expect: miracles']), 417),
  refused('100-continue and more', post([FIVE, 'Expect: 100-continue, miracles']), 417),
  refused('100-continue twice', post([FIVE, 'Expect: 100-continue', 'Expect: 100-continue']), 417),
];

describe('framing', () => {
  let setup: Setup;
  before(async () => {
    setup = await start(undefined, { lingerMs: 200 });
  });
  after(() => setup.listener.close(0));

  test('there are at least 60 cases', () => assert.ok(CASES.length >= 60));

  for (const { name, send, answers, calls = 0, effects = calls, ends = false, head = false } of CASES) {
    test(name, async () => {
      const { handler, port } = setup;
      handler.calls = [];
      handler.effects = [];
      const wire = await Wire.open(port, { allowHalfOpen: true });
      if (ends) wire.socket.end(Buffer.from(send, 'latin1'));
      else wire.socket.write(Buffer.from(send, 'latin1'));
      const got = parseAnswers(await wire.untilEnded(), { head });
      assert.deepEqual(
        got.map(({ status }) => status),
        answers,
      );
      for (const answer of got) if (answer.status >= 400 && !head) assertEnvelope(answer);
      if (!ends && answers.length > 0) assert.equal(got.at(-1)?.headers.get('connection'), 'close');
      assert.ok(handler.calls.length <= calls, `the handler was called ${handler.calls.length} times`);
      assert.equal(handler.effects.length, effects);
    });
  }
});

test('the same cases, byte by byte', async (t) => {
  const { handler, port } = await start(t, { lingerMs: 200 });
  const short = CASES.filter(({ send, head, name }) => send.length < 120 && !head && name !== 'nothing at all');
  await Promise.all(
    short.map(async ({ name, send, answers, ends }) => {
      const wire = await Wire.open(port, { allowHalfOpen: true });
      const ended = wire.untilEnded(20_000); // a hundred of them at once, on whatever machine
      for (const byte of Buffer.from(send, 'latin1')) {
        wire.socket.write(Buffer.of(byte));
        await sleep(1);
      }
      if (ends) wire.socket.end();
      const statuses = parseAnswers(await ended).map(({ status }) => status);
      assert.deepEqual(statuses, answers, name);
    }),
  );
  assert.ok(handler.effects.every((body) => ['', 'hello', 'first', 'other'].includes(body)));
});

// ── Requests and answers ────────────────────────────────────────────────────────────────────────────────────────────

test('the handler sees the request as it was sent', async (t) => {
  const { handler, port } = await start(t);
  const wire = await Wire.open(port);
  wire.socket.end(
    lines('POST /%7e//a?q=%20&q HTTP/1.1', HOST, 'x-Ms-Date: one', FIVE, 'X-MS-DATE: \ttwo ', 'Authorization:') +
      'hello',
  );
  await wire.untilClosed();

  const [request] = handler.calls;
  assert.ok(request);
  assert.equal(request.method, 'POST');
  assert.equal(request.target, '/%7e//a?q=%20&q');
  assert.deepEqual(request.header('x-ms-date'), ['one', 'two']);
  assert.deepEqual(request.header('authorization'), ['']);
  assert.deepEqual(request.header('x-absent'), []);
  assert.equal(request.secure, false);
  assert.equal(request.peer, '127.0.0.1');
  assert.equal(request.hasBody, true);
  await assert.rejects(request.readBody(1), /only once/);
});

test('a body is announced by a coding or a length above 0', async (t) => {
  const { handler, port } = await start(t);
  const wire = await Wire.open(port);
  wire.socket.end(get() + post(['Content-Length: 0']) + post([FIVE], 'hello') + chunked('0\r\n\r\n'));
  assert.equal((await wire.untilClosed()).length, 4);
  assert.deepEqual(
    handler.calls.map(({ hasBody }) => hasBody),
    [false, false, true, true],
  );
});

test('an answer has a length, or chunks, or by its status neither', async (t) => {
  const { port } = await start(t);
  const wire = await Wire.open(port);
  wire.socket.end(get('/') + get('/chunked') + get('/empty') + get('/chunked', 'Connection: close'));
  const [plain, inChunks, empty, last] = await wire.untilClosed();
  assert.equal(plain?.headers.get('content-length'), String(plain?.body.length));
  assert.equal(plain?.headers.get('transfer-encoding'), undefined);
  assert.equal(plain?.headers.get('keep-alive'), 'timeout=65');
  for (const answer of [inChunks, last]) {
    assert.equal(answer?.headers.get('transfer-encoding'), 'chunked');
    assert.deepEqual(JSON.parse(answer?.body ?? ''), { target: '/chunked', body: '' });
  }
  assert.equal(empty?.status, 204);
  for (const name of ['content-length', 'transfer-encoding', 'content-type']) assert.ok(!empty?.headers.has(name));
});

test('pipelined requests are answered in order and one after another', async (t) => {
  const { handler, port } = await start(t);
  const wire = await Wire.open(port);
  wire.socket.write(get('/gate') + post([FIVE], 'hello') + get('/3'));
  await sleep(50);
  assert.deepEqual(
    handler.calls.map(({ target }) => target),
    ['/gate'],
  );
  handler.openGates();
  wire.socket.end();
  const answers = await wire.untilClosed();
  const targets = answers.map(({ body }) => (JSON.parse(body) as { target: string }).target);
  assert.deepEqual(targets, ['/gate', '/p', '/3']);
});

test('more pipelined requests than one connection may have waiting are not taken in', async (t) => {
  const { handler, port } = await start(t, { maxPipelined: 4, lingerMs: 50 });
  let parsed = 0;
  const count = (): void => {
    parsed += 1;
  };
  subscribe('http.server.request.start', count);
  t.after(() => unsubscribe('http.server.request.start', count));
  const wire = await Wire.open(port);
  wire.socket.write(get('/gate') + get().repeat(5_000));
  await sleep(50);
  wire.socket.write(get().repeat(5_000));
  handler.openGates();
  const statuses = (await wire.untilClosed()).map(({ status }) => status);
  assert.deepEqual(statuses, [200, 200, 200, 200, 200, 429]);
  assert.equal(handler.calls.length, 5);
  assert.ok(parsed < 5_000, `${parsed} requests were parsed and kept for nothing`);
});

test('garbage does not overtake the answer before it', async (t) => {
  const { handler, port } = await start(t, { lingerMs: 50 });
  const wire = await Wire.open(port);
  wire.socket.write(get('/gate'));
  await sleep(20);
  wire.socket.write('garbage\0\r\n\r\n');
  await sleep(20);
  assert.equal(wire.received.length, 0);
  handler.openGates();
  const statuses = (await wire.untilClosed()).map(({ status }) => status);
  assert.deepEqual(statuses, [200, 400]);
});

test('a connection serves many requests', async (t) => {
  const { handler, port } = await start(t);
  const wire = await Wire.open(port);
  for (let i = 1; i <= 50; i += 1) {
    wire.socket.write(i % 2 === 0 ? get(`/${i}.`) : `${lines(`POST /${i}. HTTP/1.1`, HOST, FIVE)}hello`);
    await wire.untilReceived(new RegExp(`"/${i}\\.".*}$`));
  }
  wire.socket.end();
  assert.equal((await wire.untilClosed()).length, 50);
  assert.equal(handler.calls.length, 50);
});

test('a client that ends its half still gets its answers', async (t) => {
  const { handler, port } = await start(t);
  const wire = await Wire.open(port, { allowHalfOpen: true });
  wire.socket.end(get('/gate') + get('/2'));
  await sleep(50);
  handler.openGates();
  const answers = await wire.untilClosed();
  assert.deepEqual(
    answers.map(({ headers }) => headers.get('connection')),
    ['keep-alive', 'close'],
  );
});

test('a client that leaves in the middle of a body ends the reading', async (t) => {
  const { handler, port } = await start(t);
  const wire = await Wire.open(port);
  wire.socket.write(post([FIVE], 'he'));
  await until(() => handler.calls.length > 0, 'the handler to be called');
  wire.socket.resetAndDestroy();
  await until(() => handler.bodyErrors.length > 0, 'the reading to end');
  assert.equal((handler.bodyErrors[0] as ServiceError).error, 'RequestMalformed');
  assert.deepEqual(handler.effects, []);
});

test('a handler that breaks its promise costs one answer and nothing else', async (t) => {
  const { port, problems } = await start(t, { lingerMs: 50 });
  const wire = await Wire.open(port);
  wire.socket.write(get('/throws'));
  const [answer] = await wire.untilClosed();
  assert.equal(answer?.status, 500);
  assert.deepEqual(problems, ['error: a request could not be answered']);
});

// ── Bodies nobody reads ─────────────────────────────────────────────────────────────────────────────────────────────

for (const kind of ['length', 'chunks'] as const) {
  test(`an upload of 10 MB refused early gets its answer (${kind})`, async (t) => {
    const { port } = await start(t);
    const total = 10_000_000;
    const head = kind === 'length' ? `Content-Length: ${total}` : 'Transfer-Encoding: chunked';
    const uploads = Array.from({ length: 10 }, async () => {
      const wire = await Wire.open(port, { allowHalfOpen: true });
      wire.socket.write(lines('POST /early HTTP/1.1', HOST, head));
      if (kind === 'chunks') wire.socket.write(`${total.toString(16)}\r\n`);
      // Writes on whatever comes back, like a client that reads only when it has sent everything.
      for (let sent = 0; sent < total && wire.socket.writable; sent += 100_000) {
        wire.socket.write(Buffer.alloc(100_000, 'a'));
        await sleep(0);
      }
      const [answer, ...more] = await wire.untilClosed();
      assert.equal(answer?.status, 401);
      assert.equal(answer.headers.get('connection'), 'close');
      assert.equal(more.length, 0);
    });
    await Promise.all(uploads);
  });
}

test('a small body nobody reads costs no connection', async (t) => {
  const { port } = await start(t);
  const wire = await Wire.open(port);
  wire.socket.write(lines('POST /early HTTP/1.1', HOST, 'Content-Length: 60000'));
  await wire.untilReceived(/Denied/);
  wire.socket.write('a'.repeat(60_000));
  wire.socket.end(get('/next'));
  const answers = await wire.untilClosed();
  assert.deepEqual(
    answers.map(({ status, headers }) => [status, headers.get('connection')]),
    [
      [401, 'keep-alive'],
      [200, 'keep-alive'],
    ],
  );
});

test('a refused small body that then goes wrong is not answered twice', async (t) => {
  const { port } = await start(t, { requestTimeoutMs: 300, headersTimeoutMs: 300, checkIntervalMs: 30, lingerMs: 50 });
  const wire = await Wire.open(port);
  wire.socket.write(lines('POST /early HTTP/1.1', HOST, 'Content-Length: 60000'));
  const answers = await wire.untilClosed();
  assert.deepEqual(
    answers.map(({ status }) => status),
    [401],
  );
});

test('100 is sent when the body is wanted, and only then', async (t) => {
  const { handler, port } = await start(t, { lingerMs: 50 });
  const wanted = await Wire.open(port);
  wanted.socket.write(post([FIVE, 'Expect: 100-Continue']));
  await wanted.untilReceived(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
  assert.deepEqual(handler.effects, []);
  wanted.socket.end('hello');
  await wanted.untilGone();
  assert.match(wanted.received.toString(), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
  assert.deepEqual(handler.effects, ['hello']);

  const unwanted = await Wire.open(port);
  unwanted.socket.write(lines('POST /early HTTP/1.1', HOST, FIVE, 'Expect: 100-continue'));
  const statuses = (await unwanted.untilClosed()).map(({ status }) => status);
  assert.deepEqual(statuses, [401]);

  const tooLarge = await Wire.open(port);
  tooLarge.socket.write(post(['Content-Length: 10000000', 'Expect: 100-continue']));
  const more = (await tooLarge.untilClosed()).map(({ status }) => status);
  assert.deepEqual(more, [413]);
});

// ── Time ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const HASTY = { headersTimeoutMs: 300, requestTimeoutMs: 600, checkIntervalMs: 30, lingerMs: 50 };

/** Milliseconds until the server closed. */
async function cutAfter(wire: Wire): Promise<number> {
  const begin = performance.now();
  await wire.untilClosed(5_000);
  return performance.now() - begin;
}

function assertBetween(value: number, least: number, most: number): void {
  assert.ok(value >= least && value <= most, `${value} is not between ${least} and ${most}`);
}

describe('time', { concurrency: true }, () => {
  test('a connection that sends nothing is cut', async (t) => {
    const { port } = await start(t, HASTY);
    const wire = await Wire.open(port);
    assertBetween(await cutAfter(wire), 250, 2_000);
    assert.equal(wire.received.length, 0);
  });

  test('slow headers are cut, however steadily they come', async (t) => {
    const { port, handler } = await start(t, { ...HASTY, requestTimeoutMs: 4_000 });
    const wire = await Wire.open(port);
    wire.socket.write(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    const drip = setInterval(() => wire.socket.writable && wire.socket.write('x'), 20);
    t.after(() => clearInterval(drip));
    const cut = await cutAfter(wire);
    assertBetween(cut, 250, 2_000);
    const [answer] = parseAnswers(wire.received);
    assert.equal(answer?.status, 408);
    assertEnvelope(answer);
    assert.equal(handler.calls.length, 0);
  });

  test('slow headers are cut on a kept connection too', async (t) => {
    const { port } = await start(t, { ...HASTY, requestTimeoutMs: 4_000 });
    const wire = await Wire.open(port);
    wire.socket.write(get());
    await wire.untilReceived(/\{.*\}/);
    await sleep(100);
    wire.socket.write('GET / HT');
    assertBetween(await cutAfter(wire), 250, 2_000);
    const statuses = parseAnswers(wire.received).map(({ status }) => status);
    assert.deepEqual(statuses, [200, 408]);
  });

  test('a slow body is cut, and answered by the handler', async (t) => {
    const { port, handler } = await start(t, HASTY);
    const wire = await Wire.open(port);
    wire.socket.write(post(['Content-Length: 1000'], 'a'));
    const drip = setInterval(() => wire.socket.writable && wire.socket.write('x'), 20);
    t.after(() => clearInterval(drip));
    const cut = await cutAfter(wire);
    assertBetween(cut, 500, 2_500);
    const statuses = parseAnswers(wire.received).map(({ status }) => status);
    assert.deepEqual(statuses, [408]);
    assert.equal((handler.bodyErrors[0] as ServiceError).error, 'RequestTimeout');
  });

  test('an idle kept connection is cut', async (t) => {
    // Node adds a second to what it announces, so that the client is the first to give up.
    const { port } = await start(t, { ...HASTY, keepAliveTimeoutMs: 200 });
    const wire = await Wire.open(port);
    wire.socket.write(get());
    assertBetween(await cutAfter(wire), 1_000, 2_500);
  });

  test('a client that does not take its answer is cut', async (t) => {
    const { port } = await start(t, { ...HASTY, requestTimeoutMs: 300 });
    const begin = performance.now();
    const wires = await Promise.all(
      ['keep-alive', 'close'].map(async (connection) => {
        const wire = await Wire.open(port);
        wire.socket.pause();
        wire.socket.write(get('/large', `Connection: ${connection}`));
        return wire;
      }),
    );
    await sleep(900);
    for (const wire of wires) wire.socket.resume();
    await Promise.all(wires.map((wire) => wire.untilGone()));
    assertBetween(performance.now() - begin, 800, 2_500);
    for (const wire of wires) assert.ok(wire.received.length < 20_000_000);
  });
});

test('there is a cap on connections, and room again afterwards', async (t) => {
  const { port, problems } = await start(t, { maxConnections: 5 });
  const wires = await Promise.all(Array.from({ length: 5 }, () => Wire.open(port)));
  for (const wire of wires) {
    wire.socket.write(get());
    await wire.untilReceived(/200 OK/);
  }
  const refusedWire = await Wire.open(port);
  await refusedWire.untilClosed();
  assert.equal(refusedWire.received.length, 0);
  assert.deepEqual(problems, ['warn: connections are refused: there are too many']);

  wires[0]?.socket.destroy();
  await sleep(50);
  const next = await Wire.open(port);
  next.socket.end(get());
  assert.equal((await next.untilClosed())[0]?.status, 200);
});

// ── TLS ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A certificate for localhost that nobody will miss. */
function throwawayIdentity(name: string): TlsIdentity & { cert: string } {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-framing-'));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  try {
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
    const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1'];
    execFileSync('openssl', ['req', '-x509', ...kind, ...subject, '-keyout', key, '-out', cert], { stdio: 'ignore' });
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const hasIpv6 = await new Promise<boolean>((resolve) => {
  const probe = net.createServer().once('error', () => resolve(false));
  probe.listen({ host: '::1', port: 0 }, () => probe.close(() => resolve(true)));
});

function secureWire(port: number, options: tls.ConnectionOptions): Promise<Wire> {
  const socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ...options });
  const wire = new Wire(socket);
  return new Promise((resolve, reject) => {
    socket.once('secureConnect', () => resolve(wire)).once('error', reject);
  });
}

describe('TLS', () => {
  const identity = throwawayIdentity('first');

  for (const host of hasIpv6 ? ['127.0.0.1', '::1'] : ['127.0.0.1']) {
    test(`HTTP and HTTPS on the same port of ${host}`, async (t) => {
      const hosts = hasIpv6 ? ['127.0.0.1', '::1'] : ['127.0.0.1'];
      const { handler, port, listener } = await start(t, {}, { tls: identity, hosts });
      assert.deepEqual(listener.addresses, hosts);
      const plain = await Wire.open(port, { host });
      plain.socket.end(get());
      assert.equal((await plain.untilClosed())[0]?.status, 200);

      const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ca: identity.cert });
      for (const [i, size] of [0, 5, 90_000].entries()) {
        const url = `https://${host.includes(':') ? `[${host}]` : host}:${port}/${i}`;
        const body = await new Promise<string>((resolve, reject) => {
          const request = https.request(url, { agent, method: 'POST' }, (response) => {
            let text = '';
            response.on('data', (part) => {
              text += part;
            });
            response.on('end', () => resolve(text));
          });
          request.on('error', reject).end('x'.repeat(size));
        });
        assert.equal((JSON.parse(body) as { body: string }).body.length, size);
      }
      agent.destroy();
      assert.deepEqual(
        handler.calls.map(({ secure, peer }) => [secure, peer]),
        [false, true, true, true].map((secure) => [secure, host]),
      );
    });
  }

  test('the framing cases hold inside TLS', async (t) => {
    const { port } = await start(t, { lingerMs: 200 }, { tls: identity });
    const wires = CASES.filter(({ head, name }) => !head && name !== 'nothing at all').map(async (row) => {
      const wire = await secureWire(port, { ca: identity.cert });
      if (row.ends) wire.socket.end(Buffer.from(row.send, 'latin1'));
      else wire.socket.write(Buffer.from(row.send, 'latin1'));
      const statuses = (await wire.untilClosed()).map(({ status }) => status);
      assert.deepEqual(statuses, row.answers, row.name);
    });
    await Promise.all(wires);
  });

  test('an upload refused early gets its answer inside TLS', async (t) => {
    const { port } = await start(t, {}, { tls: identity });
    const wire = await secureWire(port, { ca: identity.cert });
    wire.socket.write(lines('POST /early HTTP/1.1', HOST, 'Content-Length: 10000000'));
    for (let sent = 0; sent < 100 && wire.socket.writable; sent += 1) {
      wire.socket.write(Buffer.alloc(100_000, 'a'));
      await sleep(0);
    }
    assert.equal((await wire.untilClosed())[0]?.status, 401);
  });

  test('nothing below TLS 1.2 and nothing but HTTP/1.1', async (t) => {
    const { port, problems } = await start(t, {}, { tls: identity });
    const ca = identity.cert;
    const oldest = { ca, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' } as const;
    await assert.rejects(secureWire(port, oldest));
    await assert.rejects(secureWire(port, { ca, ALPNProtocols: ['h2'] }));
    const wire = await secureWire(port, { ca, ALPNProtocols: ['h2', 'http/1.1'] });
    assert.equal((wire.socket as tls.TLSSocket).alpnProtocol, 'http/1.1');
    const older = await secureWire(port, { ca, maxVersion: 'TLSv1.2' });
    older.socket.end(get());
    assert.equal((await older.untilClosed())[0]?.status, 200);
    wire.socket.destroy();
    assert.ok(problems.length >= 2);
    assert.ok(problems.every((line) => line.startsWith('debug: ')));
  });

  test('0x16 followed by garbage is closed without an answer', async (t) => {
    const { port, handler, problems } = await start(t, {}, { tls: identity });
    const wire = await Wire.open(port);
    wire.socket.write('\x16garbage that is no handshake\r\n\r\n');
    await wire.untilGone();
    assert.doesNotMatch(wire.received.toString('latin1'), /HTTP/);
    assert.equal(handler.calls.length, 0);
    assert.ok(problems.every((line) => line.startsWith('debug: ')));
  });

  test('a handshake that does not go on is cut, within one deadline', async (t) => {
    const { port } = await start(t, { ...HASTY, headersTimeoutMs: 600 }, { tls: identity });
    const wire = await Wire.open(port);
    const begin = performance.now();
    await sleep(500);
    wire.socket.write('\x16\x03\x01\x02\0');
    await wire.untilGone();
    assertBetween(performance.now() - begin, 550, 1_000);
  });

  test('a finished handshake without a request is cut', async (t) => {
    const { port } = await start(t, HASTY, { tls: identity });
    const wire = await secureWire(port, { ca: identity.cert });
    assertBetween(await cutAfter(wire), 250, 2_000);
  });

  test('broken records and resets after the handshake do no harm', async (t) => {
    const { port, handler } = await start(t, {}, { tls: identity });
    for (const kind of ['garbage', 'reset'] as const) {
      const raw = net.connect(port, '127.0.0.1').on('error', () => {});
      const secured = tls.connect({ socket: raw, servername: 'localhost', ca: identity.cert }).on('error', () => {});
      await new Promise((resolve) => secured.once('secureConnect', resolve));
      secured.write(get('/gate'));
      await until(() => handler.calls.length > 0, 'the handler to be called');
      if (kind === 'garbage') raw.write('this is no TLS record, only noise');
      else raw.resetAndDestroy();
      await new Promise((resolve) => raw.once('close', resolve));
      handler.openGates();
      handler.calls = [];
    }
    const wire = await Wire.open(port);
    wire.socket.end(get());
    assert.equal((await wire.untilClosed())[0]?.status, 200);
  });

  test('the certificate can be replaced while connections are open', async (t) => {
    const { port, listener } = await start(t, {}, { tls: identity });
    const before = await secureWire(port, { ca: identity.cert });
    const second = throwawayIdentity('second');
    assert.throws(() => listener.setTls({ key: identity.key, cert: second.cert }));
    const still = await secureWire(port, { ca: identity.cert });
    listener.setTls(second);
    const next = await secureWire(port, { ca: second.cert });
    assert.equal((next.socket as tls.TLSSocket).getPeerCertificate().subject.CN, 'second');
    await assert.rejects(
      secureWire(port, { ca: second.cert, maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'ALL@SECLEVEL=0' }),
    );
    for (const wire of [before, still, next]) {
      wire.socket.end(get());
      assert.equal((await wire.untilClosed())[0]?.status, 200);
    }
  });
});

// ── Opening and closing ─────────────────────────────────────────────────────────────────────────────────────────────

test('a port in use is said with its code', async (t) => {
  const { port } = await start(t);
  await assert.rejects(start(undefined, {}, { port }), {
    code: 'EADDRINUSE',
    message: /127\.0\.0\.1 port \d+.* in use/,
  });
});

test('any free port means one that is free on every address', { skip: !hasIpv6 }, async (t) => {
  const listenOn = net.Server.prototype.listen;
  let taken = 3;
  t.mock.method(
    net.Server.prototype,
    'listen',
    function (this: net.Server, options: net.ListenOptions, ...more: unknown[]) {
      if (options.host !== '::1' || taken === 0) return Reflect.apply(listenOn, this, [options, ...more]) as net.Server;
      taken -= 1;
      process.nextTick(() => this.emit('error', Object.assign(new Error('taken'), { code: 'EADDRINUSE' })));
      return this;
    },
  );
  const { listener } = await start(t, {}, { hosts: ['127.0.0.1', '::1'] });
  assert.equal(taken, 0);
  assert.deepEqual(listener.addresses, ['127.0.0.1', '::1']);
});

for (const code of ['EADDRNOTAVAIL', 'EAFNOSUPPORT']) {
  test(`a machine without ::1 (${code}) is served on the others`, async (t) => {
    const listenOn = net.Server.prototype.listen;
    t.mock.method(
      net.Server.prototype,
      'listen',
      function (this: net.Server, options: net.ListenOptions, ...more: unknown[]) {
        if (options.host !== '::1') return Reflect.apply(listenOn, this, [options, ...more]) as net.Server;
        process.nextTick(() => this.emit('error', Object.assign(new Error(code), { code })));
        return this;
      },
    );
    const { listener, problems } = await start(t, {}, { hosts: ['127.0.0.1', '::1'] });
    assert.deepEqual(listener.addresses, ['127.0.0.1']);
    assert.deepEqual(problems, ['warn: this machine has no ::1, so the server does not listen there']);
    await assert.rejects(start(undefined, {}, { hosts: ['::1'] }), { code });
  });
}

test('a graceful stop under load loses no answer', async (t) => {
  const { handler, port, listener } = await start(t);
  let answered = 0;
  let stopped = false;
  const clients = Array.from({ length: 40 }, async () => {
    const wire = await Wire.open(port);
    let sent = 0;
    while (!stopped && wire.socket.writable) {
      wire.socket.write(get('/soon'));
      sent += 1;
      await until(() => parseCount(wire.received) >= sent || wire.socket.closed, 'an answer');
    }
    await wire.untilGone();
    const answers = parseAnswers(wire.received);
    for (const { status } of answers) assert.equal(status, 200);
    answered += answers.length;
  });
  await until(() => handler.calls.length > 200, 'some load');
  const begin = performance.now();
  await listener.close(5_000);
  stopped = true;
  await Promise.all(clients);
  assert.ok(performance.now() - begin < 2_000);
  assert.equal(answered, handler.calls.length);
  await assert.rejects(Wire.open(port), { code: 'ECONNREFUSED' });
});

const parseCount = (bytes: Buffer): number => bytes.toString('latin1').split('"body":""}').length - 1;

test('a stop closes what is idle at once, waits for what is not, and then waits no longer', async (t) => {
  const { handler, port, listener } = await start(t, { lingerMs: 100 }, { tls: throwawayIdentity('stop') });
  const silent = await Wire.open(port);
  const handshaking = await Wire.open(port);
  handshaking.socket.write('\x16\x03\x01');
  const idle = await Wire.open(port);
  idle.socket.write(get());
  await idle.untilReceived(/200 OK/);
  const begun = await Wire.open(port);
  begun.socket.write(`GET /begun HTTP/1.1\r\n${HOST}\r\n`);
  const working = await Wire.open(port);
  working.socket.write(get('/gate'));
  await until(() => handler.calls.length === 2, 'the handler to be called');

  const begin = performance.now();
  let closed = false;
  const closing = listener.close(1_000).then(() => {
    closed = true;
  });
  await Promise.all([silent, handshaking, idle].map((wire) => wire.untilGone()));
  assertBetween(performance.now() - begin, 0, 300);
  begun.socket.write('\r\n');
  const [late1] = await begun.untilClosed();
  assert.deepEqual([late1?.status, late1?.headers.get('connection')], [200, 'close']);
  await sleep(100);
  assert.equal(closed, false);
  handler.openGates();
  const [late2] = await working.untilClosed();
  assert.deepEqual([late2?.status, late2?.headers.get('connection')], [200, 'close']);
  await closing;
  assertBetween(performance.now() - begin, 100, 900);

  const other = await start(t);
  const stuck = await Wire.open(other.port);
  stuck.socket.write(get('/gate'));
  await until(() => other.handler.calls.length > 0, 'the handler to be called');
  await other.listener.close(100);
  const [refused] = await stuck.untilClosed();
  assert.deepEqual(
    [refused?.status, refused?.headers.get('connection')],
    [503, 'close'],
    'nobody is left without an answer',
  );
  other.handler.openGates();
});
