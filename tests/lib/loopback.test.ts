import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLoopback } from '../../src/lib/loopback.ts';

const OURS = ['127.0.0.1', '127.255.0.9', '::1', '::ffff:127.0.0.1', '::FFFF:127.1.2.3'];
const NAMES = ['127.example.org', '127.0.0.1.example.org', 'localhost', ''];
const OTHERS = ['127.0.0', '1.127.0.0.1', '128.0.0.1', '::2', '::11', '0.0.0.0', '::', '::ffff:10.0.0.1', 'x127.0.0.1'];

for (const address of OURS)
  test(`${address} is an address of this machine`, () => {
    assert.ok(isLoopback(address));
  });

for (const address of [...NAMES, ...OTHERS])
  test(`${JSON.stringify(address)} is not`, () => {
    assert.ok(!isLoopback(address));
  });
