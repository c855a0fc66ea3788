import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const PROGRAM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

/** What is missing for tests in a real browser; `false` when nothing is, as `skip` of a test wants it. */
export const noBrowser: string | false =
  PROGRAM === undefined
    ? 'there is no Chromium (apt-get install chromium)'
    : spawnSync('certutil', ['--help']).error === undefined
      ? false
      : 'there is no certutil to make Chromium trust a certificate authority (apt-get install libnss3-tools)';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export interface RunningBrowser {
  readonly browser: Browser;
  close(): Promise<void>;
}

/** Starts a browser with a home folder of its own, in which one certificate authority more is trusted. */
export async function startBrowser(caPath: string): Promise<RunningBrowser> {
  if (PROGRAM === undefined) throw new Error(String(noBrowser));
  const home = mkdtempSync(join(tmpdir(), 'linarite-browser-'));
  const remove = (): void => rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  try {
    trust(home, caPath);
    const browser = await chromium.launch({
      executablePath: PROGRAM,
      args: FLAGS,
      env: { PATH: process.env.PATH ?? '', HOME: home, LANG: 'C.UTF-8' },
    });
    return {
      browser,
      async close() {
        await browser.close();
        remove();
      },
    };
  } catch (cause) {
    remove();
    throw cause;
  }
}

/** Chromium on Linux believes the authorities in the user's NSS database. */
function trust(home: string, caPath: string): void {
  const database = join(home, '.pki/nssdb');
  mkdirSync(database, { recursive: true });
  certutil('-N', '-d', `sql:${database}`, '--empty-password');
  certutil('-A', '-d', `sql:${database}`, '-n', 'linarite', '-t', 'C,,', '-i', caPath);
}

function certutil(...args: string[]): void {
  const { status, stderr } = spawnSync('certutil', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`certutil ${args[0]}: ${stderr}`);
}
