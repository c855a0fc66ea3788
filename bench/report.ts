import type { Stat } from './measure.ts';

/** A figure with a goal. */
export interface Check {
  readonly what: string;
  readonly unit: 'ratio' | 'ms' | 'MiB' | 'MB';
  readonly value: number;
  readonly low?: number;
  readonly high?: number;
  readonly samples: number;
  readonly goal: string;
  readonly met: boolean;
}

/** What one row of the table is made from. */
export interface Outcome {
  readonly title: string;
  readonly checks: readonly Check[];
  /** Figures without a goal, each with its unit in its name. */
  readonly raw: Readonly<Record<string, Stat | number | string>>;
  readonly notes: readonly string[];
}

/** How long a run may take: a quick one takes fewer and smaller samples. */
export interface Scale {
  readonly quick: boolean;
  readonly rounds: number;
}

interface Goal {
  readonly most?: number;
  readonly least?: number;
  readonly unit?: Check['unit'];
}

/** Compares a figure with its goal. */
export function check(
  what: string,
  { median, low, high, samples }: Stat,
  { most, least, unit = 'ratio' }: Goal,
): Check {
  const met = (most === undefined || median <= most) && (least === undefined || median >= least);
  const goal = most === undefined ? `≥ ${least}` : `≤ ${most}`;
  return { what, unit, value: median, low, high, samples, goal, met };
}

/** The row as it stands in the JSON: the first figure with a goal up front, all of them below. */
export function asJson({ title, checks, raw, notes }: Outcome): object {
  const [first] = checks;
  return {
    title,
    ratio: first?.value,
    goal: first?.goal,
    met: checks.every(({ met }) => met),
    checks,
    raw,
    notes,
  };
}

/** A figure in one line, to watch a run by. */
export const summary = ({ what, value, unit, goal, met }: Check): string =>
  `${what}: ${withUnit(value, unit)}, goal ${goal}, ${met ? 'met' : 'NOT met'}`;

const HEAD = ['', 'figure', 'measured', 'lowest – highest', 'samples', 'goal', 'met'];

/** All rows as one table for people. */
export function table(outcomes: ReadonlyMap<string, Outcome>): string {
  const lines = [...outcomes].flatMap(([name, outcome]) => rowsOf(name, outcome));
  const widths = HEAD.map((_, column) => Math.max(...[HEAD, ...lines].map((line) => line[column]?.length ?? 0)));
  const text = (line: readonly string[]): string =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '─'.repeat(width)).join('  ');
  const notes = [...outcomes].flatMap(([name, outcome]) => outcome.notes.map((note) => `${name}: ${note}`));
  return `${[text(HEAD), rule, ...lines.map(text)].join('\n')}\n\n${notes.join('\n')}\n`;
}

function rowsOf(name: string, { title, checks, raw }: Outcome): string[][] {
  const goals = checks.map(({ what, value, unit, low, high, samples, goal, met }) => [
    '',
    what,
    withUnit(value, unit),
    low === undefined || high === undefined ? '' : `${digits(low)} – ${digits(high)}`,
    String(samples),
    goal,
    met ? 'yes' : 'NO',
  ]);
  const rest = Object.entries(raw).map(([what, value]) =>
    typeof value === 'object'
      ? ['', `  ${what}`, digits(value.median), `${digits(value.low)} – ${digits(value.high)}`, String(value.samples)]
      : ['', `  ${what}`, typeof value === 'number' ? digits(value) : value],
  );
  return [[name, title], ...goals, ...rest];
}

const withUnit = (value: number, unit: Check['unit']): string =>
  unit === 'ratio' ? digits(value) : `${digits(value)} ${unit}`;

/** Three digits that count; whole numbers from 100 on. */
const digits = (value: number): string => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));
