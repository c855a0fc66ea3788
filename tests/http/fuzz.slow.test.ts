import assert from 'node:assert/strict';
import { createHash, createSecretKey, randomBytes, randomInt } from 'node:crypto';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { ResourceId } from '../../src/callers.ts';
import { type ApiDocument, apiDocument } from '../../src/http/openapi.ts';
import { ok, type Route, route } from '../../src/http/route.ts';
import { pathOf } from '../../src/http/routes.ts';
import { object, secret, text } from '../../src/http/schema.ts';
import { serviceDialect } from '../../src/http/service-dialect.ts';
import { safeFacts } from '../../src/monitoring/safe-text.ts';
import { versions } from '../../src/planes/identity/versions.ts';
import { FIRST_SUBSCRIPTION } from '../../src/planes/management/communication-service.ts';
import { AnswerJudge } from '../harness/http/answer-judge.ts';
import { type Attempt, type Credential, type GoodValues, requests } from '../harness/http/fuzz-requests.ts';
import { RawClient, requestText } from '../harness/raw.ts';
import { accessKeyOf, DEV_ID, unusedId } from '../harness/resources.ts';
import { writeResult } from '../harness/results.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';
import { contentHash, sign } from '../harness/sign.ts';
import { apiOf, givenPipeline } from '../harness/test-pipeline.ts';

// Some thousands in every run of `npm run test:all`; `npm run harness -- fuzz` for a release (security-and-reliability, A1).
const COUNT = Number(process.env.TEST_FUZZ_CASES ?? 5000);
const SEED = Number(process.env.TEST_SEED ?? randomInt(2 ** 31));
/** A server is replaced after so many, before what they left in its store makes it another one. */
const PER_SERVER = 5000;
const SLOWEST_MS = 1000;
const AT_ONCE = 8;
const OPERATOR_KEY = 'an-operator-key-for-the-fuzzer-0123456789';

/** The server under attack, and what an attacker may know of it. */
interface Victim {
  port: number;
  host: string;
  document: ApiDocument;
  accessKey: string;
  operatorKey: string;
  /** A living identity and a token of it; made anew now and then, since the attack may end them. */
  user: () => Promise<{ id: string; token: string }>;
  secrets: readonly string[];
  /** Those that the page at `/` is there to show: the published key, and where the certificate authority is. */
  shownAtStart: readonly string[];
}

interface Outcome {
  complaints: string[];
  /** Status → how often. */
  statuses: Map<number, number>;
  succeeded: Set<string>;
  slowestMs: number;
}

/** What is good under the names that the protocol uses. */
const GOOD: GoodValues = {
  id: ['{id}', '{id}', '{id}', encodeURIComponent(unusedId()), '8:acs:00000000-0000-4000-8000-000000000000_x'],
  subscription: [FIRST_SUBSCRIPTION],
  group: ['fuzz', 'fuzz', 'other'],
  name: ['fuzz', 'fuzz', 'other'],
  createTokenWithScopes: ['chat', 'voip', 'chat.join'],
  scopes: ['chat', 'voip', 'voip.join'],
  expiresInMinutes: [60, 1440, 61],
  customId: ['alice', 'bob'],
  pageSize: ['1', '1000'],
  continuation: ['{id}'],
  tokensValidFrom: ['2020-01-01T00:00:00Z', '2020-01-01T00:00:00.1234567+00:00'],
  token: ['{token}'],
  grant_type: ['client_credentials'],
  client_secret: [OPERATOR_KEY],
  location: ['Global'],
  dataLocation: ['United States'],
  keyType: ['primary', 'Secondary'],
  resourceId: ['/x'],
  resource: [DEV_ID, '7a3c9d10-0000-4000-8000-00000000000b'],
  subscriptionId: [FIRST_SUBSCRIPTION],
  resourceGroup: ['fuzz'],
  createdAt: ['2020-01-01T00:00:00Z'],
  primaryKey: [Buffer.alloc(64, 7).toString('base64')],
};

const LONG_AGO = 'Thu, 01 Jan 2026 00:00:00 GMT';

/** The bytes of an attempt, and the secret in them that no answer may repeat. */
function written(
  attempt: Attempt,
  victim: Victim,
  { id, token }: { id: string; token: string },
): { bytes: Buffer; target: string; proof: string } {
  const { method, chunked, credential } = attempt;
  const target = attempt.target.replaceAll('{id}', encodeURIComponent(id));
  const body = attempt.body.includes('{token}')
    ? Buffer.from(attempt.body.toString('latin1').replaceAll('{token}', token), 'latin1')
    : attempt.body;
  const { host, accessKey, operatorKey } = victim;
  const signed = (more: Partial<Parameters<typeof sign>[0]> = {}) =>
    Object.entries(sign({ method, target, host, body, key: accessKey, ...more }));
  const bearer = (secret: string): [string, string][] => [['Authorization', `Bearer ${secret}`]];
  const proofs: Record<Credential, () => [string, string][]> = {
    none: () => [],
    accessKey: () => signed(),
    userToken: () => bearer(token),
    operatorKey: () => bearer(operatorKey),
    otherAccessKey: () => signed({ key: Buffer.alloc(64, 3).toString('base64') }),
    lateSignature: () => signed({ date: LONG_AGO }),
    otherContentHash: () =>
      signed().map(([name, value]) => [name, name === 'x-ms-content-sha256' ? contentHash('else') : value]),
    twoAuthorizations: () => [...signed(), ...bearer(token)],
    otherUserToken: () => bearer(`${token.slice(0, -8)}AAAAAAAA`),
    otherOperatorKey: () => bearer(`${operatorKey}x`),
    basic: () => [['Authorization', `Basic ${Buffer.from(`x:${operatorKey}`).toString('base64')}`]],
    garbage: () => [['Authorization', `HMAC-SHA256 ${target}`]],
  };
  const proof = proofs[credential]();
  const framing: [string, string] = chunked
    ? ['Transfer-Encoding', 'chunked']
    : ['Content-Length', String(body.length)];
  const chunks = body.length === 0 ? [] : [Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n')];
  const sent = chunked ? Buffer.concat([...chunks, Buffer.from('0\r\n\r\n')]) : body;
  const bytes = requestText(`${method} ${target}`, [['Host', host], framing, ...attempt.headers, ...proof], sent);
  const tail = proof.find(([name]) => name === 'Authorization')?.[1].slice(-40) ?? '';
  return { bytes, target, proof: credential === 'garbage' ? '' : tail };
}

/** Sends so many requests to every operation of the victim's document, and judges every answer. */
async function fuzz(victim: Victim, { seed, count }: { seed: number; count: number }): Promise<Outcome> {
  const judge = await AnswerJudge.of(victim.document);
  const attempts = fc.sample(requests(victim.document, GOOD), { seed, numRuns: count });
  const outcome: Outcome = { complaints: [], statuses: new Map(), succeeded: new Set(), slowestMs: 0 };
  let user = await victim.user();
  let next = 0;

  const one = async (
    client: RawClient,
    attempt: Attempt,
    found: string[] = [],
  ): Promise<{ tookMs: number; found: string[]; status: number }> => {
    const { bytes, target, proof } = written(attempt, victim, user);
    const own =
      pathOf(target) === '/' ? victim.secrets.filter((one) => !victim.shownAtStart.includes(one)) : victim.secrets;
    const secrets = [...own, user.token.slice(-40), ...(proof === '' ? [] : [proof])];
    const started = performance.now();
    try {
      const answer = await client.send(bytes, { head: attempt.method === 'HEAD' });
      const tookMs = performance.now() - started;
      found.push(...judge.complaints(answer, { method: attempt.method, target }, secrets));
      const operation = judge.operationAt(attempt.method, target);
      if (answer.status < 300 && operation) outcome.succeeded.add(operation.operationId);
      return { tookMs, found, status: answer.status };
    } catch (cause) {
      return { tookMs: performance.now() - started, found: [...found, String(cause)], status: Number.NaN };
    }
  };
  const worker = async (): Promise<void> => {
    const client = new RawClient(victim.port);
    while (next < attempts.length) {
      const number = next++;
      if (number % 50 === 49) user = await victim.user();
      const attempt = attempts[number] as Attempt;
      let { tookMs, found, status } = await one(client, attempt);
      // A machine with other work to do may stop at any request: a slow one is slow every time.
      for (let again = 0; again < 3 && tookMs > SLOWEST_MS; again++)
        tookMs = Math.min(tookMs, (await one(client, attempt)).tookMs);
      if (tookMs > SLOWEST_MS) found = [...found, `slow: ${Math.round(tookMs)} ms`];
      outcome.slowestMs = Math.max(outcome.slowestMs, tookMs);
      outcome.statuses.set(status, (outcome.statuses.get(status) ?? 0) + 1);
      if (found.length === 0) continue;
      const { body, ...rest } = attempt;
      const shown = `${JSON.stringify(rest)} ${JSON.stringify(body.toString('latin1').slice(0, 300))}`;
      outcome.complaints.push(`seed ${seed}, number ${number}: ${found.join('; ')} for ${shown}`);
    }
    client.close();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return outcome;
}

/** A fresh server, with a group and a service of the names that the attack knows. */
async function givenVictim(t: {
  after(step: () => unknown): unknown;
}): Promise<{ victim: Victim; server: TestServer }> {
  const server = await startTestServer(t as TestContext, {
    env: { LINARITE_OPERATOR_KEY: OPERATOR_KEY, LINARITE_SIGNING_ALGORITHM: 'ES256' }, // keys are made by the hundred
  });
  const { body: document } = await server.send({ target: '/-/openapi.json' });
  const group = `/subscriptions/${FIRST_SUBSCRIPTION}/resourceGroups/fuzz`;
  const service = `${group}/providers/Microsoft.Communication/communicationServices/fuzz?api-version=2023-03-31`;
  for (const [target, body] of [
    [group, '{"location":"global"}'],
    [service, '{"location":"global","properties":{"dataLocation":"Europe"}}'],
  ] as const) {
    const headers = { Authorization: `Bearer ${OPERATOR_KEY}`, 'Content-Type': 'application/json' };
    assert.equal((await server.send({ method: 'PUT', target, headers, body })).status, 201);
  }
  const victim: Victim = {
    port: server.port,
    host: server.host,
    document,
    accessKey: server.key,
    operatorKey: OPERATOR_KEY,
    async user() {
      removeBackups(join(server.folder, 'backups'));
      const id = await server.givenIdentity();
      return { id, token: await server.givenToken(id) };
    },
    secrets: [server.key, accessKeyOf(server, 'secondary'), server.folder, OPERATOR_KEY],
    shownAtStart: [server.key, server.folder],
  };
  return { victim, server };
}

/** All but the newest, which may not be finished. */
function removeBackups(folder: string): void {
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.db')) : [];
  for (const name of names.sort().slice(0, -1)) rmSync(join(folder, name));
}

/** Lines that tell a secret, or that something went wrong in the server. */
function watchLog(server: TestServer, secrets: readonly string[]): string[] {
  const complaints: string[] = [];
  const write = server.log.write.bind(server.log);
  server.log.write = (level, message, facts = {}) => {
    const line = JSON.stringify([message, safeFacts(facts)]); // as the real log writes them
    if (level === 'error' || level === 'fatal' || secrets.some((one) => line.includes(one))) complaints.push(line);
    write(level, message, {});
  };
  return complaints;
}

let planted = false;
const total: Outcome = { complaints: [], statuses: new Map(), succeeded: new Set(), slowestMs: 0 };
let operations = 0;

describe('the fuzzer reports', () => {
  const SLOW = 'an answer that takes its time';
  const FAULTS: Record<string, { route: Partial<Route>; report: RegExp }> = {
    'an answer that violates its schema': {
      route: { handle: () => ok({ name: 7 }) },
      report: /the answer does not fit/,
    },
    'a status that is not declared': {
      route: { handle: () => ({ status: 202, body: { name: 'x' } }) },
      report: /202 is not among/,
    },
    'a handler that throws': { route: { handle: () => assert.fail('a bug') }, report: /status 500/ },
    'an error without the envelope': {
      route: { handle: () => ({ status: 400, body: 'no' }) },
      report: /the envelope does not fit/,
    },
    'a stack trace': {
      route: { handle: () => ok({ name: 'x', at: new Error('a bug').stack }) },
      report: /something from inside/,
    },
    'a credential in the wrong member': { route: { handle: () => ok({ name: PLANTED_KEY }) }, report: /a secret/ },
    'a body that comes back': { route: { handle: () => ok({ name: 'x', said: PLANTED_TOKEN }) }, report: /a secret/ },
    [SLOW]: {
      route: { handle: () => sleep(SLOWEST_MS + 20).then(() => ok({ name: 'x' })) },
      report: /slow/,
    },
  };
  const PLANTED_KEY = randomBytes(64).toString('base64');
  const PLANTED_TOKEN = `x.y.${'z'.repeat(60)}`;
  const seen = new Set<string>();

  const sound = route({
    operation: 'giveThing',
    summary: 'Gives a thing.',
    at: 'POST /things/{id}',
    versions: versions('2025-06-30'),
    access: { caller: 'service' },
    body: { schema: object({ scopes: text() }), kind: 'json' },
    answers: { 200: object({ name: text(), key: { ...secret(), optional: true } }) },
    handle: () => ok({ name: 'x', key: PLANTED_KEY }),
  });

  async function attack(t: TestContext, one: Route, count = 40): Promise<Outcome> {
    const key = createSecretKey(Buffer.from(PLANTED_KEY, 'base64'));
    const signatory = {
      resource: { id: 'x' as ResourceId },
      keys: [{ slot: 'primary' as const, version: 1, secret: key, wellKnown: false }],
    };
    const port = await givenPipeline(t, [one], { signatories: [signatory], operatorKey: OPERATOR_KEY });
    const victim: Victim = {
      port,
      host: `localhost:${port}`,
      document: apiDocument([apiOf([one])], serviceDialect),
      accessKey: PLANTED_KEY,
      operatorKey: OPERATOR_KEY,
      user: async () => ({ id: 'someone', token: PLANTED_TOKEN }),
      secrets: [PLANTED_KEY, OPERATOR_KEY],
      shownAtStart: [],
    };
    return fuzz(victim, { seed: SEED, count });
  }

  test('nothing where nothing is wrong', async (t) => {
    const { complaints, succeeded } = await attack(t, sound, 300);
    assert.deepEqual(complaints, []);
    assert.deepEqual([...succeeded], ['giveThing']);
  });

  for (const [fault, { route: change, report }] of Object.entries(FAULTS)) {
    test(fault, async (t) => {
      const { complaints } = await attack(t, { ...sound, ...change }, fault === SLOW ? 12 : 40);
      assert.ok(
        complaints.some((one) => report.test(one)),
        complaints.slice(0, 3).join('\n') || 'it reports nothing',
      );
      seen.add(fault);
    });
  }

  after(() => {
    planted = seen.size === Object.keys(FAULTS).length;
  });
});

describe('whatever is sent', () => {
  const rounds = Math.ceil(COUNT / PER_SERVER);
  for (let round = 0; round < rounds; round++) {
    const count = Math.min(PER_SERVER, COUNT - round * PER_SERVER);
    test(`the answer is no 5xx, is as described, comes soon and tells no secret: ${count} times, seed ${SEED + round}`, async (t) => {
      const { victim, server } = await givenVictim(t);
      const logged = watchLog(
        server,
        victim.secrets.filter((one) => one !== server.folder),
      );
      const { complaints, statuses, succeeded, slowestMs } = await fuzz(victim, { seed: SEED + round, count });
      total.complaints.push(...complaints, ...logged);
      for (const [status, times] of statuses) total.statuses.set(status, (total.statuses.get(status) ?? 0) + times);
      for (const name of succeeded) total.succeeded.add(name);
      total.slowestMs = Math.max(total.slowestMs, slowestMs);
      operations = Object.values(victim.document.paths).flatMap((path) => Object.keys(path)).length;
      assert.deepEqual(complaints.slice(0, 20), []);
      assert.deepEqual(logged.slice(0, 20), []);
      assert.equal((await server.asService('POST /identities')).status, 201, 'it still works');
    });
  }

  test('the attack gets past the door, or it proves nothing', (t) => {
    const sorted = [...total.statuses].sort(([one], [other]) => one - other).map((pair) => pair.join(': '));
    t.diagnostic(
      `${sorted.join(', ')}; ${total.succeeded.size} of ${operations} operations succeeded; slowest ${Math.round(total.slowestMs)} ms`,
    );
    for (const status of [200, 201, 204, 400, 401, 404, 405, 413, 415])
      assert.ok(total.statuses.get(status), `no ${status}`);
    if (COUNT >= 5000) assert.ok(total.succeeded.size > operations / 2, [...total.succeeded].join(' '));
  });

  after(() => {
    const answers = [...total.statuses].filter(([status]) => !Number.isNaN(status));
    const bad = (pattern: RegExp) => total.complaints.filter((one) => pattern.test(one)).length;
    writeResult({
      id: 'A1',
      seed: SEED,
      figures: {
        cases: answers.reduce((sum, [, times]) => sum + times, 0),
        operations,
        operationsThatSucceeded: total.succeeded.size,
        answersOfServerError: answers.reduce((sum, [status, times]) => sum + (status >= 500 ? times : 0), 0),
        missingEnvelopes: bad(/the envelope does not fit|content type/),
        slowerThanOneSecond: bad(/slow: /),
        slowestMs: Math.round(total.slowestMs),
        complaints: total.complaints.length,
      },
      passed: total.complaints.length === 0,
      planted,
    });
  });
});

test('an attempt is the same from the same seed', async () => {
  const described = apiOf([
    route({
      operation: 'x',
      summary: 'X.',
      at: 'GET /x',
      access: { caller: 'nobody' },
      answers: {},
      handle: () => ok({}),
    }),
  ]);
  const document = apiDocument([described], serviceDialect);
  const digest = () =>
    createHash('sha256')
      .update(JSON.stringify(fc.sample(requests(document, GOOD), { seed: SEED, numRuns: 50 })))
      .digest('hex');
  assert.equal(digest(), digest());
});
