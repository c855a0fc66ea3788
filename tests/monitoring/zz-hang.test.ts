import { test } from 'node:test';
test('hangs', () => new Promise((r) => setTimeout(r, 1e9)));
