import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import type { IdentityId } from '../../src/callers.ts';
import type { RequestFacts } from '../../src/monitoring/events.ts';
import { openLog } from '../../src/monitoring/log.ts';
import { Monitor } from '../../src/monitoring/monitor.ts';
import { ServerMetrics } from '../../src/monitoring/server-metrics.ts';
import { FACTS } from '../harness/monitoring/facts.ts';
import { logText, parsed } from '../harness/monitoring/log-file.ts';

const logged = async (...facts: RequestFacts[]) =>
  logText((log) => {
    const monitor = new Monitor(log, new ServerMetrics('0.0.0'));
    for (const one of facts) monitor.requestAnswered(one);
  });

test('a request is one line with everything known about it', async () => {
  const [line] = parsed(await logged(FACTS));
  assert.match(String(line?.time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const { time: _, ...rest } = line ?? {};
  assert.deepEqual(rest, {
    level: 'info',
    operation: 'issueAccessToken',
    method: 'POST',
    path: '/identities/8:acs:11111111-2222-4333-8444-555555555555_00000000-0000-0000-0000-000000000001/:issueAccessToken',
    status: 200,
    durationMs: 1.235,
    clientRequestId: '5f3759df-0000-4000-8000-000000000000',
    msCv: 'abcdefghijklmnopqrstuv.0',
    apiVersion: '2023-10-01',
    caller: 'service',
    resourceId: '11111111-2222-4333-8444-555555555555',
    identityId: '8:acs:11111111-2222-4333-8444-555555555555_00000000-0000-0000-0000-000000000001',
    msg: 'request',
  });
});

test('a refusal says why, at the level of ordinary requests', async () => {
  const [line] = parsed(
    await logged({ ...FACTS, status: 401, reason: 'signature.path', detail: 'the proxy decoded %3A' }),
  );
  assert.equal(line?.level, 'info');
  assert.equal(line?.reason, 'signature.path');
  assert.equal(line?.detail, 'the proxy decoded %3A');
});

test('what went wrong inside stands in the log at error level, with stack and causes', async () => {
  const cause = new Error('the store broke', { cause: new TypeError('a row was missing') });
  const [line] = parsed(await logged({ ...FACTS, status: 500, cause }));
  assert.equal(line?.level, 'error');
  const shown = line?.cause as { message: string; stack: string; cause: { type: string } };
  assert.equal(shown.message, 'the store broke');
  assert.match(shown.stack, /log\.test\.ts/);
  assert.equal(shown.cause.type, 'TypeError');
});

test('every line of dev mode says so', async () => {
  const text = await logText((log) => log.write('info', 'hello'), { logLevel: 'info', mode: 'dev' });
  assert.equal(parsed(text)[0]?.mode, 'dev');
  assert.equal(parsed(await logText((log) => log.write('info', 'hello')))[0]?.mode, undefined);
});

test('lines below the level are not written', async () => {
  const text = await logText((log) => log.write('debug', 'hello'), { logLevel: 'info', mode: 'production' });
  assert.equal(text, '');
});

// biome-ignore format: a table
const FORGERIES: readonly (readonly [string, string])[] = [
  ['CR and LF', 'x\r\n{"level":"info","msg":"forged"}\r\n'],
  ['a quote and a brace', 'x","level":"fatal"}\n{"msg":"forged'],
  ['terminal escapes', 'x\u001b[2J\u001b]0;title\u0007\u009b31m'],
  ['C1 controls and DEL', '\u007f\u0080\u0085\u009f'],
  ['line separators', 'x\u2028{"msg":"forged"}\u2029'],
  ['text direction marks', '\u202e\u2066reversed\u2069\u200f'],
  ['invisible characters', '\u200b\ufeff\u{e0041}\u00ad'],
  ['NUL', 'x\u0000y'],
  ['half characters', '\ud800 \udc00\ud83d'],
  ['a character cut in half by the limit', `${'x'.repeat(127)}😀`],
  ['far too much', 'x'.repeat(100_000)],
];

for (const [what, text] of FORGERIES) {
  test(`a line stays one line, whatever a caller sends: ${what}`, async () => {
    const hostile = {
      operation: text,
      method: text,
      path: text,
      pathPattern: undefined,
      clientRequestId: text,
      identityId: `8:acs:${text}` as IdentityId,
      msCv: text,
      apiVersion: text,
      caller: text,
      detail: text,
    };
    const written = await logText((log) => {
      const monitor = new Monitor(log, new ServerMetrics('0.0.0'));
      monitor.requestAnswered({
        ...FACTS,
        ...hostile,
        status: 500,
        cause: new Error(text, { cause: { [text]: text } }),
      });
      monitor.notice('warn', text, { text, list: [text], nested: { [text]: text } });
      monitor.newerVersionServed(text, '2026-09-23', text);
      monitor.tokensEnded(text, 1, undefined, text);
    });
    assertOneObjectPerLine(written, 4);
    const [line] = parsed(written);
    for (const field of ['clientRequestId', 'identityId', 'msCv', 'apiVersion', 'detail', 'operation']) {
      assert.ok(String(line?.[field]).length <= 128, field);
      assert.ok(String(line?.[field]).isWellFormed(), field);
    }
  });
}

test('a line stays one line for any text at all', async () => {
  const texts = fc.sample(fc.string({ unit: 'binary', maxLength: 200 }), 500);
  const written = await logged(...texts.map((text) => ({ ...FACTS, clientRequestId: text, detail: text })));
  assertOneObjectPerLine(written, 500);
});

function assertOneObjectPerLine(written: string, count: number): void {
  const lines = parsed(written);
  assert.equal(lines.length, count);
  for (const line of lines) assert.ok(['info', 'warn', 'error'].includes(String(line.level)));
  assert.doesNotMatch(written, /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
}

const CANARY_KEY = `${'Canary0123456789'.repeat(5)}AAAAAA==`;
const CANARY_TOKEN = `eyJhbGciOiJSUzI1NiJ9.${'c'.repeat(80)}.${'s'.repeat(80)}`;

test('facts with the name of a secret are hidden at every depth', async () => {
  const names = [
    'authorization',
    'Authorization',
    'signature',
    'token',
    'accessKey',
    'accesskey',
    'key',
    'secret',
    'clientSecret',
  ];
  const more = [
    'password',
    'kek',
    'operatorKey',
    'keys',
    'x-ms-token',
    'databaseUrl',
    'connectionString',
    'privateKeyPem',
  ];
  const secrets = Object.fromEntries([...names, ...more].map((name) => [name, `canary-${name}`]));
  const text = await logText((log) =>
    log.write('info', 'hello', { ...secrets, deep: { deeper: [{ ...secrets }] }, keyId: 'k1' }),
  );
  assert.doesNotMatch(text, /canary/);
  assert.equal(parsed(text)[0]?.keyId, 'k1');
});

test('what looks like a secret is hidden in any text', async () => {
  const texts = [
    `Unexpected token in "${CANARY_KEY}"`,
    `bad header Bearer ${CANARY_TOKEN}`,
    'connect postgres://linarite:canary@db.example.org/linarite failed',
    `HMAC-SHA256 SignedHeaders=date&Signature=${'C4nary'.repeat(7)}A=`,
    '-----BEGIN PRIVATE KEY-----\nCanary\nC4nary\n-----END PRIVATE KEY-----',
  ];
  const written = await logText((log) => {
    const monitor = new Monitor(log, new ServerMetrics('0.0.0'));
    for (const text of texts) {
      const cause = Object.assign(new Error(text, { cause: text }), { input: text, detail: text, code: text });
      monitor.requestAnswered({ ...FACTS, clientRequestId: text, detail: text, status: 500, cause });
      monitor.notice('error', text, { text, cause });
    }
  });
  assert.equal(parsed(written).length, 2 * texts.length);
  assert.doesNotMatch(written, /c4?anary|cccc|ssss/i);
});

test('of an error nothing is written but its name, code, message, stack and causes', async () => {
  const more = { parameters: ['Canary'], row: { name: 'Canary' }, address: 'canary', errno: 7, code: 'E_CODE' };
  const written = await logText((log) => {
    const monitor = new Monitor(log, new ServerMetrics('0.0.0'));
    const cause = Object.assign(new Error('outside', { cause: Object.assign(new Error('inside'), more) }), more);
    monitor.requestAnswered({ ...FACTS, status: 500, cause });
    monitor.notice('error', 'failed', { cause });
  });
  assert.doesNotMatch(written, /canary/i);
  for (const { cause } of parsed(written)) {
    const { type, code, message, stack, cause: inside, ...rest } = cause as Record<string, unknown>;
    assert.deepEqual([type, code, message, rest], ['Error', 'E_CODE', 'outside', {}]);
    assert.ok(typeof stack === 'string' && typeof inside === 'object');
  }
});

test('nothing that is logged or counted can fail a request', async () => {
  const hostile = {
    get status(): number {
      throw new Error('no');
    },
  };
  const cyclic: Record<string, unknown> = {};
  cyclic.self = cyclic;
  const metrics = new ServerMetrics('0.0.0');
  const written = await logText((log) => {
    const monitor = new Monitor(log, metrics);
    monitor.requestAnswered({ ...FACTS, status: 500, cause: hostile });
    monitor.requestAnswered({ ...FACTS, status: 500, cause: Object.create(null) });
    monitor.requestAnswered({ ...FACTS, status: 500, cause: Symbol('odd') });
    monitor.requestAnswered(hostile as unknown as RequestFacts);
    monitor.notice('info', 'odd', {
      cyclic,
      big: 12n,
      date: new Date(Number.NaN),
      bytes: Buffer.from('x'),
      run: () => 1,
    });
  });
  parsed(written);
  assert.match(metrics.render(), /linarite_monitoring_failures_total 2\n/);
});

test('lines that cannot be written are dropped and counted, and later ones still tried', async () => {
  const fd = openSync('/dev/null', 'r'); // writing to it fails
  const log = openLog({ logLevel: 'info', mode: 'dev' }, { fd });
  for (const expected of [2, 4]) {
    log.write('info', 'one');
    log.write('info', 'two');
    await log.drain();
    assert.equal(log.dropped, expected);
  }
  log.write('info', 'three');
  log.flushSync();
  closeSync(fd);
});

test('a process whose standard error was closed still ends', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', WRITES_AFTER_CLOSE], {
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  child.stderr.destroy();
  child.stdin.end();
  const [code] = await once(child, 'exit');
  assert.equal(code, 0);
});

test('what was logged last is there when the process ends at once', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', ENDS_AT_ONCE], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const text = (await child.stderr.setEncoding('utf8').toArray()).join('');
  assert.deepEqual(
    parsed(text).map((line) => line.msg),
    ['early', ...Array.from({ length: 50 }, (_, index) => `late ${index}`)],
  );
});

test('what a reader does not read is dropped and counted in the end, and does not fill the memory', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', WRITES_TO_NOBODY], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [dropped] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
  child.kill('SIGKILL');
  assert.ok(Number(dropped) > 10_000, dropped);
});

const LOG = JSON.stringify(import.meta.resolve('../../src/monitoring/log.ts'));
const WRITES_AFTER_CLOSE = `
  import { openLog } from ${LOG};
  const log = openLog({ logLevel: 'info', mode: 'dev' });
  process.on('exit', () => log.flushSync());
  process.stdin.resume().on('end', async () => {
    log.write('info', 'nobody reads this');
    await log.drain();
    log.write('info', 'nor this');
    process.exit(0);
  });`;
const ENDS_AT_ONCE = `
  import { openLog } from ${LOG};
  const log = openLog({ logLevel: 'info', mode: 'dev' });
  process.on('exit', () => log.flushSync());
  log.write('info', 'early');
  setTimeout(() => {
    for (let index = 0; index < 50; index++) log.write('info', 'late ' + index);
    process.exit(0);
  }, 60);`;
// 20 MB, of which 8 MB may wait.
const WRITES_TO_NOBODY = `
  import { openLog } from ${LOG};
  const log = openLog({ logLevel: 'info', mode: 'dev' });
  for (let line = 0; line < 20_000; line++) log.write('info', 'x'.repeat(1000));
  process.stdout.write(String(log.dropped));`;
