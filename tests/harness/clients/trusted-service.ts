import { rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { noBrowser, startBrowser } from '../browser.ts';
import {
  copyExample,
  type DemoUser,
  demoUsers,
  type RunningService,
  startService,
} from '../examples/trusted-service.ts';
import { CACHE, machineEnvironment, type RunningServer, run, shellBlocks } from './test-environment.ts';

export const README = 'examples/trusted-service/README.md';

/**
 * Does what the README of the trusted service says, word by word: starts it, signs in as everybody in its table in a real
 * browser, and runs in a second shell what comes after.
 * @returns what is not as the README says
 */
export async function followTrustedService({ caPath, task }: RunningServer): Promise<string[]> {
  if (noBrowser) {
    console.log(`${README}: NOT RUN, ${noBrowser}`);
    return [];
  }
  const cwd = join(CACHE, 'clients/trusted-service');
  rmSync(cwd, { recursive: true, force: true });
  copyExample(cwd);
  const text = await readFile(join(cwd, 'README.md'), 'utf8');
  const blocks = shellBlocks(text, { caPath, task });
  const first = blocks.findIndex((commands) => commands.includes('npm start')) + 1;
  const env = { ...machineEnvironment(), PORT: '0' };
  let service: RunningService | undefined;
  try {
    service = await startService('sh', ['-euc', blocks.slice(0, first).join('')], cwd, env);
    const complaints = await lookAtPage(service.origin, caPath, demoUsers(text));
    const { code, output, errors } = await run('sh', ['-euc', blocks.slice(first).join('')], { cwd, env });
    const shown = /8:acs:[\s\S]+"sealed"[\s\S]+linus is in [\s\S]+joan is in [\s\S]+gate-1 is in /;
    if (code !== 0 || !shown.test(output)) complaints.push(`the second shell ended with ${code}: ${errors || output}`);
    if (complaints.length === 0) console.log(`${README}: everything in it works`);
    return complaints;
  } catch (cause) {
    return [(cause as Error).message];
  } finally {
    await service?.stop();
  }
}

async function lookAtPage(origin: string, caPath: string, users: readonly DemoUser[]): Promise<string[]> {
  if (users.length === 0) return ['there is no table of users'];
  const complaints: string[] = [];
  const { browser, close } = await startBrowser(caPath);
  try {
    for (const { name, password, scopes } of users) {
      const page = await (await browser.newContext()).newPage();
      await page.goto(origin);
      await page.getByLabel('Name').fill(name);
      await page.getByLabel('Password').fill(password);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.getByRole('heading', { name: `Signed in as ${name}` }).waitFor();
      const shown = await page.locator('#scopes').textContent();
      if (shown !== scopes.join(', ')) complaints.push(`${name} has ${shown}`);
      await page.getByRole('button', { name: 'Ask again' }).click();
    }
  } finally {
    await close();
  }
  return complaints;
}
