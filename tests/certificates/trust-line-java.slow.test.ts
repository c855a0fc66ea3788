import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { certificatesIn } from '../../src/certificates/own-certificates.ts';
import { trustLines } from '../../src/certificates/trust-lines.ts';
import { systemClock } from '../../src/lib/clock.ts';

const ENDPOINT = 'https://localhost:7417/';

const keytool = spawnSync('keytool', ['-help']).status === 0 && spawnSync('java', ['-version']).status === 0;
describe('Java', { skip: !keytool && 'java and keytool are not installed' }, () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), `linarite "te st" o'neil `));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  test('takes its line twice, with blanks and quotes in the path', async () => {
    const { caPath } = await certificatesIn(folder, systemClock);
    const source = join(folder, 'Show.java');
    writeFileSync(
      source,
      'class Show { public static void main(String[] a) { System.out.print(System.getProperty("javax.net.ssl.trustStore")); } }',
    );
    const line = trustLines(caPath, ENDPOINT, process.platform).find(({ client }) => client === 'Java')?.line;
    assert.ok(line);
    const script = `${line}\n${line}\njava "$1"`;
    const output = execFileSync('sh', ['-c', script, 'sh', source], { encoding: 'utf8', stdio: 'pipe' });
    assert.equal(output, join(folder, 'ca.p12'));
  });
});
