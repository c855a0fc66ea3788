import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, describe, test } from 'node:test';
import type { BrowserContext, Page } from 'playwright-core';
import { noBrowser, type RunningBrowser, startBrowser } from '../harness/browser.ts';
import {
  buildCopy,
  copyExample,
  demoUsers,
  EXAMPLE,
  environmentFor,
  type RunningService,
  startService,
} from '../harness/examples/trusted-service.ts';
import { inPath } from '../harness/resources.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

const USERS = demoUsers(readFileSync(join(EXAMPLE, 'README.md'), 'utf8'));
const [ada, grace, lobby1, lobby2] = USERS;
assert.ok(ada && grace && lobby1 && lobby2, 'the README has a table of users');

// The page goes to https://localhost, whose certificate authority this browser was made to trust: no check is switched off.
describe('the page of the trusted service, in a real browser', { skip: noBrowser }, () => {
  let server: TestServer;
  let service: RunningService;
  let running: RunningBrowser;
  const folder = mkdtempSync(join(tmpdir(), 'linarite-trusted-page-'));
  shareServer(async (started) => {
    server = started;
    copyExample(folder);
    buildCopy(folder);
    service = await startService(process.execPath, ['server.mjs'], folder, environmentFor(server));
    running = await startBrowser(server.server.caPath ?? '');
  });
  after(async () => {
    await running?.close();
    await service?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const contexts: BrowserContext[] = [];
  /** Somebody else's browser, with the page open. What the page's own protection stops is collected. */
  async function opened(): Promise<{ page: Page; problems: string[] }> {
    const context = await running.browser.newContext();
    contexts.push(context);
    const page = await context.newPage();
    const problems: string[] = [];
    page.on('pageerror', ({ message }) => problems.push(message));
    page.on('console', (line) => /Content Security Policy|Trusted/.test(line.text()) && problems.push(line.text()));
    await page.goto(service.origin);
    return { page, problems };
  }
  afterEach(async () => {
    for (const context of contexts.splice(0)) await context.close();
  });

  async function signIn(page: Page, { name, password }: { name: string; password: string }): Promise<void> {
    await page.getByLabel('Name').fill(name);
    await page.getByLabel('Password').fill(password);
    await page.keyboard.press('Enter');
  }
  const signedInAs = (page: Page, name: string) =>
    page.getByRole('heading', { name: `Signed in as ${name}` }).waitFor();
  const fact = (page: Page, id: 'identity' | 'scopes' | 'left' | 'fetched') => page.locator(`#${id}`).textContent();
  const press = (page: Page, name: string) => page.getByRole('button', { name }).click();

  /** Who the server said each of them is. */
  const identities = new Map<string, string | null>();
  for (const user of USERS) {
    test(`shows ${user.name} the scopes of the role ${user.role}, keeps nothing, and fits a phone`, async () => {
      const { page, problems } = await opened();
      await signIn(page, user);
      await signedInAs(page, user.name);
      identities.set(user.name, await fact(page, 'identity'));
      assert.equal(await fact(page, 'scopes'), user.scopes.join(', '));
      assert.match((await fact(page, 'left')) ?? '', /^(?:59|60) min \d+ s$/);
      const may = await page.locator('#capabilities li').allTextContents();
      assert.equal(may.includes('chat.thread.create'), user.role === 'agent');
      assert.ok(may.includes('chat.message.send'));
      const kept = await page.evaluate('[document.cookie, localStorage.length, sessionStorage.length]');
      assert.deepEqual(kept, ['', 0, 0]);
      await page.setViewportSize({ width: 360, height: 740 });
      assert.equal(await page.evaluate('document.documentElement.scrollWidth - innerWidth'), 0);
      await page.reload();
      await signedInAs(page, user.name);
      assert.deepEqual(problems, []);
    });
  }

  test('shows both kiosks one identity, and an agent another one for each inbox', async () => {
    assert.match(identities.get(lobby1.name) ?? '', /^8:acs:/);
    assert.equal(identities.get(lobby1.name), identities.get(lobby2.name));

    const { page } = await opened();
    await signIn(page, grace);
    await signedInAs(page, grace.name);
    const sales = await fact(page, 'identity');
    await page.getByLabel('Inbox').selectOption('support');
    await page
      .locator('#identity')
      .filter({ hasNotText: sales ?? '' })
      .waitFor();
    assert.match((await fact(page, 'identity')) ?? '', /^8:acs:/);
  });

  test('says that a password is wrong, shows nothing, and lets its user try again', async () => {
    const { page } = await opened();
    await signIn(page, { name: ada.name, password: 'wrong' });
    await page.getByRole('alert').getByText('The name or the password is wrong.').waitFor();
    assert.equal(await page.locator('#account').isVisible(), false);
    assert.deepEqual(await page.context().cookies(), []);
    await page.locator('#password:focus').waitFor();
    await signIn(page, ada);
    await signedInAs(page, ada.name);
    assert.equal(await page.getByRole('alert').isVisible(), false);
  });

  test('signs out everywhere: the server refuses the old token, and the other devices are asked to sign in', async () => {
    const [{ page: here }, { page: there }] = [await opened(), await opened()];
    for (const page of [here, there]) {
      await signIn(page, ada);
      await signedInAs(page, ada.name);
    }
    await press(here, 'Sign out everywhere');
    await here.getByRole('status').getByText('the server refused it (revoked.identity)').waitFor();
    assert.equal(await here.getByRole('button', { name: 'Sign in' }).isVisible(), true);
    await press(there, 'Ask again');
    await there.getByRole('alert').getByText('You are not signed in any more.').waitFor();
    assert.equal(await there.locator('#account').isVisible(), false);
  });

  test('signs out here, and a reload does not sign in again', async () => {
    const { page } = await opened();
    await signIn(page, ada);
    await signedInAs(page, ada.name);
    await press(page, 'Sign out here');
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
    await page.reload();
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
    assert.deepEqual(await page.context().cookies(), []);
  });

  test('gets another token when the server refuses the one it has', async () => {
    const { page } = await opened();
    await signIn(page, ada);
    await signedInAs(page, ada.name);
    await server.asService(`POST ${inPath((await fact(page, 'identity')) ?? '')}/:revokeAccessTokens`);
    const next = page.waitForResponse((response) => response.url().endsWith('/api/token'));
    await press(page, 'Ask again');
    const { token } = await (await next).json();
    assert.equal((await server.asUser(token)).status, 200);
    await page.locator('body[aria-busy=false]').waitFor();
    assert.equal(await page.getByRole('alert').isVisible(), false);
  });

  test('asks for the next token by itself, ten minutes before the end', async () => {
    const { page } = await opened();
    await page.clock.install();
    await page.reload();
    await signIn(page, ada);
    await signedInAs(page, ada.name);
    let asked = 0;
    page.on('request', (request) => {
      if (request.url().endsWith('/api/token')) asked++;
    });
    await page.clock.fastForward('40:00');
    assert.equal(asked, 0);
    const next = page.waitForRequest((request) => request.url().endsWith('/api/token'));
    await page.clock.fastForward('10:30');
    await next;
  });

  for (const host of ['127.0.0.1', 'localhost']) {
    test(`cannot be used by a page of http://${host} at another port`, async (t) => {
      const foreign = await foreignPage(t, host, service.origin);
      const { page } = await opened();
      await signIn(page, ada);
      await signedInAs(page, ada.name);
      const other = await page.context().newPage();
      const answered: number[] = [];
      other.on('response', (response) => response.request().method() === 'POST' && answered.push(response.status()));
      await other.goto(foreign);
      await other.waitForFunction('document.title === "tried"');
      await other.locator('button').click();
      await other.waitForURL(`${service.origin}/**`);
      assert.deepEqual([...new Set(answered)], [403]);
      await press(page, 'Ask again');
      await page.locator('body[aria-busy=false]').waitFor();
      assert.equal(await page.getByRole('alert').isVisible(), false);
      await page.reload();
      await signedInAs(page, ada.name);
    });
  }
});

/** A page that tries to sign its reader out everywhere, in the ways that need no leave: by script, and by a form. */
async function foreignPage(t: { after(work: () => unknown): void }, host: string, target: string): Promise<string> {
  const at = `${target}/api/sign-out-everywhere`;
  const html = `<!doctype html><form method="post" enctype="text/plain" action="${at}"><input name='{"a":"' value='"}'><button>Win</button></form>
<script>
const tries = ['text/plain', 'application/x-www-form-urlencoded', 'application/json'].flatMap((type) => ['no-cors', 'cors'].map((mode) =>
  fetch('${at}', { method: 'POST', mode, credentials: 'include', headers: { 'Content-Type': type }, body: '{}' }).catch(() => undefined)));
Promise.all(tries).then(() => { document.title = 'tried'; });
</script>`;
  const listener = createServer((_, response) => response.setHeader('Content-Type', 'text/html').end(html));
  listener.listen(0, host);
  await once(listener, 'listening');
  t.after(() => {
    listener.close();
    listener.closeAllConnections();
  });
  return `http://${host}:${(listener.address() as AddressInfo).port}/`;
}
