import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cli, run } from '../harness/cli.ts';

const found = (shell: string): string | undefined =>
  ['/usr/bin', '/bin', '/usr/local/bin'].map((folder) => join(folder, shell)).find(existsSync);

/** What stands before the cursor, and what is offered. A line that ends with a blank begins a new word. */
const OFFERED: [line: string, offered: string[]][] = [
  ['linarite key', ['key', 'key-ring']],
  ['linarite key ', ['list', 'regenerate']],
  ['linarite identity token is', ['issue']],
  ['linarite identity token issue --scope chat.j', ['chat.join', 'chat.join.limited']],
  ['linarite identity token issue --scope chat voip.', ['voip.join']],
  ['linarite identity user list --custom', ['--custom-id']],
  ['linarite key regenerate --key-type ', ['primary', 'secondary']],
  ['linarite identity user list -o t', ['table']],
  ['linarite completion ', ['bash', 'fish', 'zsh']],
  ['linarite resource show --name ', []],
  ['linarite trust ', ['check', 'create', 'delete', 'disable', 'enable', 'grant', 'list', 'show', 'update']],
  ['linarite trust create --key', ['--key-set', '--keycloak']],
  ['linarite trust create --algorithm ES', ['ES256', 'ES384']],
  ['linarite trust grant ', ['add', 'list', 'remove']],
  ['linarite trust grant add --right ', ['data', 'management', 'read']],
  ['linarite assignment show --plane t', ['teams-extension']],
];

describe('completion', () => {
  const folder = mkdtempSync(join(tmpdir(), 'linarite-completion-'));
  const script = (shell: string): string => join(folder, shell);
  before(async () => {
    for (const shell of ['bash', 'zsh', 'fish']) {
      const { code, stdout, stderr } = await cli(['completion', shell]);
      assert.deepEqual([code, stderr], [0, '']);
      writeFileSync(script(shell), stdout);
    }
  });
  after(() => rmSync(folder, { recursive: true }));

  const bash = found('bash');
  test('in bash', { skip: !bash && 'no bash here' }, async () => {
    const sound = await run(bash ?? '', ['-n', script('bash')]);
    assert.deepEqual([sound.code, sound.stderr], [0, '']);
    for (const [line, offered] of OFFERED) {
      const words = line.split(' ').map((word) => `'${word}'`);
      const call = `source ${script('bash')}; COMP_WORDS=(${words.join(' ')}); COMP_CWORD=${words.length - 1}; _linarite; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const { stdout, stderr } = await run(bash ?? '', ['--norc', '-c', call]);
      assert.equal(stderr, '');
      assert.deepEqual(offers(stdout, line), offered, line);
    }
  });

  const zsh = found('zsh');
  test('in zsh', { skip: !zsh && 'no zsh here' }, async () => {
    const sound = await run(zsh ?? '', ['-n', script('zsh')]);
    assert.deepEqual([sound.code, sound.stderr], [0, '']);
    for (const [line, offered] of OFFERED) {
      const words = line.split(' ').map((word) => `'${word}'`);
      // Outside of an editor there is nothing to add to, so what would be added is printed.
      const call = `compdef() { :; }; compadd() { shift; print -l -- "$@"; }; _files() { :; }; source ${script('zsh')}; words=(${words.join(' ')}); CURRENT=${words.length}; _linarite`;
      const { stdout, stderr } = await run(zsh ?? '', ['-f', '-c', call]);
      assert.equal(stderr, '');
      assert.deepEqual(offers(stdout, line), offered, line);
    }
  });

  const fish = found('fish');
  test('in fish', { skip: !fish && 'no fish here' }, async () => {
    for (const [line, offered] of OFFERED.filter(([line]) => !line.includes('chat voip.'))) {
      const call = `source ${script('fish')}; complete -C '${line}'`;
      const { stdout, stderr } = await run(fish ?? '', ['--no-config', '-c', call], { env: { HOME: folder } });
      assert.equal(stderr, '');
      assert.deepEqual(offers(stdout, line), offered, line);
    }
  });
});

/** The offers that go on with the word at the cursor, options only where it begins like one. */
function offers(stdout: string, line: string): string[] {
  const word = line.split(' ').at(-1) ?? '';
  return stdout
    .split('\n')
    .map((offer) => offer.split('\t')[0] ?? '')
    .filter((offer) => offer !== '' && offer.startsWith(word) && (word.startsWith('-') || !offer.startsWith('-')))
    .sort();
}
