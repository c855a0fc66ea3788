import assert from 'node:assert/strict';
import { createHash, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { kekId, kekReader, readStableKeks } from '../../src/secrets/kek.ts';
import { readSettings } from '../../src/settings.ts';
import { cli } from '../harness/cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'linarite-kek-'));
after(() => rmSync(folder, { recursive: true }));

const newKek = (): string => randomBytes(32).toString('base64');
const [KEK, FORMER] = [newKek(), newKek()];
const DEVELOPMENT = createHash('sha256').update('Linarite development key-encryption key').digest('base64');

/** A script that stands for the tool of a vault. @returns the command that runs it */
function script(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return `${process.execPath} ${join(folder, name)}`;
}

function fileOf(text: string, mode = 0o600): string {
  const path = join(folder, randomBytes(4).toString('hex'));
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

const read = (env: Record<string, string>) => kekReader(readSettings(env))();
const read64 = async (env: Record<string, string>) => (await read(env)).map((key) => key.export().toString('base64'));

const GIVEN: [how: string, env: (text: string) => Record<string, string>][] = [
  ['LINARITE_KEK', (text) => ({ LINARITE_KEK: text })],
  ['LINARITE_KEK_FILE', (text) => ({ LINARITE_KEK_FILE: fileOf(text) })],
  [
    'LINARITE_KEK_COMMAND',
    (text) => ({ LINARITE_KEK_COMMAND: script('prints.mjs', `process.stdout.write(${JSON.stringify(text)})`) }),
  ],
];

describe('keys that are read twice', () => {
  const keyOf = (text: string): KeyObject => createSecretKey(Buffer.from(text, 'base64'));
  /** Gives other keys at each call. */
  const reader = (...calls: string[][]) => {
    const left = calls.map((texts) => texts.map(keyOf));
    return async () => left.shift() ?? [];
  };
  const changing = { name: 'SettingsError', message: /a different key at each call/ };

  test('are the same both times', async () => {
    for (const texts of [[KEK], [KEK, FORMER]]) {
      const keks = await readStableKeks(reader(texts, texts));
      assert.deepEqual(
        keks.map((kek) => kek.export().toString('base64')),
        texts,
      );
    }
  });

  test('are refused when any of them is another, one more or one less', async () => {
    for (const again of [[FORMER], [KEK, FORMER], []])
      await assert.rejects(readStableKeks(reader([KEK], again)), changing);
    for (const again of [[KEK], [KEK, newKek()], [newKek(), FORMER], [FORMER, KEK]])
      await assert.rejects(readStableKeks(reader([KEK, FORMER], again)), changing);
  });
});

test('a file that others can read is refused', { skip: process.platform === 'win32' }, async () => {
  const path = fileOf(KEK, 0o640);
  await assert.rejects(read({ LINARITE_KEK_FILE: path }), {
    message: `LINARITE_KEK_FILE names a file that others can read: chmod 600 ${path}`,
  });
  const none = join(folder, 'none');
  await assert.rejects(read({ LINARITE_KEK_FILE: none }), {
    message: `LINARITE_KEK_FILE names a file that cannot be read: ${none}`,
  });
});

test('the three ways exclude each other', () => {
  const ways = { LINARITE_KEK: KEK, LINARITE_KEK_FILE: '/kek', LINARITE_KEK_COMMAND: 'kek' };
  for (const left of Object.keys(ways)) {
    const two = Object.fromEntries(Object.entries(ways).filter(([name]) => name !== left));
    assert.throws(() => readSettings(two), { message: /exclude each other/ }, left);
  }
});

test('production mode needs one, dev mode has a published one', async () => {
  await assert.rejects(read({ LINARITE_MODE: 'production' }), {
    name: 'SettingsError',
    message: /LINARITE_KEK, LINARITE_KEK_FILE or LINARITE_KEK_COMMAND is needed in production mode/,
  });
  assert.deepEqual(await read64({}), [DEVELOPMENT]);
});

test('the id of a key tells keys apart and nothing of them', async () => {
  const [one, other] = await read({ LINARITE_KEK: `${KEK} ${FORMER}` });
  assert.ok(one && other);
  assert.match(kekId(one), /^[0-9a-f]{8}$/);
  assert.notEqual(kekId(one), kekId(other));
  assert.ok(!createHash('sha256').update(one.export()).digest('hex').startsWith(kekId(one)));
});

for (const [variable, env] of GIVEN) {
  describe(`the key-encryption key from ${variable}`, () => {
    test('is 32 bytes in base64, with the former ones behind them during a change', async () => {
      assert.deepEqual(await read64(env(KEK)), [KEK]);
      assert.deepEqual(await read64(env(`${KEK}\n`)), [KEK]);
      assert.deepEqual(await read64(env(`${KEK}\n${FORMER}\n`)), [KEK, FORMER]);
      assert.deepEqual(await read64(env(`${KEK} ${FORMER}`)), [KEK, FORMER]);
    });

    const WRONG = [
      randomBytes(31).toString('base64'),
      randomBytes(33).toString('base64'),
      randomBytes(32).toString('hex'),
      KEK.slice(0, -1),
      `${KEK},${FORMER}`,
      `${KEK} ${FORMER} ${newKek()}`,
      `${KEK} ${randomBytes(16).toString('base64')}`,
      ' \n',
    ];
    for (const [index, text] of WRONG.entries()) {
      test(`is refused without being repeated: wrong text ${index + 1}`, async () => {
        await assert.rejects(read(env(text)), ({ name, message }: Error) => {
          assert.equal(name, 'SettingsError');
          assert.ok(message.startsWith(`${variable} must contain 32 bytes in base64`), message);
          for (const word of text.split(/\s+/).filter(Boolean)) assert.ok(!message.includes(word));
          return true;
        });
      });
    }

    test('is never the published development key', async () => {
      for (const text of [DEVELOPMENT, `${KEK} ${DEVELOPMENT}`])
        await assert.rejects(read(env(text)), {
          message: `${variable} is the published development key: make a key of your own`,
        });
    });
  });
}

describe('the program that prints the key-encryption key', () => {
  const complaint = async (command: string): Promise<string> => {
    const failure = await read({ LINARITE_KEK_COMMAND: command }).then(
      () => assert.fail('it was taken'),
      (cause: unknown) => cause as Error,
    );
    assert.equal(failure.name, 'SettingsError');
    assert.doesNotMatch(failure.message, /canary/i);
    return failure.message;
  };

  test('gets its arguments, and no shell', async () => {
    const echo = script('echo.mjs', `process.stdout.write(process.argv[2] === '$HOME;' ? process.argv[3] : 'x')`);
    assert.deepEqual(await read64({ LINARITE_KEK_COMMAND: ` ${echo}  $HOME;  ${KEK} ` }), [KEK]);
    const touched = join(folder, 'touched');
    await complaint(`${process.execPath} --version > ${touched}`);
    assert.ok(!existsSync(touched));
  });

  test('that fails is named, and nothing of what it printed or was given', async () => {
    const fails = script('fails.mjs', `console.log('canary'); console.error('canary'); process.exit(3)`);
    assert.equal(await complaint(`${fails} canary`), 'LINARITE_KEK_COMMAND ended with exit code 3');
    assert.equal(await complaint(join(folder, 'canary-not-there')), 'LINARITE_KEK_COMMAND cannot be run (ENOENT)');
    const chatters = script('chatters.mjs', `process.stdout.write('canary'.repeat(100_000))`);
    assert.equal(await complaint(chatters), 'LINARITE_KEK_COMMAND printed more than a key');
    const dies = script('dies.mjs', `process.kill(process.pid, 'SIGTERM'); setTimeout(() => 0, 1000)`);
    assert.equal(await complaint(dies), 'LINARITE_KEK_COMMAND cannot be run (killed by a signal)');
  });

  test('that makes a key at each call is noticed before anything is put under it', async () => {
    const makes = script(
      'makes.mjs',
      `import { randomBytes } from 'node:crypto'; console.log(randomBytes(32).toString('base64'))`,
    );
    await assert.rejects(readStableKeks(kekReader(readSettings({ LINARITE_KEK_COMMAND: makes }))), {
      message: /a different key at each call/,
    });
    const env = { LINARITE_KEK_COMMAND: makes, LINARITE_DATA: join(folder, 'made'), LINARITE_PORT: '0' };
    const { code, stderr } = await cli(['serve'], { env });
    assert.deepEqual(
      [code, stderr],
      [2, 'linarite: LINARITE_KEK_COMMAND prints a different key at each call: it must print the same key each time\n'],
    );
  });
});
