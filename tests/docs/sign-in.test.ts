import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { APPLICATIONS, AUDIENCES, DIRECTORY_TENANT, GROUP, USERS } from '../../src/planes/sign-in/directory.ts';

test('the guide to signing in names everybody and everything of the directory', () => {
  const guide = readFileSync(join(import.meta.dirname, '../../docs/guides/sign-in.md'), 'utf8');
  const named = [
    DIRECTORY_TENANT,
    GROUP.objectId,
    ...Object.values(APPLICATIONS).map(({ clientId }) => clientId),
    ...USERS.flatMap(({ objectId, userName }) => [objectId, userName]),
    ...AUDIENCES.flatMap(({ aud, permissions }) => [aud, ...permissions]).map((text) => `\`${text}\``),
  ];
  for (const text of named) assert.ok(guide.includes(text), text);
});
