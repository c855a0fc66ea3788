import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SCOPES } from '../../src/capabilities/tables.ts';
import { lifetime, scopeList } from '../../src/tokens/token.ts';

const BOUNDS = { shortest: 60, longest: 1440, usual: 600 };

test('a lifetime lies within its bounds, both of them included, and has a usual value', () => {
  for (const minutes of [60, 61, 1439, 1440]) assert.equal(lifetime(minutes, BOUNDS), minutes);
  for (const none of [undefined, null]) assert.equal(lifetime(none, BOUNDS), 600);
  for (const minutes of [59, 1441, 0, -60])
    assert.throws(() => lifetime(minutes, BOUNDS), {
      error: 'LifetimeOutOfRange',
      message: `ExpiresInMinutes value ${minutes} is invalid. Value must be within the [60, 1440] interval.`,
    });
});

test('scopes keep their order and lose their repeats', () => {
  assert.deepEqual(scopeList(['voip', 'chat', 'voip'], 'all'), ['voip', 'chat']);
  assert.deepEqual(scopeList(SCOPES, 'all'), SCOPES);
  assert.deepEqual(scopeList(['chat', 'voip'], 'first'), ['chat', 'voip']);
});

test('a scope that the api-version does not know is refused by its name, and so is none at all', () => {
  const unknown = (scope: string) => ({
    error: 'ScopeUnknown',
    message: `Invalid scopes - Scope '${scope}' is not supported.`,
  });
  for (const scope of ['', 'Chat', 'pstn', 'constructor']) {
    assert.throws(() => scopeList(['chat', scope], 'all'), unknown(scope));
    assert.throws(() => scopeList(['chat', scope], 'first'), unknown(scope));
  }
  for (const scope of ['chat.join', 'chat.join.limited', 'voip.join'])
    assert.throws(() => scopeList(['chat', scope], 'first'), unknown(scope));
  for (const known of ['all', 'first'] as const) assert.throws(() => scopeList([], known), { error: 'ScopesMissing' });
});
