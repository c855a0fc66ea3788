import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { trustLines } from '../../src/certificates/trust-lines.ts';

const ENDPOINT = 'https://localhost:7417/';
const lineFor = (client: string, path: string, platform: NodeJS.Platform): string => {
  const found = trustLines(path, ENDPOINT, platform).find((row) => row.client === client);
  assert.ok(found, client);
  return found.line;
};

test('every client has one line', () => {
  const clients = ['JavaScript', 'Python', 'Python (async)', 'Java', '.NET', 'az', 'curl'];
  const rows = trustLines('/data/ca.pem', ENDPOINT, 'linux');
  assert.deepEqual(
    rows.map((row) => row.client),
    clients,
  );
  for (const { line } of rows) assert.doesNotMatch(line, /\n/);
});

test('a plain path stays plain', () => {
  assert.equal(lineFor('JavaScript', '/data/ca.pem', 'linux'), 'export NODE_EXTRA_CA_CERTS=/data/ca.pem');
  assert.equal(lineFor('curl', '/data/ca.pem', 'linux'), `curl --cacert /data/ca.pem ${ENDPOINT}-/health/live`);
});

test('.NET is told on Linux only, where the variable works', () => {
  for (const platform of ['darwin', 'win32'] as const) {
    assert.ok(!trustLines('/data/ca.pem', ENDPOINT, platform).some((row) => row.client === '.NET'));
  }
});

test('PowerShell lines double their apostrophes', () => {
  assert.equal(lineFor('az', "C:\\o'neil\\ca.pem", 'win32'), "$env:REQUESTS_CA_BUNDLE = 'C:\\o''neil\\ca.pem'");
});

describe('in a POSIX shell', { skip: process.platform === 'win32' && 'no POSIX shell' }, () => {
  const paths = ['/a b/ca.pem', `/o'neil/"x"/ca.pem`, '/$HOME/`id`/$(id)/ca.pem', '/ü;&|<>*?!#~\\/ca.pem', '~/ca.pem'];
  const variables = { JavaScript: 'NODE_EXTRA_CA_CERTS', Python: 'REQUESTS_CA_BUNDLE', '.NET': 'SSL_CERT_FILE' };

  test('any path arrives in the variable as it is', () => {
    for (const path of paths) {
      for (const [client, variable] of Object.entries(variables)) {
        const script = `${lineFor(client, path, 'linux')}\nprintf %s "$${variable}"`;
        assert.equal(execFileSync('sh', ['-c', script], { encoding: 'utf8' }), path);
      }
    }
  });
});
