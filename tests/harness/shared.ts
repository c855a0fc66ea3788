import { after, before, type TestContext } from 'node:test';
import { startTestServer, type TestServer } from './server.ts';

type Options = Parameters<typeof startTestServer>[1];

/** One server for all tests of the suite, or of the file, in whose body this is called. For tests that share nothing. */
export function shareServer(use: (server: TestServer) => unknown, options: Options = {}): void {
  const undo: (() => unknown)[] = [];
  const context = { after: (step: () => unknown) => undo.push(step) } as unknown as TestContext;
  before(async () => {
    await use(await startTestServer(context, options));
  });
  after(async () => {
    for (const step of undo.reverse()) await step();
  });
}
