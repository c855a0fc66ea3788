import assert from 'node:assert/strict';
import net from 'node:net';
import { after, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { deflateRawSync } from 'node:zlib';
import { type Client, eventually, openBoard, type Running, startPlane } from '../harness/http/made-up-plane.ts';
import { send } from '../harness/http.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

// Raw bytes at the upgrade and behind it. Whatever comes, the connection beside it goes on.

let server: TestServer;
let token: string;
let plane: Running;
let neighbour: Client;
const undo: (() => unknown)[] = [];
shareServer(async (started) => {
  server = started;
  token = await server.givenToken(await server.givenIdentity());
  const limits = { headersTimeoutMs: 400, checkIntervalMs: 50, lingerMs: 200 };
  const times = { pingMs: 60_000, closeMs: 200 };
  plane = await startPlane({ after: (step: () => unknown) => void undo.push(step) } as never, server, {
    limits,
    times,
  });
  neighbour = openBoard(plane, { token });
  await neighbour.opened;
});
after(async () => {
  for (const step of undo) await step();
});

type Change = (lines: string[]) => string[];

const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
const without =
  (name: string): Change =>
  (lines) =>
    lines.filter((line) => !line.startsWith(`${name}:`));
const withLine =
  (line: string): Change =>
  (lines) => [...lines, line];
const instead =
  (line: string): Change =>
  (lines) => [...without(line.slice(0, line.indexOf(':')))(lines), line];

/** The handshake of an honest client, changed. */
const handshake = (change: Change = (lines) => lines, line = 'GET /board/socket HTTP/1.1', body = ''): Buffer => {
  const lines = change([
    `Host: localhost:${plane.port}`,
    `Authorization: Bearer ${token}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    KEY,
  ]);
  return Buffer.from(`${[line, ...lines].join('\r\n')}\r\n\r\n${body}`, 'latin1');
};

/** A connection that keeps all that it receives. */
class Wire {
  readonly socket: net.Socket;
  readonly ended: Promise<void>;
  received = Buffer.alloc(0);

  constructor(secure = false) {
    const at = { port: plane.port, host: 'localhost', allowHalfOpen: true };
    this.socket = secure ? tls.connect({ ...at, ca: plane.caPem }) : net.connect(at);
    this.socket.on('data', (bytes: Buffer) => {
      this.received = Buffer.concat([this.received, bytes]);
    });
    this.socket.on('error', () => undefined);
    this.ended = new Promise((resolve) => {
      this.socket.once('end', resolve);
      this.socket.once('close', () => resolve());
    });
  }

  get text(): string {
    return this.received.toString('latin1');
  }

  /** Sends, and waits until the server has ended its side. */
  async toTheEnd(bytes: Buffer): Promise<string> {
    this.socket.write(bytes);
    await this.ended;
    this.socket.destroy();
    return this.text;
  }

  /** Opens a WebSocket. */
  async open(): Promise<void> {
    this.socket.write(handshake());
    await eventually(() => this.text.includes('\r\n\r\n'), 'the answer to the handshake');
    assert.match(this.text, /^HTTP\/1\.1 101 /);
    this.received = this.received.subarray(this.text.indexOf('\r\n\r\n') + 4);
  }

  /** The code of the close frame among the frames received; undefined when there is none. */
  get closeCode(): number | undefined {
    for (let at = 0; at + 2 <= this.received.length; ) {
      const [first = 0, length = 0] = this.received.subarray(at);
      if (first === 0x88) return this.received.readUInt16BE(at + 2);
      assert.ok(length < 126, 'a short frame');
      at += 2 + length;
    }
    return undefined;
  }
}

/** That nobody else was harmed. */
async function assertUnharmed(): Promise<void> {
  neighbour.socket.send('still here');
  assert.equal(await neighbour.next(), 'still here');
  const answer = await send(plane.port, { target: '/board', headers: { Authorization: `Bearer ${token}` } });
  assert.equal(answer.status, 200);
  await eventually(() => plane.board.sockets.size === 1, 'only the neighbour to be left');
}

interface Case {
  readonly name: string;
  readonly bytes: () => Buffer;
  readonly status?: number;
}

const FRAME = '\x81\x85\0\0\0\0hello';
const CASES: readonly Case[] = [
  ...['0', '8', '12', '14', '13, 8', ' 13,13', '+13', '013', '0xd', ''].map((version) => ({
    name: `version ${JSON.stringify(version)}`,
    bytes: () => handshake(instead(`Sec-WebSocket-Version: ${version}`)),
    status: 426,
  })),
  { name: 'no version', bytes: () => handshake(without('Sec-WebSocket-Version')), status: 426 },
  { name: 'the version twice', bytes: () => handshake(withLine('Sec-WebSocket-Version: 13')), status: 426 },
  ...['', 'x', 'dGhlIHNhbXBsZSBub25j', 'dGhlIHNhbXBsZSBub25jZSE=', `${'A'.repeat(22)}=`, `${'A'.repeat(23)}=`].map(
    (key) => ({
      name: `key ${JSON.stringify(key)}`,
      bytes: () => handshake(instead(`Sec-WebSocket-Key: ${key}`)),
    }),
  ),
  { name: 'a key of other letters', bytes: () => handshake(instead(`Sec-WebSocket-Key: ${'-'.repeat(22)}==`)) },
  { name: 'a very long key', bytes: () => handshake(instead(`Sec-WebSocket-Key: ${'A'.repeat(10_000)}`)) },
  { name: 'no key', bytes: () => handshake(without('Sec-WebSocket-Key')) },
  { name: 'the key twice', bytes: () => handshake(withLine(KEY)) },
  ...['h2c', 'WebSocket/13', 'websocket, h2c', 'TLS/1.0', 'websockets', ''].map((protocol) => ({
    name: `Upgrade: ${protocol}`,
    bytes: () => handshake(instead(`Upgrade: ${protocol}`)),
  })),
  { name: 'Upgrade twice', bytes: () => handshake(withLine('Upgrade: websocket')) },
  { name: 'Upgrade to two protocols', bytes: () => handshake(withLine('Upgrade: h2c')) },
  { name: 'Connection: keep-alive', bytes: () => handshake(instead('Connection: keep-alive')) },
  { name: 'no Connection', bytes: () => handshake(without('Connection')) },
  {
    name: 'no Upgrade',
    bytes: () => handshake((lines) => instead('Connection: close')(without('Upgrade')(lines))),
    status: 426,
  },
  ...['POST', 'HEAD', 'PUT', 'OPTIONS', 'TRACE'].map((method) => ({
    name: `the method ${method}`,
    bytes: () => handshake(undefined, `${method} /board/socket HTTP/1.1`),
  })),
  { name: 'CONNECT', bytes: () => handshake(undefined, 'CONNECT localhost:80 HTTP/1.1') },
  { name: 'HTTP/1.0', bytes: () => handshake(undefined, 'GET /board/socket HTTP/1.0') },
  { name: 'an absolute target', bytes: () => handshake(undefined, `GET http://localhost/board/socket HTTP/1.1`) },
  { name: 'another path', bytes: () => handshake(undefined, 'GET /board HTTP/1.1') },
  { name: 'a path that does not exist', bytes: () => handshake(undefined, 'GET /nothing HTTP/1.1') },
  { name: 'a body', bytes: () => handshake(withLine('Content-Length: 5'), undefined, 'hello') },
  { name: 'a body that never comes', bytes: () => handshake(withLine('Content-Length: 5')) },
  {
    name: 'a body in chunks',
    bytes: () => handshake(withLine('Transfer-Encoding: chunked'), undefined, '5\r\nhello\r\n0\r\n\r\n'),
  },
  {
    name: 'a body of two lengths',
    bytes: () => handshake((lines) => [...lines, 'Content-Length: 0', 'Content-Length: 5']),
  },
  { name: 'Expect', bytes: () => handshake(withLine('Expect: 100-continue')) },
  { name: 'a second Host', bytes: () => handshake(withLine('Host: localhost')) },
  { name: 'no Host', bytes: () => handshake(without('Host')) },
  { name: 'too many headers', bytes: () => handshake((lines) => [...lines, ...Array(100).fill('X: y')]), status: 431 },
  ...['a b', 'a,,b', 'a,', ',', '"a"', 'a, a', 'a\x01', Array.from({ length: 20 }, (_, n) => `p${n}`).join(), ''].map(
    (protocols) => ({
      name: `the subprotocols ${JSON.stringify(protocols)}`,
      bytes: () => handshake(withLine(`Sec-WebSocket-Protocol: ${protocols}`)),
    }),
  ),
  {
    name: 'subprotocols twice',
    bytes: () => handshake((lines) => [...lines, 'Sec-WebSocket-Protocol: a', 'Sec-WebSocket-Protocol: b']),
  },
  { name: 'a frame right behind the request', bytes: () => handshake(undefined, undefined, FRAME) },
  { name: 'a request right behind the request', bytes: () => Buffer.concat([handshake(), handshake()]) },
  {
    name: 'a smuggled request behind the request',
    bytes: () => handshake(undefined, undefined, 'GET /board HTTP/1.1\r\nHost: a\r\n\r\n'),
  },
  {
    name: 'h2c with the preface behind it',
    bytes: () => handshake(instead('Upgrade: h2c'), undefined, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  },
];

for (const secure of [false, true]) {
  describe(`at the upgrade over ${secure ? 'HTTPS' : 'HTTP'}`, () => {
    for (const { name, bytes, status = 400 } of CASES) {
      test(`${name} is refused with ${status}, in the usual envelope, and the connection is closed`, async () => {
        const text = await new Wire(secure).toTheEnd(bytes());
        assert.match(text, new RegExp(`^HTTP/1\\.1 ${status} `), text.slice(0, 300));
        assert.match(text, /\r\nConnection: (?:close|close, Upgrade)\r\n/i);
        const isHead = bytes().toString('latin1').startsWith('HEAD');
        assert.match(text, isHead ? /\r\n\r\n$/ : /\{"error":\{"code":"\w+","message":/);
        assert.equal(text.match(/HTTP\/1\.1 \d{3} /g)?.length, 1, 'one answer');
        await assertUnharmed();
      });
    }
  });
}

describe('at the upgrade', () => {
  test('extensions may be offered, and none is taken', async () => {
    const wire = new Wire();
    const offer = 'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame';
    wire.socket.write(handshake(withLine(offer)));
    await eventually(() => wire.text.includes('\r\n\r\n'), 'an answer');
    assert.match(wire.text, /^HTTP\/1\.1 101 /);
    assert.doesNotMatch(wire.text, /extensions/i);
    assert.match(wire.text, /\r\nMS-CV: [\w+/]{22}\.0\r\n/);
    assert.match(wire.text, /\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/);
    wire.socket.destroy();
    await assertUnharmed();
  });

  test('an upgrade behind a request that waits is refused after its answer', async () => {
    const wire = new Wire();
    const waiting = handshake((lines) => without('Upgrade')(without('Connection')(lines)), 'GET /board/next HTTP/1.1');
    wire.socket.write(Buffer.concat([waiting, handshake()]));
    await eventually(() => plane.log.lines.length > 0, 'a line');
    await sleep(50);
    assert.equal(wire.text, '');
    plane.board.put('note');
    assert.equal(await neighbour.next(), 'note');
    await wire.ended;
    assert.match(wire.text, /^HTTP\/1\.1 200 [\s\S]*\{"note":"note"\}HTTP\/1\.1 400 [\s\S]*"code":"BadRequest"/);
    await assertUnharmed();
  });

  test('an upgrade behind a request that was answered is taken', async () => {
    const wire = new Wire();
    const first = handshake((lines) => without('Upgrade')(without('Connection')(lines)), 'GET /board HTTP/1.1');
    wire.socket.write(first);
    await eventually(() => wire.text.endsWith('}'), 'the first answer');
    wire.received = Buffer.alloc(0);
    await wire.open();
    wire.socket.destroy();
    await assertUnharmed();
  });

  test('a handshake that comes slowly is cut', async () => {
    const wire = new Wire();
    const bytes = handshake();
    const since = performance.now();
    let at = 0;
    const drip = setInterval(() => {
      wire.socket.write(bytes.subarray(at, at + 5));
      at += 5;
    }, 50);
    await wire.ended;
    clearInterval(drip);
    assert.ok(at < bytes.length && performance.now() - since < 10_000);
    assert.match(wire.text, /^HTTP\/1\.1 408 /);
    await assertUnharmed();
  });

  test('a client that ends its half, or leaves, before the answer keeps nothing', async () => {
    for (const leave of ['end', 'destroy', 'resetAndDestroy'] as const) {
      const wire = new Wire();
      await new Promise((resolve) => wire.socket.once('connect', resolve));
      wire.socket.write(handshake());
      wire.socket[leave]();
      await wire.ended;
      await assertUnharmed();
    }
  });
});

/** A frame of a client. @param length announced, where it is not that of the payload */
function frame(
  payload: string | Buffer,
  { first = 0x81, masked = true, length }: { first?: number; masked?: boolean; length?: bigint } = {},
): Buffer {
  const bytes = Buffer.from(payload as string, 'latin1');
  const mask = Buffer.from(masked ? [1, 2, 3, 4] : []);
  const size = length ?? BigInt(bytes.length);
  const announced =
    size < 126n ? Buffer.of(Number(size)) : size < 65_536n ? Buffer.alloc(3, 126) : Buffer.alloc(9, 127);
  if (announced.length === 3) announced.writeUInt16BE(Number(size), 1);
  if (announced.length === 9) announced.writeBigUInt64BE(size, 1);
  if (masked) announced[0] = (announced[0] ?? 0) | 0x80;
  const content = masked ? bytes.map((byte, at) => byte ^ (mask[at % 4] ?? 0)) : bytes;
  return Buffer.concat([Buffer.of(first), announced, mask, content]);
}

const closing = (code: number, reason = ''): Buffer =>
  frame(Buffer.concat([Buffer.of(code >> 8, code & 255), Buffer.from(reason, 'latin1')]), { first: 0x88 });
const part = (payload: string, first: number) => frame(payload, { first });
const FIRST = 0x01;
const MORE = 0x00;
const LAST = 0x80;

const BOMB = deflateRawSync(Buffer.alloc(500_000));

const FRAMES: readonly (readonly [name: string, code: number, bytes: Buffer])[] = [
  ['an unmasked text', 1002, frame('hello', { masked: false })],
  ['an unmasked ping', 1002, frame('', { first: 0x89, masked: false })],
  ['the first reserved bit', 1002, frame('hello', { first: 0xc1 })],
  ['the second reserved bit', 1002, frame('hello', { first: 0xa1 })],
  ['the third reserved bit', 1002, frame('hello', { first: 0x91 })],
  ['a compression bomb', 1002, frame(BOMB, { first: 0xc2 })],
  ['a bomb in fragments', 1002, Buffer.concat([part('a', FIRST), frame(BOMB, { first: 0xc0 })])],
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map(
    (opcode) => [`the opcode ${opcode}`, 1002, frame('x', { first: 0x80 | opcode })] as const,
  ),
  ['a message over the limit', 1009, frame('x'.repeat(1001))],
  ['an announced length over the limit', 1009, frame('', { length: 1001n })],
  ['an announced length of 4 GiB', 1009, frame('', { length: 2n ** 32n })],
  ['an announced length of 2^63', 1009, frame('', { length: 2n ** 63n })],
  ['an announced length of 2^64 - 1', 1009, frame('', { length: 2n ** 64n - 1n })],
  ['fragments over the limit', 1009, Buffer.concat([part('x'.repeat(600), FIRST), part('x'.repeat(600), LAST)])],
  ['very many fragments', 1008, Buffer.concat([part('', FIRST), ...Array(2000).fill(part('', MORE))])],
  ['a ping in fragments', 1002, part('', 0x09)],
  ['a close in fragments', 1002, part('', 0x08)],
  ['a ping of 126 bytes', 1002, frame('x'.repeat(126), { first: 0x89 })],
  ['a fragment of nothing', 1002, part('x', LAST)],
  ['a message within another', 1002, Buffer.concat([part('x', FIRST), frame('y')])],
  ['text that is not UTF-8', 1007, frame('\xff\xfe')],
  ['overlong UTF-8', 1007, frame('\xc0\xaf')],
  ['UTF-8 that breaks off', 1007, frame('\xe2\x82')],
  ['fragments that are not UTF-8', 1007, Buffer.concat([part('\xe2', FIRST), part('x', LAST)])],
  ['a close frame of one byte', 1002, frame('x', { first: 0x88 })],
  ...[0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535].map(
    (code) => [`the close code ${code}`, 1002, closing(code)] as const,
  ),
  ['a close reason that is not UTF-8', 1007, closing(1000, '\xff')],
  ['HTTP', 1002, Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')],
  ['an honest close', 1000, closing(1000, 'bye')],
];

describe('behind the upgrade', () => {
  for (const [name, code, bytes] of FRAMES) {
    test(`${name} is closed with ${code}`, async () => {
      const wire = new Wire();
      await wire.open();
      const before = plane.seen.messages.length;
      wire.socket.write(bytes);
      await wire.ended;
      assert.equal(wire.closeCode, code);
      assert.equal(plane.seen.messages.length, before);
      wire.socket.destroy();
      await eventually(() => plane.log.lines.at(-1)?.message === 'socket closed', 'the line in the log');
      assert.equal(plane.log.lines.at(-1)?.facts.code, code);
      await assertUnharmed();
    });
  }

  test('a message in fragments, with a ping between them and cut anywhere, is one message', async () => {
    const wire = new Wire();
    await wire.open();
    const all = Buffer.concat([part('\xe2\x82', FIRST), frame('p', { first: 0x89 }), part('\xac!', LAST)]);
    for (const byte of all) {
      wire.socket.write(Buffer.of(byte));
      await sleep(1);
    }
    await eventually(() => plane.seen.messages.at(-1) === '€!', 'the message');
    await eventually(() => wire.received.length >= 3, 'the pong');
    assert.deepEqual([...wire.received.subarray(0, 3)], [0x8a, 1, 'p'.charCodeAt(0)]);
    wire.socket.destroy();
    await assertUnharmed();
  });

  test('a client that ends its half, or tears the connection in the middle of a frame, keeps nothing', async () => {
    for (const leave of ['end', 'destroy', 'resetAndDestroy'] as const) {
      const wire = new Wire();
      await wire.open();
      wire.socket.write(frame('hello').subarray(0, 4));
      await sleep(10);
      wire.socket[leave]();
      await wire.ended;
      wire.socket.destroy();
      await assertUnharmed();
    }
  });

  test('a client that does not answer the close is cut', async () => {
    const wire = new Wire();
    await wire.open();
    wire.socket.write(frame('leave'));
    await wire.ended;
    assert.equal(wire.closeCode, 4000);
    wire.socket.destroy();
    await assertUnharmed();
  });

  test('a flood of pings, and of messages that take a while, slows nobody else down', async () => {
    const wire = new Wire();
    await wire.open();
    wire.socket.write(Buffer.concat(Array(5_000).fill(frame('', { first: 0x89 }))));
    wire.socket.write(Buffer.concat(Array(50).fill(frame('slow'))));
    await assertFasterThan(5_000);
    wire.socket.destroy();
    await eventually(() => plane.board.sockets.size === 1, 'the flood to be over');
    await assertUnharmed();
  });
});

/** That the neighbour is answered while a flood goes on. */
async function assertFasterThan(ms: number): Promise<void> {
  neighbour.socket.send('beside a flood');
  const answer = await Promise.race([neighbour.next(), sleep(ms, 'too late')]);
  assert.equal(answer, 'beside a flood');
}
