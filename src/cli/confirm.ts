import { createInterface } from 'node:readline';
import { CommandError, wrongUse } from './exit.ts';

/**
 * Asks before something that cannot be undone. The question goes to standard error, so that results can be piped.
 * @param yes true when the answer was given on the command line
 * @throws CommandError when the answer is no, or there is nobody to ask
 */
export async function confirm(what: string, yes: boolean | undefined): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw wrongUse(`cannot ask for confirmation without a terminal: add --yes (${what})`);
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await new Promise<string>((resolve) => {
    lines.on('close', () => resolve('')); // Ctrl-C and Ctrl-D are a no
    lines.question(`${what} (y/n) `, resolve);
  });
  lines.close();
  if (!/^y(?:es)?$/i.test(answer.trim())) throw new CommandError('nothing was done');
}
