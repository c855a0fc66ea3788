import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SCOPES } from '../../src/capabilities/tables.ts';
import { lifetime, scopeList } from '../../src/tokens/token.ts';

const BOUNDS = { shortest: 60, longest: 1440, usual: 600 };

for (const minutes of [60, 61, 1439, 1440])
  test(`a lifetime of ${minutes} minutes lies within its bounds, which are both included`, () => {
    assert.equal(lifetime(minutes, BOUNDS), minutes);
  });

for (const none of [undefined, null])
  test(`where the lifetime is ${none}, it is the usual one`, () => {
    assert.equal(lifetime(none, BOUNDS), 600);
  });

for (const minutes of [59, 1441, 0, -60])
  test(`a lifetime of ${minutes} minutes is refused`, () => {
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

const unknown = (scope: string) => ({
  error: 'ScopeUnknown',
  message: `Invalid scopes - Scope '${scope}' is not supported.`,
});

for (const scope of ['', 'Chat', 'pstn', 'constructor'])
  test(`the scope ${JSON.stringify(scope)} is refused by its name, in every api-version`, () => {
    assert.throws(() => scopeList(['chat', scope], 'all'), unknown(scope));
    assert.throws(() => scopeList(['chat', scope], 'first'), unknown(scope));
  });

for (const scope of ['chat.join', 'chat.join.limited', 'voip.join'])
  test(`the scope ${scope} is refused by its name in an api-version that has only the first scopes`, () => {
    assert.throws(() => scopeList(['chat', scope], 'first'), unknown(scope));
  });

for (const known of ['all', 'first'] as const)
  test(`no scope at all is refused where ${known} are known`, () => {
    assert.throws(() => scopeList([], known), { error: 'ScopesMissing' });
  });
