import assert from 'node:assert/strict';
import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { accessKeyOf, givenResource } from '../harness/resources.ts';
import { startTestServer } from '../harness/server.ts';
import type { Task } from './javascript-client.ts';
import { runClient } from './run-client.ts';

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
 * A reverse proxy as most are: it passes on what it gets, the Host too, and says that it was there. On both sides it speaks
 * IPv6 where `localhost` does (the SDKs take no IPv6 address in an endpoint). @returns its port
 */
async function givenProxy(t: TestContext, port: number): Promise<number> {
  const addresses = (await lookup('localhost', { all: true })).map(({ address }) => address);
  const host = addresses.includes('::1') ? '::1' : '127.0.0.1';
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

async function withServer(t: TestContext): Promise<{ task: Omit<Task, 'package' | 'release'>; caPath: string }> {
  const server = await startTestServer(t);
  const neighbour = await givenResource(server);
  const theirs = await server.asService('POST /identities', undefined, { key: neighbour.key });
  const { port, key } = server;
  const proxyPort = await givenProxy(t, port);
  const task = {
    port,
    proxyPort,
    key,
    secondaryKey: accessKeyOf(server, 'secondary'),
    foreignId: theirs.body.identity.id,
  };
  return { task, caPath: server.server.caPath ?? '' };
}

for (const [name, release] of Object.entries(PACKAGES)) {
  test(`@azure/communication-identity ${release}, unmodified`, async (t) => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'node_modules', name, 'package.json'), 'utf8'));
    assert.equal(version, release);
    const { task, caPath } = await withServer(t);
    const { findings, errors, code } = await runClient(CLIENT, { ...task, package: name, release }, caPath);
    for (const finding of findings) {
      await t.test(finding.name, () => {
        assert.equal(finding.error, undefined);
        assert.ok(finding.milliseconds < SLOWEST_MS, `it took ${finding.milliseconds} ms`);
      });
    }
    assert.ok(findings.length >= FEWEST_FINDINGS, `${findings.length} findings; ${errors}`);
    assert.equal(code, 0, errors);
  });
}

test('the SDK suite fails where it should: without our certificate authority nothing is trusted', async (t) => {
  const { task } = await withServer(t);
  const other = join(ROOT, 'package.json'); // a file without certificates
  const { findings } = await runClient(CLIENT, { ...task, package: 'acs-identity-1.0.0', release: '1.0.0' }, other);
  const create = findings.find(({ name }) => name === 'creates a user');
  assert.match(create?.error ?? '', /certificate/i);
});
