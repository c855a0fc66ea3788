import assert from 'node:assert/strict';
import { after, afterEach, describe, test } from 'node:test';
import type { BrowserContext, Page } from 'playwright-core';
import { noBrowser, type RunningBrowser, startBrowser } from '../harness/browser.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

describe('the start page, in a real browser', { skip: noBrowser }, () => {
  let server: TestServer;
  let running: RunningBrowser;
  shareServer(async (started) => {
    server = started;
    running = await startBrowser(server.server.caPath ?? '');
  });
  after(() => running?.close());

  const contexts: BrowserContext[] = [];
  async function opened(options: { width?: number; dark?: boolean } = {}): Promise<{ page: Page; problems: string[] }> {
    const context = await running.browser.newContext({
      viewport: { width: options.width ?? 1280, height: 800 },
      colorScheme: options.dark ? 'dark' : 'light',
    });
    contexts.push(context);
    const page = await context.newPage();
    const problems: string[] = [];
    page.on('pageerror', ({ message }) => problems.push(message));
    page.on('console', (line) => /Content Security Policy|Trusted/.test(line.text()) && problems.push(line.text()));
    await page.goto(`https://${server.host}/`);
    return { page, problems };
  }
  afterEach(async () => {
    for (const context of contexts.splice(0)) await context.close();
  });

  test('by the keyboard alone: scopes are chosen, the token is issued and has the focus', async () => {
    const { page, problems } = await opened();
    await page.keyboard.press('Tab');
    assert.equal(await focused(page), 'chat');
    for (const name of ['chat.join', 'chat.join.limited', 'voip']) {
      await page.keyboard.press('Tab');
      assert.equal(await focused(page), name);
    }
    await page.keyboard.press('Space'); // voip was chosen, and is no more
    await page.keyboard.press('Enter');
    const token = page.getByLabel('Access token');
    await token.waitFor();
    assert.equal(await focused(page), 'token');
    const { body } = await server.asUser(await token.inputValue());
    assert.deepEqual(body.scopes, ['chat']);
    assert.equal(await page.getByLabel('voip', { exact: true }).isChecked(), false);
    assert.equal(await page.getByLabel('chat', { exact: true }).isChecked(), true);
    assert.deepEqual(problems, []);
  });

  test('names every field, its groups and parts, and says aloud what is wrong', async () => {
    const { page } = await opened();
    const { length } = await page.locator('input:not([type=hidden]), textarea, select').all();
    let named = 0;
    for (const name of ['chat', 'chat.join', 'chat.join.limited', 'voip', 'voip.join'])
      named += await page.getByRole('group', { name: 'Scopes' }).getByRole('checkbox', { name, exact: true }).count();
    named += await page.getByRole('textbox', { name: /^User id/ }).count();
    assert.equal(named, length);
    assert.equal(await page.getByRole('form', { name: 'Issue a token' }).count(), 1);
    assert.equal(await page.getByRole('navigation', { name: 'Links' }).count(), 1);
    assert.equal(await page.getByRole('heading', { level: 1 }).count(), 1);
    assert.equal(await page.locator('html').getAttribute('lang'), 'en');
    await page.getByLabel(/^User id/).fill('nobody<b>');
    await page.getByRole('button', { name: 'Issue token' }).click();
    assert.match((await page.getByRole('alert').textContent()) ?? '', /./);
    assert.equal(await page.getByLabel(/^User id/).inputValue(), 'nobody<b>');
  });

  for (const width of [320, 1280])
    for (const dark of [false, true])
      test(`fits ${width} pixels, can be read in ${dark ? 'the dark' : 'the light'}, and its style is applied`, async () => {
        await server.send({ target: '/-/whoami' });
        const { page, problems } = await opened({ width, dark });
        await page.getByRole('button', { name: 'Issue token' }).click();
        await page.getByLabel('Access token').waitFor();
        assert.equal(await page.evaluate('document.documentElement.scrollWidth'), width);
        assert.deepEqual(problems, []);
        const contrasts = await contrastsIn(page);
        assert.ok(contrasts.length > 20);
        assert.deepEqual(
          contrasts.filter(({ ratio }) => !(ratio >= 4.5)),
          [],
        );
      });

  test('one click selects a whole line to be pasted', async () => {
    const { page } = await opened();
    await page.locator('code.line').first().click();
    const selected = String(await page.evaluate('String(document.getSelection())'));
    assert.equal(selected.trim(), server.connectionString);
  });

  test('its links lead somewhere', async () => {
    const { page } = await opened();
    for (const link of await page.getByRole('link').all()) {
      const target = (await link.getAttribute('href')) ?? '';
      assert.equal((await server.send({ target })).status, 200, target);
    }
  });
});

const focused = (page: Page): Promise<string> =>
  page.evaluate('document.activeElement.getAttribute("name") ?? document.activeElement.id');

/** Texts of the page, each with its contrast with what is behind it (WCAG 2.2, 1.4.3). */
const contrastsIn = (page: Page): Promise<{ text: string; ratio: number }[]> => page.evaluate(CONTRASTS);

const CONTRASTS = `(() => {
  const channels = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const linear = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = (colour) => {
    const [red, green, blue] = channels(colour).map(linear);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (element) => {
    const { backgroundColor } = getComputedStyle(element);
    if ((channels(backgroundColor)[3] ?? 1) > 0) return backgroundColor;
    return element.parentElement ? behind(element.parentElement) : 'rgb(255, 255, 255)';
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.textContent.trim();
    if (text === '') continue;
    const [dark, light] = [getComputedStyle(node.parentElement).color, behind(node.parentElement)].map(luminance).sort((a, b) => a - b);
    found.push({ text: text.slice(0, 40), ratio: (light + 0.05) / (dark + 0.05) });
  }
  return found;
})()`;
