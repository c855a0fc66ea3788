import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { OPERATIONS, TOOL_CHECKS } from '../harness/clients/operations.ts';
import { type ClientResults, conformancePages, nameOf, readResults, readToolResults } from '../harness/clients/page.ts';
import { GUIDE, guideTexts } from '../harness/clients/sdk-problems.ts';

const ROOT = join(import.meta.dirname, '../..');
const textOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const results = readResults();
const tools = readToolResults();

for (const [path, text] of conformancePages(results, tools)) {
  test(`${path} says what the last run of the clients found (npm run harness -- clients --write)`, () => {
    assert.equal(textOf(path), text);
  });
}

test('every client has a finding for every operation, or was not run', () => {
  const requireAll = (clients: readonly ClientResults<string>[], keys: readonly string[]): void => {
    for (const { notRun, findings, ...client } of clients) {
      const found = findings.map(({ operation }) => operation).sort();
      assert.deepEqual(found, notRun === undefined ? keys.toSorted() : [], nameOf(client));
    }
  };
  requireAll(results, Object.keys(OPERATIONS));
  requireAll(tools, Object.keys(TOOL_CHECKS));
});

test('nothing differs in what is published', () => {
  assert.deepEqual(
    [...results, ...tools].flatMap(({ findings }) => findings.filter(({ outcome }) => outcome === 'differs')),
    [],
  );
});

test('what differs, is absent or was not run is told apart and explained', () => {
  const client = (release: string, more: Partial<ClientResults>): ClientResults => ({
    language: 'Cobol',
    sdk: 'identity',
    release,
    findings: [],
    ...more,
  });
  const pages = conformancePages(
    [
      client('1', { findings: [{ operation: 'create', outcome: 'differs', how: '500' }] }),
      client('2', { findings: [{ operation: 'create', outcome: 'absent', how: 'too old' }] }),
      client('3', { notRun: 'no Cobol' }),
    ],
    [
      {
        language: 'Fortran',
        sdk: 'management',
        release: '4',
        findings: [{ operation: 'keys', outcome: 'absent', how: 'too new' }],
      },
    ],
  );
  const page = pages.get('docs/reference/conformance.md') ?? '';
  assert.match(page, /^### Cobol\n\n`identity`\n\n\| Operation \| 1 \| 2 \|$/m);
  assert.match(page, /^\| Create an identity \| \*\*differs\*\* \(1\) \| – \(2\) \|$/m);
  assert.match(page, /\n\n1\. 500\n2\. too old\n\nNot run: 3, no Cobol\.\n\n/);
  assert.match(page, /^### Fortran\n\n`management`\n\n\| Operation \| 4 \|$/m);
  assert.match(page, /^\| Regenerates one key, and is told that one only \| – \(1\) \|$/m);
  assert.match(page, /\n\n1\. too new\n$/);
  assert.match(pages.get('README.md') ?? '', /^\| Cobol \| `identity` \| 1, 2 \| 0 of 1 \| 3: no Cobol \|$/m);
});

test('the README has one row for each language', () => {
  const [, rows = ''] =
    /<!-- conformance -->\n.+\n.+\n([\s\S]*?)<!-- \/conformance -->/.exec(textOf('README.md')) ?? [];
  const languages = rows
    .trimEnd()
    .split('\n')
    .map((row) => row.split(' | ')[0]?.slice(2));
  assert.deepEqual(languages, [...new Set(results.map(({ language }) => language))]);
});

test('the guide has every text that the SDKs are made to show', () => {
  const guide = textOf(GUIDE);
  for (const text of guideTexts()) assert.ok(guide.includes(text), text);
});
