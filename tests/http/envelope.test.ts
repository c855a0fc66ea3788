import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServiceError } from '../../src/errors.ts';
import { envelope } from '../../src/http/envelope.ts';
import { route } from '../../src/http/route.ts';
import { send } from '../harness/http.ts';
import { givenPipeline } from '../harness/test-pipeline.ts';

const NOT_JSON = { code: 'ValidationError', message: 'The request body is not valid JSON.' };

test('an error has its code, its message and, where it names one, its target, and no other member', () => {
  const { error: plain } = envelope(new ServiceError('BodyUnreadable'));
  assert.deepEqual(Object.entries(plain), Object.entries(NOT_JSON));
  const { error: aimed } = envelope(new ServiceError('BodyUnreadable', { target: 'body' }));
  assert.deepEqual(aimed, { ...NOT_JSON, target: 'body' });
});

test('what is wrong in several places is listed, and what is known more exactly is nested, each as an error', () => {
  const error = new ServiceError('BodyUnreadable', {
    details: [
      new ServiceError('FieldMissing', { values: { field: 'roles' }, target: 'roles' }),
      new ServiceError('BodyUnreadable', { inner: new ServiceError('KeyTypeInvalid') }),
    ],
    inner: new ServiceError('TrustNotFound', { values: { name: 'x' } }),
  });
  const keyType = { code: 'InvalidKeyType', message: 'The keyType must be Primary or Secondary.', target: 'keyType' };
  assert.deepEqual(envelope(error), {
    error: {
      ...NOT_JSON,
      details: [
        { code: 'ValidationError', message: 'roles: The roles field is required.', target: 'roles' },
        { ...NOT_JSON, innererror: keyType },
      ],
      innererror: { code: 'TrustNotFound', message: "There is no trust 'x'." },
    },
  });
});

test('an empty list of details is sent as one', () => {
  assert.deepEqual(envelope(new ServiceError('BodyUnreadable', { details: [] })).error.details, []);
});

test('errors within errors are shown four levels deep', () => {
  for (const kind of ['inner', 'details'] as const) {
    let error = new ServiceError('BodyUnreadable');
    for (let level = 0; level < 5000; level++)
      error = new ServiceError('BodyUnreadable', kind === 'inner' ? { inner: error } : { details: [error] });
    assert.equal(JSON.stringify(envelope(error)).match(/"code"/g)?.length, 4, kind);
  }
});

test('no cause, reason or detail reaches the body, at no level', async (t) => {
  const secret = { reason: 'store.failed', detail: 'hunter2', cause: new Error('hunter2') } as const;
  const inner = new ServiceError('BodyUnreadable', secret);
  const failing = route({
    operation: 'tryError',
    summary: 'Fails.',
    at: 'GET /try/error',
    access: { caller: 'nobody' },
    answers: {},
    handle: () => {
      throw new ServiceError('BodyUnreadable', { ...secret, inner, details: [inner] });
    },
  });
  const port = await givenPipeline(t, [failing]);
  const { status, text } = await send(port, { target: '/try/error' });
  assert.equal(status, 400);
  assert.deepEqual(JSON.parse(text), { error: { ...NOT_JSON, details: [NOT_JSON], innererror: NOT_JSON } });
});
