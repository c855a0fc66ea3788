import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLoopback } from '../../src/lib/loopback.ts';

test('addresses of this machine are told from those that only look like it', () => {
  for (const address of ['127.0.0.1', '127.255.0.9', '::1', '::ffff:127.0.0.1', '::FFFF:127.1.2.3'])
    assert.ok(isLoopback(address), address);
  const others = ['127.example.org', '127.0.0.1.example.org', '127.0.0', '1.127.0.0.1', '128.0.0.1', '::2', '::11'];
  for (const address of [...others, '0.0.0.0', '::', '', 'localhost', '::ffff:10.0.0.1', 'x127.0.0.1'])
    assert.ok(!isLoopback(address), address);
});
