import assert from 'node:assert/strict';
import { createHash, randomInt } from 'node:crypto';
import { after, test } from 'node:test';
import { requestText, sendRaw } from '../harness/raw.ts';
import { writeResult } from '../harness/results.ts';
import { startTestServer } from '../harness/server.ts';
import { contentHash, sign, signatureOf } from '../harness/sign.ts';

// A couple of thousand in every run of `npm run test:all`; `npm run harness -- signatures` for a release (security-and-reliability, H3).
const COUNT = Number(process.env.TEST_SIGNATURE_MUTATIONS ?? 2000);
const SEED = Number(process.env.TEST_SEED ?? randomInt(2 ** 31));
const AT_ONCE = 16;

/** The parts of a request that a signature covers, as they are sent. */
interface Parts {
  method: string;
  target: string;
  host: string;
  date: string;
  hash: string;
  authorization: string;
  body: string;
}

const PARTS = ['method', 'target', 'host', 'date', 'hash', 'authorization', 'body'] as const;
const DATE_NAMES = ['x-ms-date', 'date'] as const;

/** Numbers that the seed, the case and the question decide, so that every case can be made again on its own. */
class Draw {
  readonly #case: string;
  #question = 0;
  constructor(seed: number, number: number) {
    this.#case = `${seed} ${number}`;
  }
  below(limit: number): number {
    this.#question += 1;
    const bytes = createHash('sha256').update(`${this.#case} ${this.#question}`).digest();
    return bytes.readUIntBE(0, 6) % limit;
  }
  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }
}

const INTERESTING = [...' \t/?&%.;:,=+#"\\\0\r\n', '\u00e9', '%2F', '%00', '..', '//', '0', 'a', 'Z'];

function edited(text: string, draw: Draw): string {
  const at = draw.below(text.length + 1);
  const character = draw.below(2) === 0 ? draw.of(INTERESTING) : String.fromCharCode(32 + draw.below(95));
  const flipped = String.fromCharCode((text.charCodeAt(at) || 65) ^ (1 << draw.below(7)));
  switch (draw.below(7)) {
    case 0:
      return text.slice(0, at) + character + text.slice(at); // insert
    case 1:
      return text.slice(0, at) + text.slice(at + 1); // delete
    case 2:
      return text.slice(0, at) + character + text.slice(at + 1); // replace
    case 3:
      return text.slice(0, at) + flipped + text.slice(at + 1); // one bit
    case 4:
      return text.slice(0, at) + (text[at] ?? '') + text.slice(at); // double
    case 5:
      return text.slice(0, at) + (text[at + 1] ?? '') + (text[at] ?? '') + text.slice(at + 2); // swap
    default: {
      const character = text[at] ?? '';
      const other = character === character.toLowerCase() ? character.toUpperCase() : character.toLowerCase();
      return text.slice(0, at) + other + text.slice(at + 1); // case
    }
  }
}

/**
 * What the pipeline sees of a request once HTTP has taken away the blanks around header values, and the parser empty lines
 * before the method and further blanks behind it.
 */
const meaning = ({ method, target, host, date, hash, authorization, body }: Parts, dateName: string): string => {
  const [, names = '', signature = ''] =
    /^HMAC-SHA256 SignedHeaders=([^&]*)&Signature=(.*)$/.exec(trimmed(authorization)) ?? [];
  const list = names === '' ? trimmed(authorization) : `${names.toLowerCase()}&${signature}`; // header names have no case
  return JSON.stringify([
    method.replace(/^[\r\n]+| +$/g, ''),
    target.replace(/^ +| +$/g, ''),
    trimmed(host),
    trimmed(date),
    trimmed(hash),
    list,
    body,
    dateName,
  ]);
};

const trimmed = (value: string): string => value.replace(/^[ \t]+|[ \t]+$/g, '');

interface Case {
  parts: Parts;
  dateName: (typeof DATE_NAMES)[number];
  what: string;
}

interface Target {
  port: number;
  key: string;
}

const HEADER_OF = { host: 'Host', date: 'x-ms-date', hash: 'x-ms-content-sha256', authorization: 'Authorization' };
const lineOf = ({ parts, dateName }: Case): readonly (readonly [string, string])[] => [
  ['Content-Type', 'application/json'],
  ['Content-Length', String(Buffer.byteLength(parts.body))],
  ['Connection', 'close'],
  [HEADER_OF.host, parts.host],
  [dateName, parts.date],
  [HEADER_OF.hash, parts.hash],
  [HEADER_OF.authorization, parts.authorization],
];

/** A valid request of one of the spellings, and the same with one to three edits in its signed parts. */
function mutated({ port, key }: Target, seed: number, number: number): Case | undefined {
  const draw = new Draw(seed, number);
  const dateName = draw.of(DATE_NAMES);
  const method = 'POST';
  const target = '/identities?api-version=2023-10-01';
  const host = draw.of([`localhost:${port}`, `localhost:${port}:${port}`, 'localhost']);
  const body = draw.of(['', '{}', '{"createTokenWithScopes":["chat"],"expiresInMinutes":60}']);
  const headers = sign({ method, target, host, body, key, dateHeader: dateName });
  const valid: Parts = {
    method,
    target,
    host,
    body,
    date: headers[dateName] ?? '',
    hash: headers['x-ms-content-sha256'] ?? '',
    authorization: headers.Authorization ?? '',
  };
  const parts = { ...valid };
  const names = Array.from({ length: 1 + draw.below(3) }, () => draw.of(PARTS));
  for (const name of names) parts[name] = edited(parts[name], draw);
  if (meaning(parts, dateName) === meaning(valid, dateName)) return undefined;
  return { parts, dateName, what: `seed ${seed}, number ${number}, ${names.join(' and ')}: ${JSON.stringify(parts)}` };
}

type Judge = (attempt: Case) => Promise<number>;

/** Everything that was not refused with a 4xx. */
async function attack(target: Target, count: number, judge: Judge): Promise<string[]> {
  const complaints: string[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const attempt = mutated(target, SEED, next++);
      if (!attempt) continue;
      const status = await judge(attempt);
      if (status < 400 || status > 499) complaints.push(`${status} for ${attempt.what}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return complaints;
}

test(`${COUNT} mutations of signed requests open nothing`, async (t) => {
  const server = await startTestServer(t);
  const complaints = await attack(server, COUNT, async (attempt) => {
    const { method, target, body } = attempt.parts;
    return (await sendRaw(server.port, requestText(`${method} ${target}`, lineOf(attempt), body))).status;
  });
  figures = { mutations: COUNT, accepted: complaints.length };
  assert.deepEqual(complaints, []);
});

let figures: Record<string, number> = {};
let planted = false;
after(() => writeResult({ id: 'H3', seed: SEED, figures, passed: figures.accepted === 0, planted }));

test('the attack finds a server that leaves out a part, or is lax about one', async () => {
  const target = { port: 7417, key: Buffer.alloc(64, 1).toString('base64') };
  const lax: Record<string, (parts: Parts) => Parts> = {
    'the case of the target': (parts) => ({ ...parts, target: parts.target.toLowerCase() }),
    'doubled slashes': (parts) => ({ ...parts, target: parts.target.replaceAll('//', '/') }),
    'the host': (parts) => ({ ...parts, host: `localhost:${target.port}` }),
    'the body': (parts) => ({ ...parts, hash: trimmed(parts.hash), body: '' }),
  };
  for (const [what, forgive] of Object.entries(lax)) {
    const complaints = await attack(target, 2000, async ({ parts }) => {
      const { method, target: path, host, date, hash, authorization, body } = forgive(parts);
      const text = `${method}\n${path}\n${trimmed(date)};${trimmed(host)};${trimmed(hash)}`;
      const good = trimmed(authorization).endsWith(`&Signature=${signatureOf(target.key, text)}`);
      return good && (what === 'the body' || trimmed(hash) === contentHash(body)) ? 201 : 401;
    });
    assert.notEqual(complaints.length, 0, what);
  }
  planted = true;
});
