import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startTestServer } from '../harness/server.ts';

// What two servers find that are started at the same time in a folder where nothing was yet: one has the store.
const MADE_AT_FIRST_START = ['operator.key', 'issuer.key', 'ca.pem', 'server.pem', 'server.key'];

test('a server that finds its folder in use writes nothing into it', async (t) => {
  const { folder } = await startTestServer(t);
  const paths = MADE_AT_FIRST_START.map((name) => join(folder, name));
  for (const path of paths) rmSync(path);
  await assert.rejects(startTestServer(t, { folder }), { name: 'StoreError', message: /open in another process/ });
  await sleep(500); // a file takes milliseconds to be written
  assert.deepEqual(
    paths.filter((path) => existsSync(path)),
    [],
  );
});
