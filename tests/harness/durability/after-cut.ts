import { cpSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { IdentityId, ServiceCaller } from '../../../src/callers.ts';
import { ServiceError } from '../../../src/errors.ts';
import { type Server, startServer } from '../../../src/server.ts';
import { readSettings } from '../../../src/settings.ts';
import { DEV_ID } from '../resources.ts';
import { TestLog } from '../server.ts';
import { givenFolder, integrity } from './folders.ts';
import { broken, type Call, type Life, type Questions, type Stage } from './workload.ts';

/**
 * Starts a server on what a cut left, and compares it with what clients had been told by then.
 * @param data the data folder whose other files are taken over
 */
export async function problemsAfterCut(
  t: TestContext,
  data: string,
  files: ReadonlyMap<string, Buffer>,
  lives: readonly Life[],
  stageOf?: (call: Call) => Stage,
): Promise<string[]> {
  const folder = givenFolder(t, 'after-cut');
  for (const name of readdirSync(data))
    if (!name.startsWith('linarite.db')) cpSync(join(data, name), join(folder, name));
  for (const [name, content] of files) writeFileSync(join(folder, name), content);
  let server: Server;
  try {
    server = await startServer(readSettings({ LINARITE_DATA: folder, LINARITE_PORT: '0' }), { log: new TestLog() });
  } catch (cause) {
    return [`it does not start: ${cause}`];
  }
  const problems = await broken(lives, byDomain(server), stageOf);
  await server.close();
  const sound = integrity(folder);
  rmSync(folder, { recursive: true });
  return sound === 'ok' ? problems : [...problems, `integrity_check: ${sound}`];
}

/** Asks the operations behind the routes: a state has hundreds of questions. */
function byDomain({ identities, tokens }: Server): Questions {
  const caller = { resourceId: DEV_ID } as ServiceCaller;
  const outcome = async (work: Promise<unknown>) => {
    try {
      await work;
      return { status: 200, reason: '' };
    } catch (cause) {
      if (cause instanceof ServiceError) return { status: cause.shape.status, reason: cause.reason };
      throw cause;
    }
  };
  return {
    identity: async (id) => (await outcome(identities.get(caller, id as IdentityId))).status,
    token: (jwt) => outcome(tokens.verify(jwt)),
  };
}
