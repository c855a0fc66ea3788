import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEV_RESOURCE, newResourceId, REGIONS, resourceName } from '../../src/resources/resource.ts';

test('a name has 1 to 63 letters, digits, hyphens and underscores, without regard to case', () => {
  for (const name of ['a', 'contoso', '-', '_', '0', 'a-b_c', 'x'.repeat(63)]) assert.equal(resourceName(name), name);
  assert.equal(resourceName('Contoso-DEV'), 'contoso-dev');
  for (const name of ['', 'x'.repeat(64), 'a.b', 'a b', ' a', 'a ', 'a\n', '\na', 'ä', 'a/b', '__proto__.x'])
    assert.throws(() => resourceName(name), { error: 'ResourceNameInvalid' }, JSON.stringify(name));
});

test('an id is a fresh GUID', () => {
  const ids = Array.from({ length: 100 }, newResourceId);
  assert.equal(new Set(ids).size, 100);
  for (const id of ids) assert.match(id, /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
});

test('each location stands for one region in tokens', () => {
  assert.deepEqual(
    Object.entries(REGIONS).map(([location, region]) => `${location} ${region}`),
    [
      'unitedstates amer',
      'canada ca',
      'europe emea',
      'uk uk',
      'france fr',
      'germany de',
      'switzerland ch',
      'norway no',
      'india in',
      'australia au',
      'japan jp',
      'korea kr',
      'asiapacific apac',
      'africa za',
      'brazil br',
      'uae ae',
    ],
  );
});

test('the development resource is the published one: connection strings in repositories name it', () => {
  assert.deepEqual(DEV_RESOURCE, {
    id: '5e1f0057-ed00-4acc-8000-000000007417',
    name: 'dev',
    location: 'unitedstates',
    primaryKey: 'u+mOYqPsJZ0G1ilWANj4OrQXRxtjeRWpwXsoWVDRc86nzXU4jO5UiKrCGdy5n/5AwT7aAXniUhkhOnOZCFLTIg==',
  });
});
