import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { merged } from '../../src/lib/merged.ts';

const FRUIT = { apple: { colour: 'green' }, plum: { colour: 'blue' } } as const;
const ROOTS = { beet: { colour: 'red', deep: true } } as const;

describe('tables put together', () => {
  test('have the rows of all of them, in their order and with their types', () => {
    const all = merged({ Fruit: FRUIT, Roots: ROOTS });
    assert.deepEqual(Object.entries(all), [...Object.entries(FRUIT), ...Object.entries(ROOTS)]);
    const name: keyof typeof all = 'beet';
    const { deep }: { deep: true } = all[name];
    assert.equal(deep, true);
    // @ts-expect-error there is no such row
    assert.equal(all.pear, undefined);
    assert.ok(Object.isFrozen(all));
  });

  test('with one name in two tables do not compile, and throw', () => {
    const more = { plum: { colour: 'yellow' } } as const;
    // @ts-expect-error plum is in two tables
    assert.throws(() => merged({ Fruit: FRUIT, Roots: ROOTS, More: more }), /^Error: plum is in two tables$/);
  });

  test('whose rows have the names of members of every object are told apart from these', () => {
    const odd = { constructor: { colour: 'none' } } as const;
    assert.deepEqual(Object.keys(merged({ Roots: ROOTS, Odd: odd })), ['beet', 'constructor']);
  });
});
