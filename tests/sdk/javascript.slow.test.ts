import assert from 'node:assert/strict';
import { subscribe } from 'node:diagnostics_channel';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { accessKeyOf, givenResource } from '../harness/resources.ts';
import { writeResult } from '../harness/results.ts';
import type { Task } from '../harness/sdk/javascript-client.ts';
import { type Ended, runClient } from '../harness/sdk/run-client.ts';
import { startTestServer } from '../harness/server.ts';

const CLIENT = 'javascript-client.ts';

const ROOT = join(import.meta.dirname, '../..');
const FEWEST_FINDINGS = 16;
/** No call may wait for retries: an SDK repeats 429 and 5xx, after 0.8 seconds at the earliest. */
const SLOWEST_MS = 5000;

const PACKAGES = {
  'acs-identity-1.0.0': '1.0.0',
  'acs-identity-1.1.0': '1.1.0',
  'acs-identity-1.2.0': '1.2.0',
  '@azure/communication-identity': '1.3.1',
};

/**
 * A reverse proxy as most are: it passes on what it gets, the Host too, and says that it was there.
 * @param host the address on both of its sides
 * @returns its port
 */
async function givenProxy(t: TestContext, port: number, host: string): Promise<number> {
  const proxy = http.createServer((request, response) => {
    const { method, url: path, headers, socket } = request;
    const added = { 'X-Forwarded-For': socket.remoteAddress, 'X-Forwarded-Proto': 'http', Via: '1.1 proxy' };
    const onward = http.request({ host, port, method, path, headers: { ...headers, ...added } }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => proxy.listen(0, host, resolve));
  t.after(() => proxy.close());
  return (proxy.address() as AddressInfo).port;
}

/** @param host what `localhost` is to the client */
async function withServer(
  t: TestContext,
  host = '127.0.0.1',
): Promise<{ task: Omit<Task, 'package' | 'release'>; caPath: string }> {
  const server = await startTestServer(t);
  const neighbour = await givenResource(server);
  const theirs = await server.asService('POST /identities', undefined, { key: neighbour.key });
  const { port, key } = server;
  const proxyPort = await givenProxy(t, port, host);
  const task = {
    port,
    proxyPort,
    key,
    secondaryKey: accessKeyOf(server, 'secondary'),
    foreignId: theirs.body.identity.id,
  };
  return { task, caPath: server.server.caPath ?? '' };
}

// H5, of the releases in JavaScript; the others are in the conformance table.
const figures = { releases: 0, tried: 0, failed: 0, overIpv6: 0 };
let planted = false;
after(() => writeResult({ id: 'H5', seed: 'none', figures, passed: figures.failed === 0, planted }));

const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'));
let ipv6Connections = 0;
subscribe('net.server.socket', (message) => {
  if ((message as { socket: Socket }).socket.localAddress === '::1') ipv6Connections += 1;
});

/** Every finding is a test of its own. */
async function judge(t: TestContext, { findings, errors, code }: Ended): Promise<void> {
  figures.releases += 1;
  for (const finding of findings) {
    figures.tried += 1;
    figures.failed += finding.error === undefined ? 0 : 1;
    await t.test(finding.name, () => {
      assert.equal(finding.error, undefined);
      assert.ok(finding.milliseconds < SLOWEST_MS, `it took ${finding.milliseconds} ms`);
    });
  }
  assert.ok(findings.length >= FEWEST_FINDINGS, `${findings.length} findings; ${errors}`);
  assert.equal(code, 0, errors);
}

for (const [name, release] of Object.entries(PACKAGES)) {
  test(`@azure/communication-identity ${release}, unmodified`, async (t) => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'node_modules', name, 'package.json'), 'utf8'));
    assert.equal(version, release);
    const { task, caPath } = await withServer(t);
    await judge(t, await runClient(CLIENT, { ...task, package: name, release }, caPath));
  });
}

test('over IPv6 with a port, where localhost is ::1', { skip: !hasIpv6 && 'this machine has no ::1' }, async (t) => {
  const { task, caPath } = await withServer(t, '::1');
  const before = ipv6Connections;
  const [name, release] = ['@azure/communication-identity', '1.3.1'];
  await judge(t, await runClient(CLIENT, { ...task, package: name, release }, caPath, 'localhost-is-ipv6.ts'));
  figures.overIpv6 = ipv6Connections - before;
  assert.ok(figures.overIpv6 > 0, 'no connection came over IPv6');
});

test('the SDK suite fails where it should: without our certificate authority nothing is trusted', async (t) => {
  const { task } = await withServer(t);
  const other = join(ROOT, 'package.json'); // a file without certificates
  const { findings } = await runClient(CLIENT, { ...task, package: 'acs-identity-1.0.0', release: '1.0.0' }, other);
  const create = findings.find(({ name }) => name === 'creates a user');
  assert.match(create?.error ?? '', /certificate/i);
  planted = true;
});
