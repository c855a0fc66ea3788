import type { Command } from 'commander';

const MOST = 3;

/**
 * The commands that somebody may have meant whose words lead to none: `token issue` for `identity token issue`.
 * @param args the whole command line
 * @returns none when nothing fits, or too much
 */
export function suggestionsFor(program: Command, args: readonly string[]): readonly string[] {
  const firstOption = args.findIndex((word) => word.startsWith('-'));
  const words = firstOption < 0 ? args : args.slice(0, firstOption);
  const paths = pathsBelow(program);
  // Fewer and fewer words, since those at the end may be arguments.
  for (let count = words.length; count > 0; count -= 1) {
    const found = paths.filter((path) => leaves(path, words.slice(0, count)));
    if (found.length > 0) return found.length > MOST ? [] : found.map((path) => path.join(' '));
  }
  return [];
}

const pathsBelow = (command: Command, above: readonly string[] = []): string[][] =>
  command.commands.flatMap((child) => {
    const path = [...above, child.name()];
    return [path, ...pathsBelow(child, path)];
  });

/** Whether a path remains these words, in their order and with the same end, when others are left out. */
function leaves(path: readonly string[], words: readonly string[]): boolean {
  let left = words.length;
  for (let at = path.length - 1; at >= 0 && left > 0; at -= 1) {
    if (path[at] === words[left - 1]) left -= 1;
    else if (left === words.length) return false;
  }
  return left === 0;
}
