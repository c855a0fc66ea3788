import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '../..');
const INDEX = 'docs/README.md';

const pages = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.md'))
  .map((path) => join('docs', path));

const textOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** The targets of a page's links to files of the repository: path from the root, and the heading where one is named. */
function linksOf(page: string): { path: string; heading: string | undefined }[] {
  const targets = [...textOf(page).matchAll(/\]\(([^)\s]+)\)|\s(?:src|srcset)="([^"]+)"/g)].map(
    ([, link, source]) => link ?? source ?? '',
  );
  return targets
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [file, heading] = target.split('#');
      return { path: file ? join(dirname(page), file) : page, heading };
    });
}

/** The names by which headings of a page are linked. */
const headingsOf = (page: string): string[] =>
  [...textOf(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );

test(`${INDEX} links every page under docs/`, () => {
  const linked = existsSync(join(ROOT, INDEX)) ? linksOf(INDEX).map(({ path }) => path) : [];
  assert.deepEqual(
    pages.filter((page) => page !== INDEX && !linked.includes(page)),
    [],
  );
});

for (const page of ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...pages]) {
  test(`every link of ${page} leads to a file, and to a heading of it`, () => {
    for (const { path, heading } of linksOf(page)) {
      assert.ok(existsSync(join(ROOT, path)), path);
      if (heading === undefined) continue;
      assert.ok(headingsOf(path).includes(heading), `${path}#${heading}`);
    }
  });
}
