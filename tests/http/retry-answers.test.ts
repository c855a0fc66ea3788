import assert from 'node:assert/strict';
import { after, describe, type TestContext, test } from 'node:test';
import { ERRORS, type ErrorName, ServiceError } from '../../src/errors.ts';
import { ok, type Reply, type Route, route } from '../../src/http/route.ts';
import { type Answer, send } from '../harness/http.ts';
import { startProduction } from '../harness/production.ts';
import { inPath } from '../harness/resources.ts';
import { writeResult } from '../harness/results.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';
import { givenPipeline } from '../harness/test-pipeline.ts';

// What an answer tells a client about trying again (security-and-reliability, A3).

/** What each status of an error means to a client, and whether the same request may do better later. */
const MEANINGS: Readonly<Record<number, 'changeIt' | 'tryAgain' | 'askSomebody'>> = {
  400: 'changeIt',
  401: 'changeIt',
  403: 'changeIt',
  404: 'changeIt',
  405: 'changeIt',
  408: 'changeIt', // sends the rest sooner
  409: 'changeIt',
  413: 'changeIt',
  415: 'changeIt',
  417: 'changeIt',
  421: 'changeIt',
  426: 'changeIt',
  429: 'tryAgain',
  431: 'changeIt',
  500: 'askSomebody',
  503: 'tryAgain',
};

const NAMES = Object.keys(ERRORS) as ErrorName[];

/** A route that fails as its id says. */
const failing = (handle: (name: ErrorName) => Reply): Route =>
  route({
    operation: 'fail',
    summary: 'Fails.',
    at: 'GET /fail/{name}',
    access: { caller: 'nobody' },
    answers: {},
    handle: ({ path }) => handle(path.name as ErrorName),
  });

function complaint(name: ErrorName, { status, headers, body }: Answer): string | undefined {
  const meaning = MEANINGS[status];
  const seconds = headers['retry-after'];
  if (meaning === undefined) return `${name}: nobody knows what ${status} means`;
  if (body?.error?.code !== ERRORS[name].code || status !== ERRORS[name].status)
    return `${name}: ${status} ${body?.error?.code}`;
  if (meaning === 'tryAgain' ? !/^[1-9]\d{0,3}$/.test(seconds ?? '') : seconds !== undefined)
    return `${name}: ${status} with Retry-After ${seconds}`;
  if (status === 405 && !headers.allow) return `${name}: 405 without Allow`;
  if (status === 426 && headers.upgrade !== 'websocket') return `${name}: 426 without Upgrade`;
  return undefined;
}

async function complaints(t: TestContext, handle: (name: ErrorName) => Reply): Promise<string[]> {
  const port = await givenPipeline(t, [failing(handle)]);
  const found: string[] = [];
  for (const name of NAMES) {
    const one = complaint(name, await send(port, { target: `/fail/${name}` }));
    if (one !== undefined) found.push(one);
  }
  return found;
}

const figures = { errors: NAMES.length, wrong: Number.NaN, refusedTokens: 0, kindsOfAnswers: Number.NaN };
let planted = false;
after(() => {
  const passed = figures.wrong === 0 && figures.kindsOfAnswers === 1;
  writeResult({ id: 'A3', seed: 0, figures, passed, planted });
});

test('every error says whether to try again, and when', async (t) => {
  const found = await complaints(t, (name) => {
    throw new ServiceError(name);
  });
  figures.wrong = found.length;
  assert.deepEqual(found, []);
});

test('an answer that hides when to try again, or invites in vain, is found out', async (t) => {
  const found = await complaints(t, (name) => {
    const { status, code } = ERRORS[name];
    const headers = { Allow: 'GET', ...(status === 409 && { 'Retry-After': '1' }) };
    return { status, headers, contentType: 'application/json', body: { error: { code, message: 'x' } } };
  });
  const wrong = new Set(found.map((one) => one.split(' ')[1]));
  assert.deepEqual([...wrong].sort(), ['409', '426', '429', '503']);
  assert.match((await complaints(t, () => ok({}))).join(), /nobody knows what 200 means/);
  planted = true;
});

describe('in production, tokens', () => {
  let server: TestServer;
  shareServer((started) => {
    server = started;
  });

  test('that are revoked, of somebody deleted, forged, foreign or no tokens at all are refused alike, to the byte', async (t) => {
    const production = await startProduction(t);
    const id = await production.givenIdentity();
    const [revoked, forged] = [await production.givenToken(id), await production.givenToken(id)];
    await production.asService(`POST ${inPath(id)}/:revokeAccessTokens`);
    const gone = await production.givenIdentity();
    const orphan = await production.givenToken(gone);
    await production.asService(`DELETE ${inPath(gone)}`);
    const foreign = await server.givenToken(await server.givenIdentity());
    const tokens = [
      revoked,
      orphan,
      foreign,
      `${forged.slice(0, -8)}AAAAAAAA`,
      'x',
      'a.b.c',
      forged.replace('.', '..'),
    ];

    const kinds = new Set<string>();
    for (const token of tokens) {
      const { status, headers, text } = await production.asUser(token);
      const { date, 'ms-cv': cv, 'x-processing-time': took, ...same } = headers;
      assert.ok(date && cv && took);
      kinds.add(JSON.stringify([status, same, text]));
    }
    figures.refusedTokens = tokens.length;
    figures.kindsOfAnswers = kinds.size;
    assert.deepEqual([...kinds].length, 1, [...kinds].join('\n'));
  });
});
