import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { after, describe, type TestContext, test } from 'node:test';
import { listen } from '../../src/http/listen.ts';
import { ok, type Route, route } from '../../src/http/route.ts';
import type { RequestHandler, WireRequest } from '../../src/http/wire.ts';
import { type Reading, type ReadRequest, readRequests } from '../harness/http/reference-parser.ts';
import { type RawAnswer, takeAnswer } from '../harness/raw.ts';
import { writeResult } from '../harness/results.ts';
import { pipelineOf } from '../harness/test-pipeline.ts';
import { Draw } from '../harness/vectors/forgeries.ts';

// A thousand in every test run; `npm run harness -- framing` for a release (security-and-reliability, A2).
const COUNT = Number(process.env.TEST_FRAMING_CASES ?? 1000);
const SEED = Number(process.env.TEST_SEED ?? randomInt(2 ** 31));
const AT_ONCE = 8;

// ── Requests ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What an attacker hides in a body, for a server that loses count. */
const HIDDEN = 'GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n';

function validRequest(draw: Draw, number: number): string {
  const host = draw.pick(['Host: localhost', 'HOST:localhost', 'host:  localhost:7417']);
  const more = draw.pick([[], ['Accept: */*'], ['x-ms-date: Wed, 13 Apr 2022 18:09:12 GMT', 'Cookie:']]);
  const head = (method: string, target: string, ...lines: string[]) =>
    `${[`${method} ${target} HTTP/1.1`, ...more, host, ...lines].join('\r\n')}\r\n\r\n`;
  const body = draw.pick(['{}', HIDDEN, `x=1\r\n0\r\n\r\n${HIDDEN}`, '0\r\n\r\n', `{"number":${number}}`]);
  switch (draw.below(4)) {
    case 0:
      return head(draw.pick(['GET', 'DELETE']), `/things/${number}?a=b%20c`);
    case 1:
      return head('POST', `/things?number=${number}`, `Content-Length: ${body.length}`) + body;
    case 2: {
      const at = 1 + draw.below(body.length - 1);
      const chunks = [body.slice(0, at), body.slice(at)].map(
        (part) => `${part.length.toString(16)}${draw.pick(['', ';a=b'])}\r\n${part}\r\n`,
      );
      const trailer = draw.pick(['', 'X-Trailer: y\r\n']);
      return `${head('POST', `/things?number=${number}`, 'Transfer-Encoding: chunked')}${chunks.join('')}0\r\n${trailer}\r\n`;
    }
    default:
      return head('POST', '/things', 'Content-Length: 0');
  }
}

const LINES = [
  ...[
    'Transfer-Encoding: chunked',
    'Transfer-Encoding : chunked',
    'Transfer-Encoding:\tchunked',
    'Transfer-Encoding: xchunked',
  ],
  ...[
    'Transfer-Encoding: chunked, identity',
    'Transfer-Encoding: identity',
    'Transfer-Encoding:\x0bchunked',
    'Transfer-Encoding:',
    'transfer-encoding: Chunked',
  ],
  ...[
    'Transfer_Encoding: chunked',
    'X: y\rTransfer-Encoding: chunked',
    'X: y\nTransfer-Encoding: chunked',
    'TE: trailers',
    'Trailer: Content-Length',
  ],
  ...[
    'Content-Length: 0',
    'Content-Length: 5',
    'Content-Length: +5',
    'Content-Length: 5, 5',
    'Content-Length: 0x5',
    'Content-Length: 05',
    'Content-Length:',
    'Content-Length: 5 5',
  ],
  ...[
    'Content-Length : 5',
    ' Content-Length: 5',
    'Content-Length: 99999999999999999999',
    'Content-Length: -1',
    'Content\0-Length: 5',
    'Content_Length: 5',
  ],
  ...[
    'Host: evil.example',
    'Host:',
    'Host : localhost',
    'Connection: close',
    'Connection: keep-alive',
    'Connection: Transfer-Encoding',
    'Connection: upgrade',
    'Upgrade: h2c',
  ],
  ...[
    ' folded',
    '\tfolded',
    ':',
    ': x',
    'no colon',
    'X\0: y',
    'X: \0',
    'X: \x7f',
    'X: \xe4',
    '\xe4: x',
    'X: y\r',
    'Expect: 100-continue',
    '',
    `X: ${'y'.repeat(20_000)}`,
  ],
];
const CHARACTERS = [
  ...' \t\r\n\0:;,/?#%\\"+-0159aAfFgGxX\x0b\x0c\x7f\x80\xff',
  '\r\n',
  '\n\r',
  '\r\n\r\n',
  '0\r\n\r\n',
  '%0d%0a',
  'http://a',
  '\x16',
  'CONNECT a:1 HTTP/1.1\r\n\r\n',
  'y:z\r\n'.repeat(101),
  HIDDEN,
];

/** One change of a text that holds requests: of a character, a line, a size, or an end of line. */
function changed(text: string, draw: Draw): string {
  // The heads are short beside bodies, and what matters is in them.
  const end = text.indexOf('\r\n\r\n');
  const at = draw.below(draw.below(4) === 0 || end < 0 ? text.length + 1 : end + 5);
  const [before, here, behind] = [text.slice(0, at), text[at] ?? '', text.slice(at + 1)];
  const lines = text.split('\r\n');
  const line = 1 + draw.below(Math.max(1, Math.min(lines.length - 1, 8)));
  switch (draw.below(12)) {
    case 0:
      return before + draw.pick(CHARACTERS) + here + behind;
    case 1:
      return before + behind;
    case 2:
      return before + draw.pick(CHARACTERS) + behind;
    case 3:
      return before + String.fromCharCode((here.charCodeAt(0) || 0) ^ (1 << draw.below(8))) + behind;
    case 4:
      return before + behind.slice(0, 1) + here + behind.slice(1);
    case 5:
      return before + text.slice(at, at + draw.below(40)) + here + behind;
    case 6:
    case 7:
      return lines.toSpliced(line, 0, draw.pick(LINES)).join('\r\n');
    case 8:
      return lines.toSpliced(line, 1).join('\r\n');
    case 9:
      return lines.toSpliced(line, 0, lines[draw.below(lines.length)] ?? '').join('\r\n');
    case 10: {
      const numbers = [...text.matchAll(/(?<=Content-Length: |\r\n)[0-9a-f]+(?=[\r;])/g)];
      const number = numbers[draw.below(Math.max(1, numbers.length))];
      if (!number) return text.slice(0, at);
      const value = Number.parseInt(number[0], 16) + draw.below(5) - 2;
      return (
        text.slice(0, number.index) +
        draw.pick([String(value), value.toString(16), `0${value}`, `${value} `, `${value}\t;`]) +
        text.slice(number.index + number[0].length)
      );
    }
    default: {
      const ends = [...text.matchAll(/\r\n/g)];
      const { index = 0 } = ends[draw.below(Math.max(1, ends.length))] ?? {};
      return text.slice(0, index) + draw.pick(['\n', '\r', '\r\r\n', '\n\r', ' \r\n', '\r\n ']) + text.slice(index + 2);
    }
  }
}

interface Case {
  number: number;
  text: string;
  /** Where the bytes are cut into two writes; 0 for one. */
  cut: number;
}

/** One to three valid requests on one connection, with one to three changes. */
function mutated(seed: number, number: number): Case {
  const draw = new Draw(Math.imul(seed, 0x9e3779b1) + number);
  let text = Array.from({ length: 1 + draw.below(3) }, (_, index) => validRequest(draw, number * 3 + index)).join('');
  for (let changes = 1 + draw.below(3); changes > 0; changes--) text = changed(text, draw);
  return { number, text, cut: draw.below(2) === 0 ? 0 : draw.below(text.length) };
}

// ── Victims ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A server on a port of its own, and the requests that had an effect there since it was last asked. */
interface Victim {
  port: number;
  effects: () => ReadRequest[];
}

const THINGS: readonly Route[] = (
  ['GET /things/{id}', 'DELETE /things/{id}', 'POST /things', 'GET /hidden'] as const
).map((at, index) =>
  route({
    operation: `doThing${index}`,
    summary: 'Does a thing.',
    at,
    access: { caller: 'nobody' },
    answers: { 200: 'nothing' },
    handle: () => ok({}),
  }),
);

/** The real listener and the real request pipeline; it counts what got to the end of it. */
async function givenServer(t: TestContext): Promise<Victim> {
  let effects: ReadRequest[] = [];
  const pipeline = pipelineOf(THINGS);
  const watched: RequestHandler = {
    refuse: (error) => pipeline.refuse(error),
    async answer(request: WireRequest) {
      let body = '';
      const reply = await pipeline.answer({
        method: request.method,
        target: request.target,
        secure: request.secure,
        peer: request.peer,
        hasBody: request.hasBody,
        complete: request.complete,
        upgrades: request.upgrades,
        onEnd: (listener) => request.onEnd(listener),
        header: (name) => request.header(name),
        async readBody(limit) {
          const bytes = await request.readBody(limit);
          body = bytes.toString('latin1');
          return bytes;
        },
      });
      if (reply.status < 400) effects.push({ method: request.method, target: request.target, body });
      return reply;
    },
  };
  const door = await listen({
    hosts: ['127.0.0.1'],
    port: 0,
    tls: undefined,
    handler: watched,
    // A mutation may begin as TLS does.
    onProblem: (level, message) => level === 'debug' || message.includes('spoke HTTPS') || assert.fail(message),
  });
  t.after(() => door.close(0));
  return {
    port: door.port,
    effects: () => {
      const seen = effects;
      effects = [];
      return seen;
    },
  };
}

// ── The attack ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Sends the bytes, ends our half, and takes all that comes until the server ends the other. */
function sendAll(port: number, { text, cut }: Case): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  const parts: Buffer[] = [];
  const bytes = Buffer.from(text, 'latin1');
  socket.setTimeout(10_000, () => socket.destroy(new Error('the connection hangs')));
  socket.on('error', (error: NodeJS.ErrnoException) => (error.code === 'EPIPE' ? undefined : reject(error)));
  socket.on('data', (part: Buffer) => parts.push(part));
  socket.on('end', () => {
    socket.destroy();
    resolve(Buffer.concat(parts).toString('latin1'));
  });
  if (cut > 0) socket.write(bytes.subarray(0, cut), () => setImmediate(() => socket.end(bytes.subarray(cut))));
  else socket.end(bytes);
  return promise;
}

function answersIn(text: string, requests: readonly ReadRequest[]): RawAnswer[] | undefined {
  const answers: RawAnswer[] = [];
  for (let rest = text.replaceAll('HTTP/1.1 100 Continue\r\n\r\n', ''); rest !== ''; ) {
    const taken = takeAnswer(rest, { head: requests[answers.length]?.method === 'HEAD', ended: true });
    if (!taken || Number.isNaN(taken.answer.status)) return undefined;
    answers.push(taken.answer);
    rest = taken.rest;
  }
  return answers;
}

const sameRequest = (one: ReadRequest, other: ReadRequest | undefined): boolean =>
  one.method === other?.method && one.target === other.target && one.body === other.body;

/** What is wrong with how a server took the bytes. */
function complaintsAbout({ requests, tail }: Reading, effects: readonly ReadRequest[], received: string): string[] {
  const found: string[] = [];
  let from = 0;
  for (const effect of effects) {
    const index = requests.findIndex((request, at) => at >= from && sameRequest(effect, request));
    if (index < 0) found.push(`smuggled: ${JSON.stringify(effect)}`);
    else from = index + 1;
  }
  const answers = answersIn(received, requests);
  if (!answers) return [...found, `no answers: ${JSON.stringify(received.slice(0, 300))}`];
  const most = requests.length + (tail === 'end' ? 0 : 1);
  if (answers.length > most) found.push(`${answers.length} answers for at most ${most}`);
  const least = tail === 'refused' ? most : requests.length;
  if (answers.length < least && answers.every(({ status }) => status < 400))
    found.push(`${answers.length} answers for at least ${least}`);
  for (const { status, headers, body } of answers) {
    if (status >= 500 || status < 200) found.push(`status ${status}`);
    if (status >= 400 && body !== '' ? !hasEnvelope(headers, body) : status >= 400)
      found.push(`no envelope: ${status} ${body.slice(0, 100)}`);
  }
  return found;
}

function hasEnvelope(headers: Readonly<Record<string, string>>, body: string): boolean {
  try {
    const { error } = JSON.parse(body);
    return (
      headers['content-type'] === 'application/json' &&
      typeof error.code === 'string' &&
      typeof error.message === 'string'
    );
  } catch {
    return false;
  }
}

interface Outcome {
  complaints: string[];
  refused: number;
  taken: number;
}

async function attack(victims: readonly Victim[], count: number): Promise<Outcome> {
  const outcome: Outcome = { complaints: [], refused: 0, taken: 0 };
  let next = 0;
  // Each has a server of its own, so that an effect is the doing of one connection.
  const worker = async ({ port, effects }: Victim): Promise<void> => {
    while (next < count) {
      const one = mutated(SEED, next++);
      const reading = readRequests(one.text);
      let found: string[];
      try {
        const received = await sendAll(port, one);
        found = complaintsAbout(reading, effects(), received);
      } catch (cause) {
        found = [String(cause)];
      }
      if (reading.tail === 'refused') outcome.refused += 1;
      outcome.taken += reading.requests.length;
      if (found.length > 0)
        outcome.complaints.push(
          `seed ${SEED}, number ${one.number}: ${found.join('; ')} (${reading.requests.length}, then ${reading.tail}) for ${JSON.stringify(one.text.slice(0, 700))}`,
        );
    }
  };
  await Promise.all(victims.map(worker));
  return outcome;
}

let planted = false;

test(`${COUNT} mutated requests: none is smuggled, and each is answered, refusals in the envelope`, {
  timeout: 1_200_000,
}, async (t) => {
  const victims = await Promise.all(Array.from({ length: AT_ONCE }, () => givenServer(t)));
  const { complaints, refused, taken } = await attack(victims, COUNT);
  t.diagnostic(`seed ${SEED}: ${refused} to be refused, ${taken} requests to be taken`);
  figures = {
    cases: COUNT,
    smuggled: complaints.filter((one) => one.includes('smuggled')).length,
    withoutEnvelope: complaints.filter((one) => one.includes('no envelope')).length,
    complaints: complaints.length,
  };
  assert.deepEqual(complaints.slice(0, 10), []);
  assert.ok(refused > COUNT / 10 && taken > COUNT / 2, `${refused} ${taken}`);
});

let figures: Record<string, number> = { complaints: Number.NaN };
after(() => writeResult({ id: 'A2', seed: SEED, figures, passed: figures.complaints === 0, planted }));

describe('the attack reports', () => {
  /** Node's own server, forgiving, and with refusals of its own making. */
  async function givenForgivingServer(t: TestContext): Promise<Victim> {
    const effects: ReadRequest[] = [];
    const server = http.createServer(
      { insecureHTTPParser: true, requireHostHeader: false },
      async (request, response) => {
        const parts: Buffer[] = [];
        try {
          for await (const part of request) parts.push(part);
        } catch {
          return; // the connection was lost
        }
        const { method = '', url: target = '' } = request;
        effects.push({ method, target, body: Buffer.concat(parts).toString('latin1') });
        response.end('{}');
      },
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    return {
      port: (server.address() as net.AddressInfo).port,
      effects: () => effects.splice(0),
    };
  }

  test('requests that a forgiving parser lets through, and refusals without the envelope', async (t) => {
    const { complaints } = await attack([await givenForgivingServer(t)], 400);
    planted =
      complaints.some((one) => one.includes('smuggled')) && complaints.some((one) => one.includes('no envelope'));
    assert.ok(planted, complaints.join('\n'));
  });
});

test('the reference reads what is valid, and refuses what has two readings', () => {
  const one = 'POST /things HTTP/1.1\r\nHost: a\r\n';
  const valid: [string, string[]][] = [
    ['GET /a HTTP/1.1\r\nHost: a\r\n\r\n', ['']],
    [`${one}Content-Length: 2\r\n\r\n{}`, ['{}']],
    [`${one}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`, ['{}']],
    [`${one}Content-Length: 2\r\n\r\n{}${one}Content-Length: 1\r\n\r\n1`, ['{}', '1']],
    [`${one}Connection: close\r\n\r\n${one}\r\n`, ['']],
  ];
  for (const [text, bodies] of valid) {
    const { requests, tail } = readRequests(text);
    assert.deepEqual([requests.map(({ body }) => body), tail], [bodies, 'end'], text);
    for (let length = 1; length < text.length && !text.includes('close'); length++) {
      const { requests: fewer, tail: state } = readRequests(text.slice(0, length));
      assert.ok(state === 'cut' || fewer.length > 0, `${state} for ${JSON.stringify(text.slice(0, length))}`);
    }
  }
  for (const lines of [
    'Content-Length: 2\r\nContent-Length: 2',
    'Content-Length: 2\r\nTransfer-Encoding: chunked',
    'Transfer-Encoding : chunked',
    'Transfer-Encoding: gzip, chunked',
    'Content-Length: +2',
    'Host: b',
    ' folded',
    'X: y\nZ: z',
  ])
    assert.deepEqual(readRequests(`${one}${lines}\r\n\r\n{}`), { requests: [], tail: 'refused' }, lines);
});
