import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { operationsPage, referencePages } from '../../scripts/docs.ts';
import { ok, route } from '../../src/http/route.ts';
import { listOf, object, optional, text } from '../../src/http/schema.ts';
import { IDENTITY_VERSIONS, versions } from '../../src/planes/identity/versions.ts';
import { apiOf } from '../harness/test-pipeline.ts';

const ROOT = join(import.meta.dirname, '../..');

for (const [path, page] of referencePages()) {
  test(`${path} says what the tables say (npm run docs)`, () => {
    assert.equal(readFileSync(join(ROOT, path), 'utf8'), page);
  });

  if (!path.endsWith('.md')) continue;
  test(`${path} is whole Markdown: every row of a table is as wide as its head`, () => {
    let width: number | undefined;
    for (const line of page.split('\n')) {
      const cells = line.startsWith('|') ? line.replaceAll('\\|', '').split('|').length : undefined;
      assert.ok(cells === undefined || width === undefined || cells === width, line);
      width = cells;
    }
  });
}

test('an operation is described from its route', () => {
  const routes = [
    route({
      operation: 'renameThing',
      summary: 'Renames a thing.',
      at: 'PATCH /things/{id}',
      versions: versions('2025-06-30', '2026-07-22'),
      access: { caller: 'user', requires: 'chat.thread.update' },
      body: {
        schema: object({ name: text(), note: optional(text()) }),
        kind: 'json',
      },
      answers: { 200: object({ names: listOf(text()) }), 204: 'nothing' },
      handle: () => ok({}),
    }),
  ];
  const plane = apiOf(routes, { name: 'identity', versions: IDENTITY_VERSIONS });
  assert.equal(
    operationsPage([plane], [], { renameThing: { request: 'PATCH /things/7', answer: 'HTTP/1.1 204' } })
      .split(/^(?=## )/m)
      .at(-1),
    `## renameThing

\`PATCH /things/{id}\`

Renames a thing.

- Plane: identity
- Caller: a user, by an access token that grants \`chat.thread.update\`
- Api-versions: Identity, from \`2025-06-30\` to \`2026-07-22\`
- Body (json): \`name\` (string), \`note\` (string or null, optional)
- 200: \`names\` (array)
- 204: no body

\`\`\`http
PATCH /things/7
\`\`\`

\`\`\`http
HTTP/1.1 204
\`\`\`
`,
  );
});
