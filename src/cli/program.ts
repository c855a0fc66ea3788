import { Command, CommanderError, Help, Option } from 'commander';
import { ServiceError } from '../errors.ts';
import { SETTINGS, SettingsError, settingsHelp } from '../settings.ts';
import { StoreError } from '../storage/database.ts';
import { VERSION } from '../version.ts';
import { addAssignmentCommands } from './assignment-commands.ts';
import { CliContext } from './cli-context.ts';
import { addCommand, addGroup } from './command.ts';
import { addCompletionCommand } from './completion.ts';
import { addEnvCommand } from './env-command.ts';
import { CommandError, complain, DONE, FAILED, WRONG_USE } from './exit.ts';
import { addUserCommands } from './identity-commands.ts';
import { addImportCommand } from './import-command.ts';
import { addKeyRingCommands } from './key-ring-commands.ts';
import { addKeyCommands, addResourceCommands } from './resource-commands.ts';
import { addStoreCommands } from './store-commands.ts';
import { suggestionsFor } from './suggestion.ts';
import { addTokenCommands } from './token-commands.ts';
import { addTrustCommands } from './trust-commands.ts';

const PORT = SETTINGS.port.variable;
const DATA = SETTINGS.data.variable;

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Runs a command of the tree.
 * @returns the exit code
 */
export async function runProgram(args: readonly string[], environment: Environment): Promise<number> {
  process.stdout.on('error', leaveQuietly);
  let code = DONE;
  const program = buildProgram(environment, { args, onServed: (exitCode) => (code = exitCode) });
  try {
    await program.parseAsync(args, { from: 'user' });
    return code;
  } catch (cause) {
    return codeOf(cause);
  }
}

interface Run {
  /** The command line, for what is said about a wrong one. */
  args: readonly string[];
  /** Takes the exit code of the server. */
  onServed: (exitCode: number) => void;
}

/** The whole tree of commands. */
export function buildProgram(environment: Environment, { args, onServed }: Run): Command {
  const context = new CliContext(environment);
  const program = new Command('linarite')
    .description('User identities and access tokens, compatible with the Azure Communication Services API')
    .version(VERSION, '-V, --version', 'print the release')
    .helpOption('-h, --help', 'print this page')
    .helpCommand(false)
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({
      outputError: (text) => void complain(complaintFrom(text, program, args), WRONG_USE),
    })
    .configureHelp({
      optionDescription(option) {
        const standard = Help.prototype.optionDescription.call(this, option);
        return option.mandatory ? `${standard} (required)` : standard;
      },
    })
    .addHelpText('after', () => `\n${AFTER_COMMANDS}\n\n${settingsPart()}`);

  addCommand(
    program,
    'serve',
    'run the server until SIGINT or SIGTERM (the default command)',
    'linarite serve',
    'linarite serve --port 0 --data ./data',
  )
    .addOption(new Option('--port <number>', `port to listen on, 0 for any free one (the same as ${PORT})`))
    .addOption(new Option('--data <folder>', `data folder (the same as ${DATA})`))
    .addHelpText('after', () => `\n${settingsPart()}`)
    .action(async ({ port, data }: { port?: string; data?: string }) => {
      const { serve } = await import('./serve.ts');
      onServed(await serve({ ...environment, ...(port && { [PORT]: port }), ...(data && { [DATA]: data }) }));
    });
  addEnvCommand(program, context);
  addKeyCommands(program, context);
  const identity = addGroup(program, 'identity', 'users and their access tokens');
  addUserCommands(identity, context);
  addTokenCommands(identity, context);
  addImportCommand(identity, context);
  addResourceCommands(program, context);
  addTrustCommands(program, context);
  addAssignmentCommands(program, context);
  addStoreCommands(program, context);
  addKeyRingCommands(program, context);
  addCompletionCommand(program);
  return program;
}

const AFTER_COMMANDS = `\`linarite <command> --help\` shows the options of a command. Guide: docs/guides/cli.md.

Exit status: 0 done, or stopped as asked; 1 failed; 2 wrong usage or settings.`;

const settingsPart = (): string => `Settings, as environment variables.\n\n${settingsHelp()}`;

/** What the parser says, and for a command that is not there which one may have been meant. */
function complaintFrom(text: string, program: Command, args: readonly string[]): string {
  const complaint = text.replace(/^error: /, '').trim();
  const suggestions = /^unknown command '[^']*'$/.test(complaint) ? suggestionsFor(program, args) : [];
  const question =
    suggestions.length > 0 ? ` (did you mean ${suggestions.map((path) => `\`${path}\``).join(' or ')}?)` : '';
  return `${complaint}${question}; see --help`;
}

/** Says what went wrong, unless the parser has said it, and finds the exit code. */
function codeOf(cause: unknown): number {
  if (cause instanceof CommanderError) return cause.exitCode === 0 ? DONE : WRONG_USE;
  if (cause instanceof CommandError) return complain(cause.message, cause.exitCode);
  if (cause instanceof SettingsError) return complain(cause.message, WRONG_USE);
  if (cause instanceof StoreError || cause instanceof ServiceError) return complain(cause.message, FAILED);
  const { code, message } = cause as NodeJS.ErrnoException; // the disk is full, a folder belongs to somebody else
  if (code !== undefined) return complain(message, FAILED);
  throw cause;
}

/** The reader of our output may stop reading, as `head` does. */
function leaveQuietly(cause: NodeJS.ErrnoException): void {
  if (cause.code !== 'EPIPE') throw cause;
  process.exit(DONE);
}
