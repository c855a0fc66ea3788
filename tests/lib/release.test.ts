import assert from 'node:assert/strict';
import { test } from 'node:test';
import { release } from '../../src/lib/release.ts';

test('a chunk with memory of its own gives it back', () => {
  const chunk = Buffer.from(new ArrayBuffer(64 * 1024));
  const memory = chunk.buffer as ArrayBuffer;
  release(chunk);
  assert.ok(memory.detached);
  assert.equal(chunk.length, 0);
  release(chunk); // a second time does no harm
});

test('a chunk that shares its memory keeps it', () => {
  const memory = new ArrayBuffer(64 * 1024);
  release(Buffer.from(memory, 0, 32 * 1024));
  assert.ok(!memory.detached);

  const shared = Buffer.from(new SharedArrayBuffer(64 * 1024));
  release(shared);
  assert.equal(shared.length, 64 * 1024);
});

test('so does a small one', () => {
  const chunk = Buffer.from('x');
  release(chunk);
  assert.equal(chunk.toString(), 'x');
});
