import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DEV_ID } from '../harness/resources.ts';
import type { EntraTask } from '../harness/sdk/entra-user-client.ts';
import { runClient } from '../harness/sdk/run-client.ts';
import { startTestServer } from '../harness/server.ts';

const CLIENT = 'entra-user-client.ts';

const ROOT = join(import.meta.dirname, '../..');
const FINDINGS = 11;

/** The first release that exchanges tokens of Entra, the one that the identity SDK brings, and the newest. */
const PACKAGES = { 'acs-common-2.4.0': '2.4.0', '@azure/communication-common': '2.4.2', 'acs-common-2.5.0': '2.5.0' };

for (const [name, release] of Object.entries(PACKAGES)) {
  test(`AzureCommunicationTokenCredential of @azure/communication-common ${release}, unmodified`, async (t) => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'node_modules', name, 'package.json'), 'utf8'));
    assert.equal(version, release);
    const server = await startTestServer(t);
    const { port, key } = server;
    const task: EntraTask = { package: name, port, key, resourceId: DEV_ID };
    const { findings, errors, code } = await runClient(CLIENT, task, server.server.caPath ?? '');
    for (const { name, error } of findings) await t.test(name, () => assert.equal(error, undefined));
    assert.equal(findings.length, FINDINGS, errors);
    assert.equal(code, 0, errors);
  });
}

test('the suite of Entra users fails where it should: against a server whose issuer is not trusted', async (t) => {
  const env = { LINARITE_OPERATOR_KEY: 'the-operator-of-this-test-0123456789' };
  const server = await startTestServer(t, { env });
  await server.send({
    method: 'POST',
    target: '/-/trusts/dev/:disable',
    headers: { Authorization: `Bearer ${env.LINARITE_OPERATOR_KEY}` },
  });
  const { port, key } = server;
  const task: EntraTask = { package: '@azure/communication-common', port, key, resourceId: DEV_ID };
  const { findings } = await runClient(CLIENT, task, server.server.caPath ?? '');
  const named = findings.filter(({ error }) => error === undefined).map(({ name }) => name);
  assert.deepEqual(named, ['a token of the wrong kind is refused with 401']);
});
