import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { OPERATIONS, TOOL_CHECKS } from '../clients/operations.ts';
import { type ClientResults, conformancePages, nameOf, readResults, readToolResults } from '../clients/page.ts';
import { GUIDE, guideTexts } from '../clients/troubles.ts';

const ROOT = join(import.meta.dirname, '../..');
const textOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const results = readResults();
const tools = readToolResults();

for (const [path, text] of conformancePages(results, tools)) {
  test(`${path} says what the last run of the clients found (npm run test:clients -- --write)`, () => {
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
  assert.match(page, /^\| Create an identity \| \*\*differs\*\* \| – \| not run \|$/m);
  assert.match(page, /^- Cobol 1: \*\*differs\*\*: 500 \(Create an identity\)$/m);
  assert.match(page, /^- Cobol 2: too old \(Create an identity\)$/m);
  assert.match(page, /^- Cobol 3: not run: no Cobol \(everything\)$/m);
  assert.match(page, /^\| Operation \| Fortran 4 \|$/m);
  assert.match(page, /^- Fortran 4: too new \(Regenerates one key, and is told that one only\)$/m);
  assert.match(pages.get('README.md') ?? '', /^\| Cobol `identity` \| 1 \| 0 of the 1 that it has \|$/m);
});

test('the guide has every text that the SDKs are made to show', () => {
  const guide = textOf(GUIDE);
  for (const text of guideTexts()) assert.ok(guide.includes(text), text);
});
