import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { statement } from '../../src/storage/sql.ts';
import { Boards } from '../harness/cluster/boards.ts';
import { givenNode, givenStores, QUICK, Wire } from '../harness/cluster/nodes.ts';
import { until } from '../harness/durability/until.ts';
import { STORES } from '../harness/postgres.ts';

const textOf = (...path: string[]): string => readFileSync(join(import.meta.dirname, ...path), 'utf8');

test('the example on the page is the one that is run', () => {
  const [, example = ''] = /```ts\n(.*?)```/s.exec(textOf('../../docs/internals/facts.md')) ?? [];
  assert.ok(example.length > 500 && textOf('../harness/cluster/boards.ts').endsWith(example));
});

for (const dialect of STORES) {
  test(`the example brings notes to everybody and counts them on ${dialect}`, async (t) => {
    const wire = new Wire();
    const stores = await givenStores(t, dialect, 2);
    await stores[0]?.writer.write((tx) => tx.run(statement('create table notes (board text, note text)')));
    const [one, other] = stores.map((db) => new Boards({ db, cluster: givenNode(t, db, wire.carrier(), QUICK) }));
    assert.ok(one && other);
    const [seen, counted]: [string[], string[]] = [[], []];
    await one.add('garden', 'water');
    await other.open('garden', (note) => void seen.push(note), assert.fail);
    await other.count(async (note) => void counted.push(note));
    await one.add('garden', 'dig');
    await other.add('garden', 'rest');
    await one.add('kitchen', 'cook');
    await until('all are seen', () => seen.length === 3 && counted.length === 4);
    assert.deepEqual(seen, ['water', 'dig', 'rest']);
    assert.deepEqual(counted.toSorted(), ['cook', 'dig', 'rest', 'water']);
  });
}
