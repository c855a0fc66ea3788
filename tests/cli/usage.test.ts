import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Command } from 'commander';
import { buildProgram } from '../../src/cli/program.ts';
import { SETTINGS } from '../../src/settings.ts';
import { VERSION } from '../../src/version.ts';
import { beside, cli, cliAtTerminal, cliBeside, command, terminalSkip } from '../harness/cli.ts';
import type { TestServer } from '../harness/server.ts';
import { shareServer } from '../harness/shared.ts';

const USER = '8:acs:5e1f0057-ed00-4acc-8000-000000007417_00000019-5466-0f71-aefa-4e3a0d002539';

const GUID = '7a3c9d10-0000-4000-8000-00000000000a';
const GRANT = ['trust', 'grant', 'add', '--trust', 'x', '--name', 'y', '--right', 'data', '--resource', '*'];

const WRONG: [args: string[], complaint: RegExp][] = [
  [['no-such-command'], /unknown command 'no-such-command'/],
  [['serve', 'twice'], /too many arguments/],
  [['serve', '--port', 'http'], /^linarite: LINARITE_PORT must be a whole number from 0 to 65535, not 'http'/],
  [['token', 'issue', '--scope', 'chat'], /unknown command 'token' \(did you mean `identity token issue`\?\)/],
  [['user', 'delete', '8:acs:x'], /unknown command 'user' \(did you mean `identity user delete`\?\)/],
  [['identity', 'introspect'], /unknown command 'introspect' \(did you mean `identity token introspect`\?\)/],
  [['grant', 'list'], /unknown command 'grant' \(did you mean `trust grant list`\?\)/],
  [['delete', '--name', 'x'], /unknown command 'delete'; see/],
  [['--no-such-option'], /unknown option '--no-such-option'/],
  [['identity', 'user', 'creat'], /unknown command 'creat' \(Did you mean create\?\)/],
  [['identity', 'user', 'delete', '--yes'], /required option '--user <id>' not specified/],
  [['identity', 'token', 'issue'], /required option '--scope <scope\.\.\.>' not specified/],
  [['identity', 'token', 'issue', '--scope', 'pstn'], /'pstn' is invalid\. Allowed choices are chat, chat\.join/],
  [['identity', 'user', 'list', '--max-items', '0'], /'0' is not a whole number/],
  [['identity', 'user', 'show'], /one of --user and --custom-id is needed/],
  [['identity', 'user', 'list', '--output', 'yaml'], /'yaml' is invalid/],
  [['identity', 'user', 'create', '--connection-string', 'x'], /--connection-string has no accesskey in base64/],
  [
    ['key', 'regenerate', '--name', 'x', '--key-type', 'third', '--yes'],
    /--key-type must be one of primary, secondary/,
  ],
  [['resource', 'list', '--endpoint', 'http://acs.example.org/'], /http:\/\/, which is allowed on this machine only/],
  [['completion', 'tcsh'], /'tcsh' is invalid/],
  [['trust', 'create', '--entra', GUID], /required option '-n, --name <name>' not specified/],
  [['trust', 'create', '--name', 'x'], /one of --issuer, --entra and --keycloak is needed/],
  [['trust', 'create', '--name', 'x', '--entra', 'contoso'], /--entra takes the GUID of a tenant, not 'contoso'/],
  [['trust', 'create', '--name', 'x', '--entra', GUID, '--keycloak', 'x'], /cannot be used with option '--keycloak/],
  [['trust', 'create', '--name', 'x', '--keycloak', 'realm'], /metadata: realm\S+ is not an https address/],
  [
    ['trust', 'create', '--name', 'x', '--issuer', 'http://x.example'],
    /metadata: \S+ is not an https address: http is allowed .* \(--private-addresses\)/,
  ],
  [
    [
      'trust',
      'create',
      '--name',
      'x',
      '--issuer',
      'ftp://a.very.long.name.of.an.identity.provider.example/realms/shop',
    ],
    /metadata: ftp:\S+\/realms\/shop\/\.well-known\/openid-configuration is not an https address/,
  ],
  [['trust', 'create', '--name', 'x', '--issuer', 'https://x.example', '--tenant', 'y'], /tenants: y is not a GUID/],
  [
    ['trust', 'create', '--name', 'x', '--issuer', 'x', '--claim', 'oid=sub'],
    /--claim takes <name>=<value>, with a name/,
  ],
  [['trust', 'create', '--name', 'x', '--issuer', 'x', '--audience', 'all=y'], /--audience takes .* service, manage/],
  [['trust', 'create', '--name', 'x', '--issuer', 'x', '--algorithm', 'none'], /'none' is invalid\. Allowed choices/],
  [['trust', 'grant', 'add', '--trust', 'x', '--name', 'y', '--right', 'all'], /'all' is invalid\. Allowed choices/],
  [[...GRANT], /one of --object-id, --application-id and --role is needed/],
  [[...GRANT, '--object-id', GUID, '--role', 'z'], /one of --object-id, --application-id and --role is needed/],
  [['assignment', 'create', '--object-id', GUID, '--tenant', GUID], /--client-id is needed/],
  [['assignment', 'show', '--plane', 'teams-extension', '--object-id', GUID], /--tenant is needed/],
  [['assignment', 'list', '--plane', 'teams'], /'teams' is invalid\. Allowed choices are entra, teams-extension/],
];

test('wrong usage is one line on standard error and exit code 2', { concurrency: 2 }, async (t) => {
  await Promise.all(
    WRONG.map(([args, complaint]) =>
      t.test(`linarite ${args.join(' ')}`, async () => {
        const { code, stdout, stderr } = await command(args);
        assert.deepEqual([code, stdout], [2, '']);
        assert.match(stderr, complaint);
        assert.match(stderr, /^linarite: [^\n]+\n$/);
      }),
    ),
  );
});

test('a group without a command prints its commands, and exit code 2', async () => {
  const { code, stdout, stderr } = await command(['identity', 'token']);
  assert.deepEqual([code, stdout], [2, '']);
  assert.match(stderr, /^ {2}issue .*\n {2}revoke /m);
});

test('wrong settings are exit code 2, as for the server', async () => {
  const { code, stderr } = await cli(['migrate'], { env: { LINARITE_MODE: 'prod' } });
  assert.deepEqual([code, stderr], [2, "linarite: LINARITE_MODE must be one of dev, production, not 'prod'\n"]);
  const port = await cli(['resource', 'list'], { env: { LINARITE_PORT: '0' } });
  assert.equal(port.code, 2);
  assert.match(port.stderr, /LINARITE_PORT is 0, .* give --endpoint/);
});

test('where no server is, that is said', async () => {
  const env = { LINARITE_OPERATOR_KEY: 'x'.repeat(40), LINARITE_PORT: '1' };
  const { code, stderr } = await command(['resource', 'list'], { env });
  assert.equal(code, 1);
  assert.match(stderr, /^linarite: no server answers at https:\/\/localhost:1 \(from LINARITE_PORT\): start one .*\n$/);
});

describe('what cannot be undone', () => {
  let server: TestServer;
  shareServer((started) => {
    server = started;
  });

  const DESTRUCTIVE = [
    ['identity', 'user', 'delete', '--user', USER],
    ['identity', 'token', 'revoke', '--user', USER],
    ['resource', 'delete', '--name', 'dev'],
    ['key', 'regenerate', '--name', 'dev', '--key-type', 'primary'],
    ['trust', 'disable', '--name', 'dev'],
    ['trust', 'delete', '--name', 'dev'],
    ['trust', 'update', '--name', 'dev', '--application', ''],
    ['trust', 'grant', 'remove', '--trust', 'dev', '--name', 'service-data'],
    ['assignment', 'delete', '--object-id', GUID],
    ['restore', '/nonexistent'],
    ['recover', '--accept-rollback'],
  ];
  for (const args of DESTRUCTIVE) {
    test(`is refused without --yes where there is no terminal: ${args.join(' ')}`, async () => {
      const { code, stdout, stderr } = await cliBeside(server, args, { input: 'y\n' });
      assert.deepEqual([code, stdout], [2, '']);
      assert.match(stderr, /^linarite: cannot ask for confirmation without a terminal: add --yes \(.*\?\)\n$/);
    });
  }

  test('is asked about at a terminal', terminalSkip, async () => {
    const id = await server.givenIdentity();
    const token = await server.givenToken(id);
    const args = ['identity', 'token', 'revoke', '--user', id];
    const no = await cliAtTerminal(args, { env: beside(server), input: 'n\n' });
    assert.equal(no.code, 1);
    assert.match(no.stdout, /End every token of 8:acs:.*\? \(y\/n\) /);
    assert.match(no.stdout, /linarite: nothing was done/);
    assert.equal((await server.asUser(token)).status, 200);
    const yes = await cliAtTerminal(args, { env: beside(server), input: 'y\n' });
    assert.equal(yes.code, 0, yes.stdout);
    assert.equal((await server.asUser(token)).status, 401);
  });
});

describe('help', () => {
  const program = buildProgram({}, { args: [], onServed: () => undefined });
  const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)];
  const helpOf = (command: Command): string => {
    let text = '';
    command.configureOutput({ writeOut: (part) => (text += part) }).outputHelp();
    return text;
  };
  const nameOf = (command: Command): string =>
    command.parent ? `${nameOf(command.parent)} ${command.name()}` : command.name();

  for (const command of all(program).filter(({ commands }) => commands.length === 0)) {
    test(`of ${nameOf(command)} has a summary in one line and an example of itself`, () => {
      assert.match(command.summary(), /^[a-z][^\n]{5,100}$/);
      const [, example = ''] = helpOf(command).split('\nExample:\n');
      assert.ok(example.includes(nameOf(command)), example);
    });
  }

  test('says which options a command cannot do without', () => {
    for (const command of all(program)) {
      for (const { long, mandatory } of command.options) {
        const entry =
          helpOf(command).match(new RegExp(`^ +(?:-\\w, )?${long}\\b[^]*?(?=\\n +-|\\n\\n)`, 'm'))?.[0] ?? '';
        assert.equal(/\(required\)/.test(entry.replaceAll(/\s+/g, ' ')), mandatory === true, entry || String(long));
      }
    }
  });

  test('lists every command, and every setting', () => {
    const text = helpOf(program);
    for (const { commands } of all(program))
      for (const child of commands) assert.ok(child.parent && helpOf(child.parent).includes(`  ${child.name()} `));
    for (const { variable } of Object.values(SETTINGS)) assert.ok(text.includes(variable), variable);
  });
});

test('--help and serve --help print the settings and end well', async () => {
  for (const args of [['--help'], ['serve', '--help']]) {
    const { code, stdout, stderr } = await command(args);
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /LINARITE_PORT \(default: 7417\)/);
  }
});

test('--version loads neither the server nor the parser', async () => {
  const { code, stdout } = await cli(['--version']);
  assert.deepEqual([code, stdout], [0, `${VERSION}\n`]);
  const run = join(import.meta.dirname, '../../src/cli/run.ts');
  const loaded = execFileSync(process.execPath, [
    '--input-type=module',
    '--eval',
    `import { registerHooks } from 'node:module';
     const seen = [];
     registerHooks({ load: (url, context, next) => (seen.push(url), next(url, context)) });
     const { run } = await import(${JSON.stringify(run)});
     await run(['-V'], {});
     console.log(JSON.stringify(seen));`,
  ]);
  const files: string[] = JSON.parse(String(loaded).split('\n')[1] ?? '[]');
  assert.deepEqual(
    files.map((file) => file.split('/src/')[1]),
    ['cli/run.ts', 'version.ts'],
  );
});
