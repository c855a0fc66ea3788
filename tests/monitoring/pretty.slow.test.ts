import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Monitor } from '../../src/monitoring/monitor.ts';
import { prettyFormat } from '../../src/monitoring/pretty-line.ts';
import { ServerMetrics } from '../../src/monitoring/server-metrics.ts';
import { cleanEnvironment, SCRIPT, terminalSkip } from '../harness/cli.ts';
import { send } from '../harness/http.ts';
import { FACTS } from '../harness/monitoring/facts.ts';
import { logText } from '../harness/monitoring/log-file.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');
const ESCAPE = '\u001b';
const SECRET = 'J7sX-9cPq_2LmN4vRtYwZaBcDeFgHiJkLmNoPqRsTu0';

/** Starts the server where a person sees it. @returns what the terminal shows so far */
async function atTerminal(t: TestContext, env: Record<string, string>): Promise<{ port: number; shown: () => string }> {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-pretty-'));
  const child = spawn(SCRIPT, ['-qefc', `exec '${process.execPath}' '${MAIN}'`, '/dev/null'], {
    env: cleanEnvironment({
      TERM: 'xterm-256color',
      NO_COLOR: undefined,
      FORCE_COLOR: undefined,
      NODE_DISABLE_COLORS: undefined,
      CI: undefined, // Node takes a terminal there for one without colours
      LINARITE_DATA: folder,
      LINARITE_PORT: '0',
      ...env,
    }),
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(async () => {
    child.stdin.end('\u0003'); // Ctrl-C
    await new Promise((resolve) => child.once('close', resolve));
    rmSync(folder, { recursive: true, force: true });
  });
  let shown = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
  });
  const port = (): string | undefined => /^Endpoint: https:\/\/localhost:(\d+)\/\r?$/m.exec(shown)?.[1];
  await until(
    () => port() !== undefined,
    () => shown,
  );
  return { port: Number(port()), shown: () => shown };
}

async function until(holds: () => boolean, shown: () => string): Promise<void> {
  for (let left = 300; !holds(); left -= 1) {
    if (left === 0) assert.fail(shown());
    await sleep(50);
  }
}

async function askAndLook(t: TestContext, env: Record<string, string>): Promise<string> {
  const { port, shown } = await atTerminal(t, env);
  await send(port, { target: '/-/health/live' });
  await send(port, { target: `/-/whoami?token=${SECRET}`, headers: { Authorization: `Bearer ${SECRET}` } });
  await send(port, { method: 'DELETE', target: `/identities/${SECRET}?api-version=2023-10-01` });
  await until(() => shown().includes('/identities/'), shown);
  assert.ok(!shown().includes(SECRET));
  return shown();
}

test('at a terminal the log of dev mode is lines for people, in colour', terminalSkip, async (t) => {
  const shown = await askAndLook(t, {});
  const plain = shown.replaceAll(new RegExp(`${ESCAPE}\\[\\d+m`, 'g'), '');
  assert.match(plain, /^\d\d:\d\d:\d\d info started version=\S+ port=\d+ /m);
  assert.match(plain, /^\d\d:\d\d:\d\d GET {4}\/-\/health\/live 200 [\d.]+ ms\r$/m);
  assert.match(plain, /^\d\d:\d\d:\d\d GET {4}\/-\/whoami 401 [\d.]+ ms token\.malformed/m);
  assert.match(
    plain,
    /^\d\d:\d\d:\d\d DELETE \/identities\/\{id\} 401 [\d.]+ ms authorization\.missing; authorization\r$/m,
  );
  assert.ok(shown.includes(`${ESCAPE}[32m200${ESCAPE}[39m`));
  assert.ok(shown.includes(`${ESCAPE}[33m401${ESCAPE}[39m`));
});

test('without colours where NO_COLOR is set', terminalSkip, async (t) => {
  const shown = await askAndLook(t, { NO_COLOR: '1' });
  assert.match(shown, /^\d\d:\d\d:\d\d GET {4}\/-\/health\/live 200 /m);
  assert.ok(!shown.includes(ESCAPE));
});

test('and as JSON where that is asked for, with the path', terminalSkip, async (t) => {
  const shown = await askAndLook(t, { LINARITE_LOG_FORMAT: 'json' });
  const line = /^\{.*"operation":"isLive".*\}/m.exec(shown)?.[0] ?? assert.fail(shown);
  assert.equal(JSON.parse(line).path, '/-/health/live');
});

test('elsewhere it is JSON, unless lines for people are asked for', async (t) => {
  for (const [format, pattern] of [
    ['auto', /^\{"level":"info",.*"msg":"started"\}$/m],
    ['pretty', /^\d\d:\d\d:\d\d info started version=/m],
  ] as const) {
    const child = spawn(process.execPath, [MAIN], {
      env: cleanEnvironment({ LINARITE_DATA: ':memory:', LINARITE_PORT: '0', LINARITE_LOG_FORMAT: format }),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    t.after(() => child.kill());
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    await until(
      () => said.includes('started'),
      () => said,
    );
    assert.match(said, pattern);
    assert.ok(!said.includes(ESCAPE));
  }
});

test('a line for people stays one line, whatever a caller sends, and hides what the JSON line hides', async () => {
  const hostile = 'x\r\n\u001b[2J\u2028\u202e\u0085forged';
  const written = await logText(
    (log) => {
      const monitor = new Monitor(log, new ServerMetrics('0.0.0'));
      const cause = new Error(hostile, { cause: new Error('postgres://me:hunter2@db/x') });
      monitor.requestAnswered({ ...FACTS, method: hostile, path: hostile, pathPattern: undefined, detail: hostile });
      monitor.requestAnswered({ ...FACTS, status: 500, reason: 'Internal', detail: hostile, cause });
      monitor.notice('warn', hostile, { [hostile]: hostile, accessKey: SECRET, nested: { [hostile]: [hostile] } });
    },
    { logLevel: 'info', mode: 'dev' },
    prettyFormat(false),
  );
  assert.equal(written.split('\n').length, 4);
  assert.doesNotMatch(written, /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  assert.ok(!written.includes(SECRET) && !written.includes('hunter2'), written);
  assert.match(written, /Internal; x\?+.*cause=Error: x/);
});
