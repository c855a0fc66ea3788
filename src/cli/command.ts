import { type Command, Option } from 'commander';
import { FIRST_SUBSCRIPTION } from '../planes/management/communication-service.ts';
import { DEV_RESOURCE } from '../resources/resource.ts';
import { CONNECTION_STRING_VARIABLES } from './connection-string.ts';
import type { Place } from './management-paths.ts';
import { FORMATS, type Format } from './output.ts';

/** The group that dev mode puts its resource into. */
const FIRST_GROUP = 'dev';

/** Where commands look when nothing was said: dev mode's own resource. */
export const DEFAULT_RESOURCE = {
  subscription: FIRST_SUBSCRIPTION,
  resourceGroup: FIRST_GROUP,
  name: DEV_RESOURCE.name,
};

/** Adds a command with what its `--help` must have: what it does in one line, and how a call looks. */
export const addCommand = (parent: Command, name: string, summary: string, ...examples: readonly string[]): Command =>
  parent
    .command(name)
    .summary(summary)
    .description(summary)
    .addHelpText('after', `\nExample:\n${examples.map((example) => `  ${example}`).join('\n')}`);

/** Adds a group of commands. */
export const addGroup = (parent: Command, name: string, summary: string): Command =>
  parent.command(name).summary(summary).description(summary).helpCommand(false);

export const outputOption = (): Option =>
  new Option('-o, --output <format>', 'how the result is printed').choices(FORMATS).default('json');

export const yesOption = (): Option => new Option('-y, --yes', 'do not ask');

const caOption = (): Option =>
  new Option(
    '--ca <file>',
    "certificate authority to trust (default: ca.pem of the data folder, on the server's machine)",
  );

/** Both ways to give a connection string. @param summary what it is for, with its default */
export const withConnectionString = (command: Command, summary: string): Command =>
  command
    .addOption(new Option('--connection-string <text>', `${summary}; other users can see it in the list of processes`))
    .addOption(
      new Option(
        '--connection-string-file <file>',
        'file with the connection string, readable by its owner only; - reads standard input',
      ).conflicts('connectionString'),
    );

/** Options of commands that act for a resource. */
export const withService = (command: Command): Command =>
  withConnectionString(
    command,
    `endpoint=…;accesskey=… (default: ${CONNECTION_STRING_VARIABLES.join(', ')}, or that of the resource '${DEFAULT_RESOURCE.name}' on this machine)`,
  )
    .addOption(
      new Option('--endpoint <url>', 'address of the server, if it differs from the one in the connection string'),
    )
    .addOption(caOption());

/** Options of commands that act for the operator. */
export const withOperator = (command: Command): Command =>
  command
    .addOption(
      new Option(
        '--endpoint <url>',
        'address of the server (default: LINARITE_PUBLIC_URL, or https://localhost with LINARITE_PORT)',
      ),
    )
    .addOption(caOption());

/** Options that say where a resource stands, with az's names. */
export const withPlace = (command: Command): Command =>
  withOperator(command)
    .addOption(new Option('-g, --resource-group <name>', 'resource group').default(FIRST_GROUP))
    .addOption(subscriptionOption());

export const subscriptionOption = (): Option =>
  new Option('--subscription <id>', 'subscription').default(FIRST_SUBSCRIPTION);

export interface Printing {
  output: Format;
}

export interface Yes {
  yes?: boolean;
}

export type Placed = Place & { endpoint?: string; ca?: string };
