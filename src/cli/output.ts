import { onOneLine } from './exit.ts';

export const FORMATS = ['json', 'table'] as const;
export type Format = (typeof FORMATS)[number];

/** A line of a table: heading → text. */
export type Cells = Readonly<Record<string, string | number | boolean | null | undefined>>;

/**
 * Prints a result.
 * @param value what is printed as JSON, with az's names and nesting where az has the command
 * @param cells the same for a table
 */
export function print(value: unknown, format: Format, cells: readonly Cells[]): void {
  process.stdout.write(format === 'table' ? table(cells) : json(value));
}

/** What JSON lets through and a terminal acts on. */
const UNPRINTABLE = /[\u007f-\u009f\u2028\u2029\p{Cf}]/gu;

const json = (value: unknown): string =>
  `${JSON.stringify(value, null, 2).replace(UNPRINTABLE, (character) =>
    Array.from(
      { length: character.length },
      (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`,
    ).join(''),
  )}\n`;

/** Columns in the order of the first line, as wide as their widest text. No rows, no table. */
function table(cells: readonly Cells[]): string {
  const headings = Object.keys(cells[0] ?? {});
  const rows = cells.map((row) => headings.map((heading) => onOneLine(String(row[heading] ?? ''))));
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const rules = widths.map((width) => '-'.repeat(width));
  return [headings, rules, ...rows]
    .slice(0, headings.length === 0 ? 0 : undefined)
    .map(
      (row) =>
        `${row
          .map((text, column) => text.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
