import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { trustLines } from '../certificates/trust-lines.ts';
import { SHELL_NAMES, SHELLS, type ShellName, usualShell } from '../lib/shells.ts';
import type { CliContext } from './cli-context.ts';
import { addCommand, DEFAULT_RESOURCE, type Placed, withPlace } from './command.ts';
import { CONNECTION_STRING_VARIABLES, isThisMachine } from './connection-string.ts';
import { CommandError } from './exit.ts';
import { type Keys, servicePath } from './management-paths.ts';
import { authorityFile, operatorAccess, operatorAddress } from './server-access.ts';

/** Clients whose trust is a line that a shell can run without a person: → how their rows of the trust table begin. */
const CLIENTS = { javascript: 'JavaScript', python: 'Python', java: 'Java', dotnet: '.NET', az: 'az' } as const;
type Client = keyof typeof CLIENTS;

type Options = Placed & { name: string; shell: ShellName; client: Client[] };

/** `linarite env`: what programs beside a running server need in their environment. */
export function addEnvCommand(program: Command, context: CliContext): void {
  withPlace(
    addCommand(
      program,
      'env',
      'print lines that set the connection string and the trust in this shell',
      'eval "$(linarite env)"',
      'eval "$(linarite env --client python)"',
      'linarite env --shell fish | source',
      'linarite env --shell powershell | Out-String | Invoke-Expression',
    ),
  )
    .addOption(new Option('-n, --name <name>', 'name of the resource').default(DEFAULT_RESOURCE.name))
    .addOption(new Option('--shell <shell>', 'shell that the lines are for').choices(SHELL_NAMES).default(usualShell()))
    .addOption(
      new Option(
        '--client <client...>',
        'client that must trust the certificate authority; in that shell, all but javascript then trust no other authority',
      )
        .choices(Object.keys(CLIENTS))
        .default(['javascript']),
    )
    .action(async (options: Options) => {
      const { endpoint, connectionString } = await connectionOf(context, options);
      const connection = Object.fromEntries(CONNECTION_STRING_VARIABLES.map((name) => [name, connectionString]));
      const variables = { AZURE_COMMUNICATION_ENDPOINT: endpoint.replace(/\/$/, ''), ...connection };
      const shell = SHELLS[options.shell];
      const lines = Object.entries(variables).map(([name, value]) => shell.set({ [name]: value }));
      process.stdout.write([...lines, ...trusting(context, options, endpoint)].map((line) => `${line}\n`).join(''));
    });
}

async function connectionOf(
  context: CliContext,
  options: Options,
): Promise<{ endpoint: string; connectionString: string }> {
  const target = servicePath(options, `/${encodeURIComponent(options.name)}/listKeys`);
  const { primaryConnectionString = '' } = await operatorAccess(context, options).call<Keys>('POST', target);
  const endpoint = /^endpoint=([^;]+);/.exec(primaryConnectionString)?.[1];
  if (endpoint === undefined) throw new CommandError('the server gave no connection string');
  return { endpoint, connectionString: primaryConnectionString };
}

/** Lines that trust the authority of our own making, which a server on this machine has in its data folder. */
function trusting(context: CliContext, options: Options, endpoint: string): string[] {
  const file = options.ca === undefined ? authorityFile(context) : resolve(options.ca);
  const known = options.ca !== undefined || isThisMachine(operatorAddress(context, options).endpoint);
  if (!known || !existsSync(file)) return [];
  const rows = trustLines(file, endpoint, process.platform, options.shell);
  const wanted = rows.filter(({ client }) => options.client.some((name) => client.startsWith(CLIENTS[name])));
  return [...new Set(wanted.map(({ line }) => line))];
}
