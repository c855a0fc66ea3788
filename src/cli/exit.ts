/** Exit codes: design, "Names and contracts". */
export const DONE = 0;
export const FAILED = 1;
export const WRONG_USE = 2;

/** The end of a command that did not do what was asked: one line for people, and the exit code. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: number;

  constructor(message: string, { exitCode = FAILED, cause }: { exitCode?: number; cause?: unknown } = {}) {
    super(message, { cause });
    this.exitCode = exitCode;
  }
}

/** As {@link CommandError}, for what could not have worked: a missing option, a setting that is not one. */
export const wrongUse = (message: string): CommandError => new CommandError(message, { exitCode: WRONG_USE });

/** Says in one line on standard error what went wrong. @returns the exit code, to be passed on */
export function complain(message: string, code = FAILED): number {
  process.stderr.write(`linarite: ${onOneLine(message)}\n`);
  return code;
}

/** Characters that a terminal acts on. Much of what is printed came over a network. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Text that ends no line and moves no cursor. */
export const onOneLine = (text: string): string =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
    .join(' ')
    .replace(UNPRINTABLE, '?');
