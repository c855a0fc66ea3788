// Reads what a page tells its reader to do, and does the part of it that concerns files.

/** One thing that a page tells its reader to do. */
export type Step =
  | { readonly kind: 'file'; readonly path: string; readonly text: string }
  | { readonly kind: 'edit'; readonly path: string; readonly places: readonly Place[] }
  | { readonly kind: 'run'; readonly command: string };

/** A place in a file, by its lines, and the lines that come there. */
interface Place {
  readonly before: readonly string[];
  readonly after: readonly string[];
}

/** A path alone in its line where there is one, and a block of code. */
const BLOCK = /(?:^`([\w./-]+)`\n\n)?^```(\w+)\n([\s\S]*?)^```$/gm;

/**
 * The steps of a page, in order: a block of code below a path is a new file, or an edit where it is a `diff`; each line of
 * a block of `sh` is a command.
 * @throws Error when a block is none of these
 */
export function stepsOf(page: string): Step[] {
  return [...page.matchAll(BLOCK)].flatMap(([, path, language, text = '']): Step[] => {
    if (path === undefined && language === 'sh') return commandsIn(text).map((command) => ({ kind: 'run', command }));
    if (path === undefined) throw new Error(`a block of ${language} has no path: ${text.slice(0, 60)}`);
    return language === 'diff' ? [{ kind: 'edit', path, places: placesIn(text) }] : [{ kind: 'file', path, text }];
  });
}

const commandsIn = (text: string): string[] => text.split('\n').filter((line) => line.trim() !== '');

function placesIn(diff: string): Place[] {
  return diff.split(/^@@\n/m).map((text) => {
    const lines = text.split('\n').slice(0, -1);
    const without = (sign: string) => lines.filter((line) => !line.startsWith(sign)).map((line) => line.slice(1));
    return { before: without('+'), after: without('-') };
  });
}

/** The files that steps are done to. */
export interface Files {
  /** Undefined when there is no such file. */
  read(path: string): string | undefined;
  write(path: string, text: string): void;
}

/**
 * Makes a file, or edits one.
 * @throws Error when the file is there already, or when the place of an edit is not in the file exactly once
 */
export function applyStep(step: Exclude<Step, { kind: 'run' }>, files: Files): void {
  const text = files.read(step.path);
  files.write(step.path, step.kind === 'file' ? newText(step, text) : editedText(step, text));
}

function newText({ path, text }: Extract<Step, { kind: 'file' }>, there: string | undefined): string {
  if (there !== undefined) throw new Error(`${path} is there already`);
  return text;
}

function editedText({ path, places }: Extract<Step, { kind: 'edit' }>, there: string | undefined): string {
  if (there === undefined) throw new Error(`${path} is not there`);
  return places.reduce((text, place) => editAt(text, place, path), there);
}

function editAt(text: string, { before, after }: Place, path: string): string {
  const lines = text.split('\n');
  const found = lines.flatMap((_, index) => (before.every((line, n) => lines[index + n] === line) ? [index] : []));
  const [at] = found;
  if (before.length === 0 || at === undefined || found.length > 1)
    throw new Error(`${path}: this place is there ${found.length} times:\n${before.join('\n')}`);
  return [...lines.slice(0, at), ...after, ...lines.slice(at + before.length)].join('\n');
}
