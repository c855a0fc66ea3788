import { existsSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { KEY_SLOTS, type KeySlot } from '../callers.ts';
import { readPrivateFile } from '../secrets/kek.ts';
import { wrongUse } from './exit.ts';

/** Options of a command that takes over access keys. */
export interface KeyFileOptions {
  primaryKeyFile?: string;
  secondaryKeyFile?: string;
}

/** Keys come from files or standard input. An argument is in the list of processes, where everybody on the machine reads it. */
export function withKeyFiles(command: Command): Command {
  for (const slot of KEY_SLOTS) {
    command
      .option(`--${slot}-key-file <file>`, `file with the ${slot} access key; '-' for a line of standard input`)
      .addOption(new Option(`--${slot}-key <key>`).hideHelp().argParser(() => refuseKey(slot)));
  }
  return command;
}

function refuseKey(slot: KeySlot): never {
  throw wrongUse(
    `a key cannot be an argument, because the list of processes and the shell history would show it: put it into a file and give --${slot}-key-file <file>, or '-' for standard input`,
  );
}

/** Reads the keys that were named. From standard input each takes a line, the primary one first. @throws CommandError */
export async function readKeys(options: KeyFileOptions): Promise<Partial<Record<`${KeySlot}Key`, string>>> {
  const files = KEY_SLOTS.map((slot) => [slot, options[`${slot}KeyFile`]] as const);
  const input = files.some(([, file]) => file === '-') ? await linesOfInput() : [];
  const keys = files.flatMap(([slot, file]) =>
    file === undefined ? [] : [[`${slot}Key`, readKey(slot, file, input)]],
  );
  return Object.fromEntries(keys);
}

/** Some keys, and no more: whatever else was piped here by mistake. */
const MOST_INPUT = 4096;

async function linesOfInput(): Promise<string[]> {
  let text = '';
  for await (const part of process.stdin.setEncoding('utf8')) {
    text += part;
    if (text.length > MOST_INPUT) throw wrongUse('standard input has more than two keys');
  }
  return text.split(/\s+/).filter(Boolean);
}

/** @param input lines that are left of standard input */
function readKey(slot: KeySlot, file: string, input: string[]): string {
  const option = `--${slot}-key-file`;
  // Without its name: it may be the key itself.
  if (file !== '-' && !existsSync(file)) throw wrongUse(`${option} names a file that does not exist`);
  const key = file === '-' ? input.shift() : readPrivateFile(file, option).trim();
  if (!key) throw wrongUse(`${option}: there is no key in ${file === '-' ? 'standard input' : file}`);
  return key;
}
