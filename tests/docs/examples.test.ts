import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { describedRoutes } from '../harness/described.ts';
import { recordExamples } from '../harness/docs/examples.ts';

const FILE = join(import.meta.dirname, '../../docs/reference/examples.json');

test('the examples of the operations are what a server answers (EXAMPLES=write npm test -- docs/examples)', async (t) => {
  const examples = await recordExamples(t);
  const operations = (['dev', 'production'] as const).flatMap((mode) =>
    describedRoutes(mode).map(({ operation }) => operation),
  );
  assert.deepEqual(Object.keys(examples).sort(), [...new Set(operations)].sort());
  if (process.env.EXAMPLES === 'write') writeFileSync(FILE, `${JSON.stringify(examples, undefined, 1)}\n`);
  assert.deepEqual(JSON.parse(readFileSync(FILE, 'utf8')), examples);
});
