import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '../..');

/** The fenced blocks of a page, in order. */
const blocksOf = (text: string): { language: string; lines: string }[] =>
  [...text.matchAll(/^ *```(\w+)\n([\s\S]*?)^ *```$/gm)].map(([, language = '', lines = '']) => ({ language, lines }));

for (const path of globSync('docs/guides/*.md', { cwd: ROOT }).sort()) {
  test(`${path} has lines for PowerShell wherever lines for a shell set variables`, () => {
    const blocks = blocksOf(readFileSync(join(ROOT, path), 'utf8'));
    for (const [at, { language, lines }] of blocks.entries()) {
      const names = [...lines.matchAll(/^(?:export )?(\w+)=/gm)].map(([, name]) => name);
      if (language !== 'sh' || names.length === 0) continue;
      const next = blocks[at + 1];
      assert.equal(next?.language, 'powershell', lines);
      for (const name of names) assert.match(next.lines, new RegExp(`^\\$(env:)?${name} = `, 'm'), `no $${name}`);
    }
  });
}
