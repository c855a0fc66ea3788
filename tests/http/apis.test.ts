import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ServiceError } from '../../src/errors.ts';
import type { Dialect } from '../../src/http/dialect.ts';
import { ok, route } from '../../src/http/route.ts';
import { text } from '../../src/http/schema.ts';
import { serviceDialect } from '../../src/http/service-dialect.ts';
import { IDENTITY_VERSIONS, versions } from '../../src/planes/identity/versions.ts';
import { apiOf, pipelineOfApis } from '../harness/test-pipeline.ts';
import { wireRequest } from '../harness/wire-request.ts';

// Two APIs on one pipeline: one as it is, and one made up as chat is, whose list begins with a version of the other's.

const CHAT_VERSIONS = ['2021-03-07', '2021-09-07', '2024-03-07', '2025-03-15'];

/** The errors of the service with their code in a header, an error of its own shape, and the token in a header of its own. */
const chatDialect: Dialect = {
  ...serviceDialect,
  refusal(error, request) {
    const reply = serviceDialect.refusal(error, request);
    return { ...reply, headers: { 'x-ms-error-code': error.shape.code } };
  },
  headers: (facts) => ({ 'MS-CV': facts.correlationVector, 'x-chat': 'yes' }),
  exposedHeaders: ['Location', 'MS-CV'],
  userToken(request) {
    const [token] = request.header('x-skypetoken');
    if (token === undefined) throw new ServiceError('TokenRefused', { reason: 'authorization.missing' });
    return token;
  },
  repeatedParameters: 'refused',
};

const shownVersion = (at: `GET /${string}`, versions: readonly string[]) =>
  route({
    operation: `show${at.replaceAll(/\W/g, '')}`,
    summary: '',
    at,
    versions,
    access: { caller: 'nobody' },
    query: { q: text() },
    answers: { 200: 'nothing' },
    handle: ({ version }) => ok({ version }),
  });

const identity = apiOf([shownVersion('GET /identities', versions('2021-03-07'))], {
  name: 'identity',
  versions: IDENTITY_VERSIONS,
});
const chat = apiOf(
  [
    shownVersion('GET /chat/threads', CHAT_VERSIONS),
    shownVersion('GET /chat/gone', CHAT_VERSIONS.slice(0, 2)),
    route({
      operation: 'fail',
      summary: '',
      at: 'GET /chat/fail',
      access: { caller: 'nobody' },
      answers: {},
      handle() {
        throw new ServiceError('IdentityNotFound');
      },
    }),
    route({
      operation: 'enter',
      summary: '',
      at: 'GET /chat/enter',
      access: { caller: 'user', requires: 'anyScope' },
      answers: {},
      handle: () => ok({}),
    }),
  ],
  { name: 'chat', versions: CHAT_VERSIONS, dialect: chatDialect },
);
const pipeline = pipelineOfApis([identity, chat]);

const ask = async (target: string, headers: Record<string, string> = {}) => {
  const reply = await pipeline.answer(
    wireRequest({ method: 'GET', target, headers: { host: 'localhost:7417', ...headers } }),
  );
  return { ...reply, json: JSON.parse(String(reply.body ?? 'null')) };
};

describe('the API of a route decides', () => {
  for (const asked of ['2025-03-16', '2026-09-23', '2030-01-01', '2027-05-05-preview']) {
    test(`that ${asked} is served as its own newest version`, async () => {
      const { status, json, headers } = await ask(`/chat/threads?api-version=${asked}`);
      assert.deepEqual([status, json.version], [200, '2025-03-15']);
      assert.equal(headers['x-linarite-api-version'], '2025-03-15');
    });
  }

  test('that a version between two of its own is not known, whatever the other API knows', async () => {
    for (const asked of ['2022-06-01', '2023-10-01', '2024-03-06']) {
      assert.equal((await ask(`/chat/threads?api-version=${asked}`)).status, 400);
      assert.equal((await ask(`/identities?api-version=${asked}`)).status, asked === '2024-03-06' ? 400 : 200);
    }
  });

  test('that a newer version does not bring back what its newest no longer has', async () => {
    assert.equal((await ask('/chat/gone?api-version=2021-09-07')).json.version, '2021-09-07');
    assert.equal((await ask('/chat/gone?api-version=2030-01-01')).status, 400);
  });

  test('that the other API still serves a newer version as its own newest', async () => {
    assert.equal((await ask('/identities?api-version=2030-01-01')).json.version, '2026-09-23');
    assert.equal((await ask('/identities?api-version=2025-03-16')).status, 400);
  });

  test('how a refusal and every answer look', async () => {
    const refused = await ask('/chat/fail');
    assert.deepEqual([refused.status, refused.headers['x-ms-error-code']], [404, 'IdentityNotFound']);
    assert.equal(refused.json.error.code, 'IdentityNotFound');
    assert.deepEqual([refused.headers['x-chat'], refused.headers['Request-Context']], ['yes', undefined]);
    const other = await ask('/identities?api-version=2020-01-01');
    assert.deepEqual([other.headers['x-ms-error-code'], other.headers['x-chat']], [undefined, undefined]);
    assert.equal(other.headers['Request-Context'], 'appId=');
  });

  test('which headers a page may read', async () => {
    const exposed = async (target: string) =>
      (await ask(target, { origin: 'http://localhost:3000' })).headers['Access-Control-Expose-Headers'];
    assert.equal(await exposed('/chat/threads?api-version=2025-03-15'), 'Location, MS-CV');
    assert.match((await exposed('/identities?api-version=2023-10-01')) ?? '', /api-supported-versions/);
  });

  test('where the token of a user stands', async () => {
    const { status, headers } = await ask('/chat/enter', { authorization: 'Bearer x' });
    assert.deepEqual([status, headers['x-linarite-reason']], [401, 'authorization.missing']);
    // The token reached those who judge it, who know none here.
    assert.equal((await ask('/chat/enter', { 'x-skypetoken': 'x' })).status, 500);
  });

  test('what becomes of a parameter that is there twice', async () => {
    assert.equal((await ask('/chat/threads?api-version=2025-03-15&q=1&q=2')).status, 400);
    assert.equal((await ask('/identities?api-version=2023-10-01&q=1&q=2')).status, 200);
  });
});

test('what is refused before its route is known is told in the common dialect', async () => {
  const { status, headers, json } = await ask('/nowhere');
  assert.deepEqual([status, json.error.code, headers['x-chat']], [404, 'NotFound', undefined]);
});
