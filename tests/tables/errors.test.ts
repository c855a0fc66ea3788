import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  ERROR_GROUPS,
  ERRORS,
  type ErrorName,
  REASON_GROUPS,
  REASONS,
  type Reason,
  ServiceError,
} from '../../src/errors.ts';
import { Admission } from '../../src/http/admission.ts';
import { SignatureVerifier } from '../../src/http/hmac.ts';
import { Pipeline } from '../../src/http/pipeline.ts';
import { Quotas } from '../../src/http/quotas.ts';
import { RequestGuard } from '../../src/http/request-guard.ts';
import { RouteTable } from '../../src/http/routes.ts';
import { serviceDialect } from '../../src/http/service-dialect.ts';
import { UNWATCHED } from '../../src/http/session.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { Monitor } from '../../src/monitoring/monitor.ts';
import { ServerMetrics } from '../../src/monitoring/server-metrics.ts';
import { TestLog } from '../harness/server.ts';
import { SOURCES } from '../harness/sources.ts';

const usersOf = (name: string): string[] =>
  [...SOURCES].filter(([path, text]) => !/^errors[./]/.test(path) && text.includes(`'${name}'`)).map(([path]) => path);

const pipelineIn = (mode: 'dev' | 'production', log = new TestLog()): Pipeline =>
  new Pipeline(
    {
      routes: new RouteTable([]),
      guard: new RequestGuard({ local: mode === 'dev', allowedHosts: [], allowedOrigins: [], trustedProxies: [] }),
      signatures: new SignatureVerifier(
        { candidatesFor: () => [], clock: systemClock },
        { windowMinutes: 5, wellKnownKey: 'loopback' },
      ),
      userOf: () => Promise.reject(new Error('nobody')),
      userOfTicket: () => Promise.reject(new Error('nobody')),
      isOperator: () => false,
      principals: {} as never,
      admission: new Admission({ places: { usual: 1, urgent: 1 }, bodyBytes: 2 ** 20 }),
      parked: {} as never,
      sockets: {} as never,
      sessions: UNWATCHED,
      quotas: new Quotas(systemClock, { preset: 'off', countsEndings: true }),
      requireFresh: async () => undefined,
      isStoreFailure: (cause) => cause === 'the store failed',
      clock: systemClock,
      events: new Monitor(log, new ServerMetrics('test')),
    },
    { dialect: serviceDialect, explains: mode === 'dev', bodyBytesMost: 0 },
  );

describe('every error', () => {
  for (const [name, shape] of Object.entries(ERRORS)) {
    test(`${name} is an envelope with its status, and its message has no hole`, () => {
      const error = new ServiceError(name as ErrorName);
      const { status, headers, body, chunked } = pipelineIn('dev').refuse(error);
      assert.equal(status, shape.status);
      assert.equal(chunked, true);
      assert.equal(headers['Content-Type'], 'application/json');
      const { error: sent } = JSON.parse(String(body));
      assert.equal(sent.code, shape.code);
      assert.equal(sent.target, 'target' in shape ? shape.target : undefined);
      assert.doesNotMatch(sent.message, /[{}]/);
      assert.equal(headers['Retry-After'], 'retryAfter' in shape ? String(shape.retryAfter) : undefined);
      assert.equal(headers['x-linarite-reason'], name);
      assert.equal(pipelineIn('production').refuse(error).headers['x-linarite-reason'], undefined);
    });

    test(`${name} has a sensible status, code and sentence`, () => {
      assert.ok(shape.status >= 400 && shape.status <= 503);
      assert.match(shape.code, /^[A-Z][A-Za-z]+$/);
      assert.match(shape.message, /^['{A-Z].*[.}]$/);
      if (shape.status === 429 || shape.status === 503) assert.ok('retryAfter' in shape);
    });

    test(`${name} is thrown somewhere`, () => {
      assert.notDeepEqual(usersOf(name), []);
    });
  }
});

test('every table of errors and of reasons in src/errors is merged', () => {
  const merged: unknown[] = [...Object.values(ERROR_GROUPS), ...Object.values(REASON_GROUPS)];
  const declared = [...SOURCES].filter(([path]) => path.startsWith('errors/')).map(([, text]) => text);
  const tables = declared.flatMap((text) => text.match(/^export const \w+/gm) ?? []);
  assert.equal(tables.length, merged.length, String(tables));
  const rows = merged.flatMap((table) => Object.keys(table ?? {}));
  assert.deepEqual(rows, [...Object.keys(ERRORS), ...Object.keys(REASONS)]);
});

test('every reason is given somewhere', () => {
  for (const reason of Object.keys(REASONS)) {
    assert.ok(usersOf(reason).length > 0, reason);
  }
});

test('every reason and every error that the sources name is in its table', () => {
  const named = (pattern: RegExp) =>
    [...SOURCES.values()].flatMap((text) => [...text.matchAll(pattern)].map(([, name = '']) => name));
  for (const name of named(/new ServiceError\(\s*'(\w+)'/g)) assert.ok(Object.hasOwn(ERRORS, name), name);
  for (const reason of named(/reason: '(\w+\.[\w.]+)'/g)) assert.ok(Object.hasOwn(REASONS, reason), reason);
  assert.ok(named(/new ServiceError\(\s*'(\w+)'/g).length > 20, 'the pattern still finds them');
});

test('a reason with words of its own keeps to one line of ASCII', () => {
  const detail = 'caf\u00e9\r\nSet-Cookie: x\u0000'.repeat(100);
  const { headers } = pipelineIn('dev').refuse(
    new ServiceError('Denied', { reason: 'header.repeated' satisfies Reason, detail }),
  );
  assert.match(headers['x-linarite-reason'] ?? '', /^header\.repeated; [ -~]{1,500}$/);
});

test('what nobody meant to throw is 500, tells the client nothing and the log everything', () => {
  for (const mode of ['dev', 'production'] as const) {
    for (const cause of [new Error('secret inside'), new TypeError('x'), 'text', undefined, null, 42]) {
      const log = new TestLog();
      const { status, body, headers } = pipelineIn(mode, log).refuse(cause);
      assert.equal(status, 500);
      assert.deepEqual(JSON.parse(String(body)), {
        error: { code: 'InternalError', message: 'The server met an unexpected condition.' },
      });
      assert.doesNotMatch(JSON.stringify(headers), /secret inside/);
      if (cause instanceof Error) assert.equal(log.lines[0]?.facts.cause, cause);
      assert.equal(log.lines[0]?.level, 'error');
    }
    assert.equal(pipelineIn(mode).refuse('the store failed').status, 503);
  }
});
