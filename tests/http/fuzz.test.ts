import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { safeFacts } from '../../src/monitoring/safe-text.ts';
import { type RawAnswer, requestText, sendRaw } from '../harness/raw.ts';
import { accessKeyOf } from '../harness/resources.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';
import { sign } from '../harness/sign.ts';

// A couple of thousand in every test run; more for a night (security-and-reliability, A1).
const COUNT = Number(process.env.TEST_FUZZ_CASES ?? 2000);
const SEED = Number(process.env.TEST_SEED ?? randomInt(2 ** 31));
const SLOWEST_MS = 1000;
const AT_ONCE = 8;

interface Attempt {
  method: string;
  path: string;
  query: string;
  headers: [string, string][];
  body: Buffer;
  credentials: 'none' | 'service' | 'otherKey' | 'user' | 'operator' | 'garbage';
}

const often = <T>(usual: readonly T[], rare: fc.Arbitrary<T>, weight = 3): fc.Arbitrary<T> =>
  fc.oneof({ arbitrary: fc.constantFrom(...usual), weight }, { arbitrary: rare, weight: 1 });

/** What an id, a name or a value can be made of. */
const nasty = fc.oneof(
  fc.constantFrom('', '..', '%', '%00', '%2F', '%c3', '%25', '__proto__', 'constructor', '*', "'", '<', '\\', '.', ':'),
  fc.string({ maxLength: 40 }).map(encodeURIComponent),
  fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => encodeURIComponent(text.toWellFormed())),
  fc.stringMatching(/^[!-~]{0,60}$/).map((text) => text.replace(/[?#]/g, '')),
);

const segment = often(
  ['identities', '{id}', '{foreign}', ':issueAccessToken', ':revokeAccessTokens', 'token', '-'],
  nasty,
);
const path = often(
  [
    '/identities',
    '/identities/{id}',
    '/identities/{foreign}',
    '/identities/{id}/:issueAccessToken',
    '/identities/{id}/:revokeAccessTokens',
    '/identities/{id}/token',
    '/-/introspect',
    '/-/whoami',
    '/-/metrics',
    '/-/health/live',
    '/.well-known/jwks.json',
  ],
  fc.array(segment, { maxLength: 5 }).map((segments) => `/${segments.join('/')}`),
);

const version = often(['2023-10-01', '2020-07-20-preview2', '2026-09-23', '2030-01-01', '2021-03-07'], nasty, 5);
const query = often(
  ['?api-version=2023-10-01'],
  fc
    .array(fc.tuple(often(['api-version', 'maxPageSize', 'x'], nasty), version), { maxLength: 4 })
    .map((pairs) => (pairs.length === 0 ? '' : `?${pairs.map(([name, value]) => `${name}=${value}`).join('&')}`)),
  2,
);

const member = often(
  ['scopes', 'createTokenWithScopes', 'expiresInMinutes', 'customId', 'tokensValidFrom', 'token', '__proto__'],
  fc.string({ maxLength: 10 }),
  6,
);
const value = fc.oneof(
  fc.constantFrom<unknown>(['chat'], ['voip', 'chat.join'], 60, 1440, null, [], '2030-01-01T00:00:00Z', -0, 1e308),
  fc.jsonValue({ maxDepth: 4 }),
  fc.double(),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.constant('x'.repeat(70_000)),
);
const json = fc.dictionary(member, value, { maxKeys: 4 }).map((object) => JSON.stringify(object));
const body = fc.oneof(
  { arbitrary: json.map((text) => Buffer.from(text)), weight: 6 },
  { arbitrary: fc.constant(Buffer.alloc(0)), weight: 2 },
  {
    arbitrary: fc.tuple(json, fc.nat(), fc.nat({ max: 255 })).map(([text, at, byte]) => {
      const bytes = Buffer.from(text);
      if (bytes.length > 0) bytes[at % bytes.length] = byte;
      return bytes;
    }),
    weight: 2,
  },
  { arbitrary: fc.jsonValue({ maxDepth: 6 }).map((any) => Buffer.from(JSON.stringify(any))), weight: 1 },
  { arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)), weight: 1 },
  { arbitrary: fc.constant(Buffer.from('token=x&token_type_hint=y')), weight: 1 },
);

const header = fc.tuple(
  often(
    [
      'Content-Type',
      'Accept',
      'Origin',
      'Content-Encoding',
      'x-ms-client-request-id',
      'X-Forwarded-For',
      'Cookie',
      'Range',
    ],
    fc
      .stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,20}$/)
      .filter(
        (name) => !/^(?:expect|upgrade|connection|te|trailer|transfer-encoding|content-length|host)$/i.test(name),
      ),
  ),
  often(
    [
      'application/json',
      'application/x-www-form-urlencoded',
      'text/plain',
      'gzip',
      'http://localhost:3000',
      '*/*',
      'null',
    ],
    fc.stringMatching(/^[\x20-\x7e\x80-\xff]{0,80}$/),
  ),
);

const attempt: fc.Arbitrary<Attempt> = fc.record({
  method: often(
    ['GET', 'POST', 'POST', 'DELETE', 'PATCH'],
    fc.constantFrom('PUT', 'HEAD', 'OPTIONS', 'TRACE', 'SEARCH'),
  ),
  path,
  query,
  headers: fc
    .tuple(
      often<[string, string][]>(
        [[['Content-Type', 'application/json']], [['Content-Type', 'application/x-www-form-urlencoded']]],
        fc.constant([]),
      ),
      fc.array(header, { maxLength: 3 }),
    )
    .map(([type, more]) => [...type, ...more]),
  body,
  credentials: often<Attempt['credentials']>(
    ['service'],
    fc.constantFrom('none', 'otherKey', 'user', 'operator', 'garbage'),
    2,
  ),
});

/** What is wrong with an answer, as far as anybody can tell who does not know what was asked. */
function complaintsAbout(answer: RawAnswer, method: string, secrets: readonly string[]): string[] {
  const { status, headers, body } = answer;
  const complaints: string[] = [];
  if (!(status >= 200 && status < 500)) complaints.push(`status ${status}`);
  if (status >= 400 && method !== 'HEAD') {
    if (headers['content-type'] !== 'application/json') complaints.push(`content type ${headers['content-type']}`);
    const error = errorOf(body);
    if (typeof error?.code !== 'string' || typeof error.message !== 'string') complaints.push('no envelope');
  }
  const all = `${JSON.stringify(headers)} ${body}`;
  if (/\bat [\w.<>]+ \(|node:internal|\.ts:\d+|\/src\/|node_modules|SQLITE_|sqlite|select .* from/i.test(all)) {
    complaints.push('something from inside');
  }
  for (const secret of secrets) if (all.includes(secret)) complaints.push('a secret');
  return complaints;
}

function errorOf(body: string): { code?: unknown; message?: unknown } | undefined {
  try {
    return JSON.parse(body).error;
  } catch {
    return undefined;
  }
}

test('the fuzzer’s judge sees what it should see', () => {
  const good = {
    status: 400,
    headers: { 'content-type': 'application/json' },
    body: '{"error":{"code":"a","message":"b"}}',
  };
  assert.deepEqual(complaintsAbout(good, 'GET', ['hunter2']), []);
  for (const bad of [
    { ...good, status: 500 },
    { ...good, status: Number.NaN },
    { ...good, headers: {} },
    { ...good, headers: { 'content-type': 'text/html' } },
    { ...good, body: '' },
    { ...good, body: '{"error":"x"}' },
    { ...good, body: '{"error":{"code":"a"}}' },
    { ...good, body: '{"error":{"code":"a","message":"at Object.run (/app/src/a.ts:1:2)"}}' },
    { ...good, body: '{"error":{"code":"a","message":"SQLITE_ERROR"}}' },
    { ...good, headers: { ...good.headers, 'x-linarite-reason': 'hunter2' } },
  ]) {
    assert.notDeepEqual(complaintsAbout(bad as RawAnswer, 'GET', ['hunter2']), [], JSON.stringify(bad));
  }
});

describe('whatever is sent', () => {
  let server: TestServer;
  let id: string;
  let token: string;
  const operatorKey = 'an-operator-key-for-the-fuzzer-0123456789';
  shareServer(
    async (started) => {
      server = started;
      id = await server.givenIdentity();
      token = await server.givenToken(id);
    },
    { env: { LINARITE_OPERATOR_KEY: operatorKey } },
  );

  async function send({
    method,
    path,
    query,
    headers,
    body,
    credentials,
  }: Attempt): Promise<RawAnswer & { sent: string }> {
    const target = `${path.replaceAll('{id}', encodeURIComponent(id)).replaceAll('{foreign}', '8:acs:00000000-0000-0000-0000-000000000000_x')}${query}`;
    const key = credentials === 'otherKey' ? Buffer.alloc(64, 3).toString('base64') : server.key;
    const proof: Record<string, string> =
      credentials === 'service' || credentials === 'otherKey'
        ? sign({ method, target, host: server.host, body, key })
        : credentials === 'user'
          ? { Authorization: `Bearer ${token}` }
          : credentials === 'operator'
            ? { Authorization: `Bearer ${operatorKey}` }
            : credentials === 'garbage'
              ? { Authorization: `HMAC-SHA256 ${target}` }
              : {};
    const sent = requestText(
      `${method} ${target}`,
      [
        ['Host', server.host],
        ['Connection', 'close'],
        ['Content-Length', String(body.length)],
        ...headers,
        ...Object.entries(proof),
      ],
      body,
    );
    return { ...(await sendRaw(server.port, sent, 5000)), sent: proof.Authorization ?? '' };
  }

  /** Whether it is the request that takes its time: a machine with other work to do may stop at any. */
  async function isSlow(one: Attempt): Promise<boolean> {
    const started = performance.now();
    await send(one);
    return performance.now() - started > SLOWEST_MS;
  }

  test(`${COUNT} times, the answer is no 5xx, has the envelope, comes soon and tells no secret, and the log neither`, async () => {
    const secrets = [server.key, accessKeyOf(server, 'secondary'), server.folder, operatorKey];
    const attempts = fc.sample(attempt, { seed: SEED, numRuns: COUNT });
    const complaints: string[] = [];
    let next = 0;
    const statuses = new Map<number, number>();
    const worker = async (): Promise<void> => {
      while (next < attempts.length) {
        const number = next++;
        const one = attempts[number] as Attempt;
        const started = performance.now();
        const answer = await send(one).catch((cause: unknown) => ({
          status: Number.NaN,
          headers: {},
          body: String(cause),
          sent: '',
        }));
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
        const own = [...secrets, ...(answer.sent.length > 60 ? [answer.sent.slice(-50)] : [])];
        const found = complaintsAbout(answer, one.method, own);
        if (performance.now() - started > SLOWEST_MS && (await isSlow(one))) found.push('slow');
        if (found.length > 0) {
          const { body, ...rest } = one;
          complaints.push(
            `seed ${SEED}, number ${number}: ${found.join(', ')}: ${answer.status} ${answer.body.slice(0, 300)} for ${JSON.stringify(rest)} ${JSON.stringify(body.toString('latin1').slice(0, 300))}`,
          );
        }
      }
    };
    const logged: string[] = [];
    const write = server.log.write.bind(server.log);
    server.log.write = (level, message, facts = {}) => {
      const line = JSON.stringify([message, safeFacts(facts)]); // as the real log writes them
      if (level === 'error' || level === 'fatal' || [...secrets, token].some((secret) => line.includes(secret)))
        logged.push(line);
      write(level, message, facts);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    assert.deepEqual(complaints, []);
    assert.deepEqual(logged, []);
    // The fuzzer must get past the door, or it proves nothing.
    for (const status of [200, 201, 204, 400, 401, 404, 405, 415])
      assert.ok(statuses.get(status), `no ${status} among ${[...statuses]}`);
    assert.equal((await server.asService('POST /identities')).status, 201, 'it still works');
  });
});
