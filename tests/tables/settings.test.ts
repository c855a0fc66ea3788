import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { SettingTable } from '../../src/settings/setting.ts';
import { readSettings, SETTING_GROUPS, SETTINGS, type SettingName, settingsHelp } from '../../src/settings.ts';
import { SOURCES } from '../harness/sources.ts';

const ROOT = join(import.meta.dirname, '../..');

test('every setting is in --help and in the reference, with its default', () => {
  const page = readFileSync(join(ROOT, 'docs/reference/settings.md'), 'utf8');
  for (const { variable, prose, standard } of Object.values(SETTINGS)) {
    assert.match(variable, /^LINARITE_[A-Z_]+$/);
    assert.match(prose, /^[`A-Z].*\.$/s, variable);
    assert.ok(
      settingsHelp().includes(`  ${variable} (default: ${standard || (standard === '' ? 'empty' : 'none')})`),
      variable,
    );
    assert.ok(page.includes(`| \`${variable}\` |`), variable);
  }
});

test('every group of settings has its title above its settings, in --help and in the reference', () => {
  const page = readFileSync(join(ROOT, 'docs/reference/settings.md'), 'utf8');
  const help = settingsHelp();
  for (const [title, group] of Object.entries<SettingTable>(SETTING_GROUPS)) {
    const [, onPage = ''] = page.split(`\n## ${title}\n`);
    const [, inHelp = ''] = help.split(new RegExp(`^${title}:\n`, 'm'));
    const variables = Object.values(group).map(({ variable }) => variable);
    assert.deepEqual(variablesIn(onPage.split('\n## ')[0], /^\| `(\w+)`/gm), variables, title);
    assert.deepEqual(variablesIn(inHelp.split('\n\n')[0], /^ {2}(\w+) \(/gm), variables, title);
  }
});

const variablesIn = (part = '', pattern: RegExp): string[] =>
  [...part.matchAll(pattern)].map(([, variable = '']) => variable);

test('every table in src/settings is merged', () => {
  const declared = [...SOURCES].filter(([path]) => path.startsWith('settings/')).map(([, text]) => text);
  const tables = declared.flatMap((text) => text.match(/^export const [A-Z_]+\b/gm) ?? []);
  assert.equal(tables.length, Object.keys(SETTING_GROUPS).length, String(tables));
});

test('every setting has a variable of its own and is used somewhere', () => {
  const rows = Object.entries(SETTINGS);
  assert.equal(new Set(rows.map(([, { variable }]) => variable)).size, rows.length);
  const users = [...SOURCES].filter(([path]) => !/^settings[./]/.test(path)).map(([, text]) => text);
  for (const [name] of rows)
    assert.ok(
      users.some((text) => new RegExp(`\\b${name}\\b`).test(text)),
      name,
    );
});

test('the environment is read in settings.ts alone: main.ts hands it in', () => {
  const readers = [...SOURCES].filter(([, text]) =>
    /process\s*\.\s*env\b|process\[|\benv\b.*from 'node:process'/.test(text),
  );
  assert.deepEqual(
    readers.map(([path]) => path),
    ['main.ts'],
  );
  // Beside handing it in, main.ts sets the size of the thread pool, which has to stand before everything else.
  const rest = (SOURCES.get('main.ts') ?? '').replace('process.env.UV_THREADPOOL_SIZE ??=', '');
  assert.deepEqual(rest.match(/process\.env.*/g), ['process.env);']);
});

test('no other file names a variable but in a sentence to the person who has to set it', () => {
  for (const [path, text] of SOURCES) {
    for (const [variable] of text.matchAll(/LINARITE_[A-Z_]+[A-Z]/g)) {
      const known = Object.values(SETTINGS).some((row) => row.variable === variable);
      assert.ok(known, `${path} names ${variable}`);
    }
  }
});

test('every secret setting is marked as one, and no message repeats its value', () => {
  const secrets: SettingName[] = ['databaseUrl', 'natsUrl', 'kek', 'operatorKey'];
  for (const [name, row] of Object.entries(SETTINGS)) {
    assert.equal('secret' in row && row.secret === true, secrets.includes(name as SettingName), name);
  }
  for (const [variable, value] of [
    ['LINARITE_DATABASE_URL', 'mysql://hunter2'],
    ['LINARITE_NATS_URL', 'nats://localhost,http://hunter2'],
    ['LINARITE_OPERATOR_KEY', 'hunter2'],
  ] as const) {
    assert.throws(
      () => readSettings({ [variable]: value }),
      ({ message }: Error) => message.includes(variable) && !message.includes('hunter2'),
    );
  }
});

test('settings are complete and frozen', () => {
  const settings = readSettings({});
  assert.deepEqual(Object.keys(settings), Object.keys(SETTINGS));
  assert.ok(Object.isFrozen(settings));
});
