import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import type { IdentityId, ServiceCaller } from '../../src/callers.ts';
import { startTestServer } from '../harness/server.ts';

test('a request for one token does not wait for all that another resource wants', async (t) => {
  const { server } = await startTestServer(t);
  const { resources, identities, tokens } = server;
  const someone = async (name: string): Promise<{ caller: ServiceCaller; id: IdentityId }> => {
    const { id: resourceId } = await resources.create({ name });
    const caller = {
      kind: 'service',
      resourceId,
      credential: { kind: 'accessKey', slot: 'primary', version: 1 },
    } as const;
    return { caller, id: (await identities.create(caller)).id };
  };
  const [greedy, modest] = [await someone('greedy'), await someone('modest')];
  const issue = ({ caller, id }: typeof greedy) => tokens.issue(caller, id, { scopes: ['chat'], minutes: 60 });

  const many = 64 * Math.max(2, availableParallelism());
  let done = 0;
  const all = Array.from({ length: many }, () => issue(greedy).then(() => (done += 1)));
  await issue(modest);
  const before = done;
  await Promise.all(all);
  assert.ok(before < many / 2, `${before} of ${many} came first`);
  assert.equal(tokens.signing, 0);
});
