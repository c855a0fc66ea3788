import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { DEV_RESOURCE } from '../../src/resources/resource.ts';
import { cli } from '../harness/cli.ts';
import { requestText, sendRaw } from '../harness/raw.ts';
import { writeResult } from '../harness/results.ts';
import { Random } from '../harness/revocation/simulation.ts';
import { WatchedServer } from '../harness/secrets/watched-server.ts';
import { contentHash, sign } from '../harness/sign.ts';

/** Hostile requests; 20,000 for a release: `npm run harness -- secrets`. */
const COUNT = Number(process.env.TEST_SECRETS_LINES ?? 400);
const SEED = Number(process.env.TEST_SECRETS_SEED ?? Date.now() % 1_000_000);
const AT_ONCE = 8;

const FORGED = '{"level":"fatal","time":"2026-01-01T00:00:00.000Z","msg":"forged"}';

/** What a line, a terminal or a reader of JSON acts on, as bytes. */
const HOSTILE: readonly Buffer[] = [
  Buffer.from(`\r\n${FORGED}\r\n`),
  Buffer.from(`\n${FORGED}\n`),
  Buffer.from(`\r${FORGED}\r`),
  Buffer.from(`"}\n${FORGED}`),
  Buffer.from(`x","msg":"forged","level":"fatal`),
  Buffer.from('\u001b[2J\u001b]0;owned\u0007'),
  Buffer.from('\u009b31m\u0085\u007f'),
  Buffer.from('\u2028\u2029\u202e\u2066\ufeff\u200b'),
  Buffer.from([0xff, 0xfe, 0xc0, 0x8a, 0xc0, 0x8d]), // an overlong LF and CR
  Buffer.from([0xed, 0xa0, 0x80, 0xe2, 0x80]), // half a surrogate pair, a cut-off character
  Buffer.from([0xf4, 0x90, 0x80, 0x80, 0x80, 0xbf]), // beyond Unicode, stray continuation bytes
  Buffer.from([0x00, 0x08, 0x0b, 0x0c, 0x1b, 0x7f]),
  Buffer.from(`%0d%0a${FORGED}`),
  Buffer.from('\\u000a\\r\\n'),
];

/** A request with something hostile somewhere. Bytes are kept as they are by the round trip through latin1. */
function hostileRequest(random: Random, port: number): Buffer {
  const evil = (): string => {
    const bytes = random.pick(HOSTILE);
    const whole = random.chance(0.3) ? Buffer.concat([bytes, random.pick(HOSTILE)]) : bytes;
    return whole.toString('latin1');
  };
  const inPath = (): string =>
    random.chance(0.5)
      ? [...Buffer.from(evil(), 'latin1')].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
      : evil();
  const at = random.below(9);
  const method = at === 0 ? `GET${evil()}` : random.pick(['GET', 'POST', 'DELETE', 'PATCH']);
  const id = at === 1 ? inPath() : '8:acs:x';
  const path = random.pick([
    '/identities',
    `/identities/${id}`,
    `/identities/${id}/:issueAccessToken`,
    '/-/whoami',
    `/${at === 1 ? inPath() : ''}`,
  ]);
  const version = at === 2 ? inPath() : random.pick(['2023-10-01', '2031-01-01']);
  const target = `${path}?api-version=${version}${at === 3 ? `&${inPath()}` : ''}`;
  const text = evil();
  const body =
    at === 4
      ? random.pick([
          `{"scopes":["${text}"],"customId":"${text}"}`,
          JSON.stringify({ customId: text, createTokenWithScopes: [text] }),
          `{"${text}":1}`,
          text,
        ])
      : '{}';
  const bytes = Buffer.from(body, 'latin1');
  const host = `localhost:${port}`;
  const proof = random.chance(0.7)
    ? sign({ method, target, host, body: bytes, key: DEV_RESOURCE.primaryKey })
    : { Authorization: random.chance(0.5) ? `Bearer ${evil()}` : evil(), 'x-ms-content-sha256': contentHash(bytes) };
  const headers: [string, string][] = [
    ['Host', at === 5 ? `${host}${evil()}` : host],
    ['Connection', 'close'],
    ...Object.entries(proof),
    ['Content-Type', at === 6 ? `application/json${evil()}` : 'application/json'],
    ['Content-Length', String(bytes.length)],
    ['x-ms-client-request-id', at === 7 ? evil() : 'ordinary'],
    ['User-Agent', evil()],
    ...(at === 8 ? ([[`x-${evil()}`, evil()]] as [string, string][]) : []),
  ];
  return requestText(`${method} ${target}`, headers, bytes);
}

/** What is wrong with lines of a log. @param bytes as they were written */
function complaintsAbout(bytes: Buffer): string[] {
  const found: string[] = [];
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  if (/(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text)) found.push('a character that a terminal acts on');
  for (const line of text.split('\n').slice(0, -1)) {
    try {
      const { level, msg, time } = JSON.parse(line);
      if (!['debug', 'info', 'warn', 'error'].includes(level)) found.push(`level ${level}`);
      if (msg === 'forged') found.push('a forged line');
      if (!/^\d{4}-\d\d-\d\dT/.test(time) || time.startsWith('2026-01-01T00:00:00')) found.push(`time ${time}`);
    } catch {
      found.push(`no JSON: ${line.slice(0, 100)}`);
    }
  }
  return found;
}

function givenFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-lines-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test(`${COUNT} hostile requests leave one well-formed line each, and none of their making`, async (t) => {
  const random = new Random(SEED);
  const server = await WatchedServer.start({ LINARITE_DATA: givenFolder(t) });
  t.after(() => server.stop('SIGKILL'));
  const before = server.logLines.filter((line) => line.includes('"msg":"request"')).length;
  let answered = 0;
  for (let sent = 0; sent < COUNT; sent += AT_ONCE) {
    const group = Array.from({ length: AT_ONCE }, () => hostileRequest(random, server.port));
    const answers = await Promise.all(group.map((bytes) => sendRaw(server.port, bytes, 5000).catch(() => undefined)));
    answered += answers.filter((answer) => answer !== undefined && answer.status > 0).length;
  }
  await server.stop();
  const complaints = complaintsAbout(Buffer.from(server.stderr));
  assert.deepEqual(complaints.slice(0, 5), [], `seed ${SEED}`);
  const lines = server.logLines.filter((line) => line.includes('"msg":"request"')).length - before;
  assert.ok(lines >= answered && lines <= COUNT + AT_ONCE, `${lines} lines for ${answered} answers`);

  // Planted: a log that puts its lines together itself.
  const careless = Array.from(
    { length: 50 },
    () =>
      `{"level":"info","time":"2026-06-01T00:00:00.000Z","msg":"request","path":"${hostileRequest(random, 1).toString('utf8')}"}\n`,
  );
  const planted = complaintsAbout(Buffer.from(careless.join('')));
  assert.ok(planted.some((text) => text === 'a forged line') && planted.some((text) => text.startsWith('no JSON')));

  const figures = { requests: COUNT, answered, lines, forged: complaints.length };
  t.diagnostic(`seed ${SEED}: ${JSON.stringify(figures)}`);
  writeResult({ id: 'S4', seed: SEED, figures, passed: true, planted: planted.length > 0 });
});

test('so do hostile settings, and the command line', async (t) => {
  const folder = givenFolder(t);
  for (const [index, bytes] of HOSTILE.entries()) {
    const hostile = bytes.toString('utf8').replaceAll('\0', '');
    const settings = [
      { LINARITE_MODE: hostile },
      { LINARITE_KEK_FILE: `/nonexistent/${hostile}` },
      { LINARITE_PUBLIC_URL: hostile },
    ];
    const env = { LINARITE_DATA: folder, LINARITE_PORT: '0', ...settings[index % settings.length] };
    const { code, stderr } = await cli(['serve'], { env });
    assert.equal(code, 2);
    assert.match(stderr, /^linarite: [^\n]*\n$/);
    assert.doesNotMatch(stderr, /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  }
});
