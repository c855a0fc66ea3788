import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Whether a process that imports a module has loaded the HTTP client of Node.js. */
const loadsClient = (module: string): boolean => {
  const script = `await import('${module}'); console.log(process.moduleLoadList.some((name) => name.includes('undici')))`;
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: ROOT, encoding: 'utf8' });
  return JSON.parse(said);
};

test('a start does not load the HTTP client that comes with node:http', () => {
  assert.equal(loadsClient('node:http'), true, 'Node.js does it no more: import node:http like everything else');
  assert.equal(loadsClient('./src/cli/serve.ts'), false);
});
