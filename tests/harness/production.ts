import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { givenResource } from './resources.ts';
import { startTestServer, type TestServer } from './server.ts';

/** Starts a server in production mode on loopback, with one resource whose primary key the client signs with. */
export async function startProduction(t: TestContext, env: Record<string, string> = {}): Promise<TestServer> {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-production-'));
  const server = await startTestServer(t, {
    folder,
    env: {
      LINARITE_MODE: 'production',
      LINARITE_PUBLIC_URL: 'https://acs.example.org',
      LINARITE_KEK: randomBytes(32).toString('base64'),
      ...env,
    },
  });
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  server.key = (await givenResource(server, 'acs')).key;
  return server;
}
