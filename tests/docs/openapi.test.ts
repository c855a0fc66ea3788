import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validate } from '@hyperjump/json-schema/openapi-3-1';
import { apiDocument } from '../../src/http/openapi.ts';
import { ok, type Route, route } from '../../src/http/route.ts';
import { listOf, object, optional, text } from '../../src/http/schema.ts';
import { serviceDialect } from '../../src/http/service-dialect.ts';
import { versions } from '../../src/planes/identity/versions.ts';
import { describedPlanes } from '../../src/start/planes.ts';
import { startProduction } from '../harness/production.ts';
import { startTestServer } from '../harness/server.ts';
import { apiOf } from '../harness/test-pipeline.ts';

/** The published schema of OpenAPI 3.1, with that of JSON Schema 2020-12 for the schemas within. */
const fitsStandard = await validate('https://spec.openapis.org/oas/3.1/schema-base');
const complaints = (document: unknown): unknown[] => {
  const output: { valid: boolean; errors?: unknown[] } = fitsStandard(document as never, 'BASIC');
  return output.valid ? [] : (output.errors ?? ['does not fit']);
};

const planes = describedPlanes('production');
const routes = planes.flatMap((plane) => plane.routes);
const document = apiDocument(planes, serviceDialect);
const describe = (...described: Route[]) => apiDocument([apiOf(described)], serviceDialect);
const operations = Object.values(document.paths).flatMap((path) => Object.values(path));

test('the document fits the OpenAPI Specification 3.1', () => {
  assert.deepEqual(complaints(document), []);
});

test('a document that does not fit is found out, also deep within a schema', () => {
  const broken = [
    { ...document, paths: { identities: {} } },
    { ...document, info: { title: 'no version' } },
    describe(
      route({
        operation: 'x',
        summary: 'X.',
        at: 'GET /x',
        access: { caller: 'nobody' },
        answers: { 200: object({ list: listOf(text({ minLength: 'three' })) }) },
        handle: () => ok({}),
      }),
    ),
  ];
  for (const one of broken) assert.notDeepEqual(complaints(one), []);
});

test('every route is in it, once', () => {
  assert.deepEqual(
    operations.map(({ operationId }) => operationId).sort(),
    routes.map(({ operation }) => operation).sort(),
  );
});

test('every reference leads somewhere', () => {
  for (const [, path = ''] of JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)) {
    let place: unknown = document;
    for (const step of path.split('/')) place = (place as Record<string, unknown>)[step];
    assert.ok(place, path);
  }
});

test('an operation is described from its route', () => {
  const { paths } = describe(
    route({
      operation: 'renameThing',
      summary: 'Renames a thing.',
      at: 'PATCH /things/{id}',
      versions: versions('2025-06-30', '2026-07-22'),
      access: { caller: 'user', requires: 'chat.thread.update' },
      query: { dryRun: text({ pattern: '^yes$', description: 'Only looks.' }) },
      body: { schema: object({ name: text(), note: optional(text()) }), kind: 'json' },
      answers: { 200: object({ names: listOf(text()) }), 204: 'nothing', 402: object({ price: text() }) },
      handle: ({ query }) => ok({ names: [query.dryRun] }),
    }),
  );
  const { responses, ...rest } = paths['/things/{id}']?.patch ?? assert.fail();
  assert.deepEqual(rest, {
    operationId: 'renameThing',
    summary: 'Renames a thing.',
    tags: ['test'],
    parameters: [
      { name: 'id', in: 'path', required: true, schema: { type: 'string', minLength: 1 } },
      {
        name: 'api-version',
        in: 'query',
        required: true,
        description: 'A version newer than all known ones is served as the newest known one, if that is in this list.',
        schema: { type: 'string', enum: ['2025-06-30', '2026-07-22'] },
      },
      { name: 'dryRun', in: 'query', description: 'Only looks.', schema: { type: 'string', pattern: '^yes$' } },
      { $ref: '#/components/parameters/ClientRequestId' },
    ],
    security: [{ userToken: ['chat.thread.update'] }],
    requestBody: {
      required: true,
      content: {
        'application/json': {
          schema: {
            type: 'object',
            properties: { name: { type: 'string' }, note: { anyOf: [{ type: 'string' }, { type: 'null' }] } },
            required: ['name'],
          },
        },
      },
    },
  });
  assert.deepEqual(Object.keys(responses), ['200', '204', '402', 'default']);
  const names = { type: 'object', properties: { names: { type: 'array', items: { type: 'string' } } } };
  assert.deepEqual(responses['200']?.content, { 'application/json': { schema: { ...names, required: ['names'] } } });
  assert.equal(responses['204']?.content, undefined);
});

test('a running server describes itself: to anybody in dev mode, to the operator in production', async (t) => {
  const dev = await startTestServer(t);
  const open = await dev.send({ target: '/-/openapi.json' });
  assert.deepEqual([open.status, complaints(open.body)], [200, []]);
  assert.deepEqual(open.body, JSON.parse(JSON.stringify(apiDocument(describedPlanes('dev'), serviceDialect))));

  const operatorKey = 'an-operator-key-for-the-document-012345';
  const production = await startProduction(t, { LINARITE_OPERATOR_KEY: operatorKey });
  const target = '/-/openapi.json';
  assert.equal((await production.send({ target })).status, 401);
  const answer = await production.send({ target, headers: { Authorization: `Bearer ${operatorKey}` } });
  assert.deepEqual(answer.body, JSON.parse(JSON.stringify(document)));
});
