import { withoutUnprintable } from './safe-text.ts';

/** One row of a table of metrics. */
export interface MetricRow {
  /** As it is scraped; a counter ends in `_total`. */
  readonly name: string;
  readonly kind: 'counter' | 'gauge' | 'histogram' | 'info';
  readonly help: string;
  readonly labels?: readonly string[];
  /** When a person should be woken or told, in words. */
  readonly alarm?: string;
}

/** Anything that can show its samples: lines of text without the name of the family. */
export interface Metric {
  readonly row: MetricRow;
  /** @throws whatever a callback throws; the family is then left out of the scrape */
  samples(): Iterable<Sample>;
}

interface Sample {
  /** What follows the name of the family, such as `_bucket`. */
  readonly suffix?: string;
  /** `name="value"` pairs, comma between. */
  readonly labels: string;
  readonly value: number;
}

export const OPEN_METRICS = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

/** More label combinations than any honest table of operations has. What comes after counts as `other`. */
const MOST_SERIES = 1000;

/** One value per combination of labels, in a number that only grows in count up to {@link MOST_SERIES}. */
class Series<T> {
  readonly #names: readonly string[];
  readonly #make: () => T;
  readonly #byKey = new Map<string, { readonly labels: string; readonly value: T }>();

  constructor(names: readonly string[], make: () => T) {
    this.#names = names;
    this.#make = make;
  }

  at(values: readonly string[]): T {
    return this.#byKey.get(values.join('\n'))?.value ?? this.#enter(values.map(labelText));
  }

  #enter(clean: readonly string[]): T {
    const values = this.#byKey.size < MOST_SERIES ? clean : clean.map(() => 'other');
    const key = values.join('\n');
    const known = this.#byKey.get(key);
    if (known) return known.value;
    const value = this.#make();
    this.#byKey.set(key, { labels: pairs(this.#names, values), value });
    return value;
  }

  entries(): Iterable<{ readonly labels: string; readonly value: T }> {
    return this.#byKey.values();
  }
}

/** Counts. @param known combinations that are there, at 0, from the start: an alarm on their growth needs a beginning */
export class Counter implements Metric {
  readonly row: MetricRow;
  readonly #series: Series<{ count: number }>;

  constructor(row: MetricRow, known: readonly (readonly string[])[] = row.labels ? [] : [[]]) {
    this.row = row;
    this.#series = new Series(row.labels ?? [], () => ({ count: 0 }));
    for (const values of known) this.#series.at(values);
  }

  add(...labels: readonly string[]): void {
    this.#series.at(labels).count++;
  }

  /** Shows a combination, at 0 until it is counted. */
  show(...labels: readonly string[]): void {
    this.#series.at(labels);
  }

  *samples(): Iterable<Sample> {
    for (const { labels, value } of this.#series.entries()) yield { labels, value: value.count };
  }
}

/** Counts how often a number was at most each bound, and sums it up. */
export class Histogram implements Metric {
  readonly row: MetricRow;
  readonly #bounds: readonly number[];
  readonly #series: Series<{ readonly buckets: number[]; sum: number }>;

  constructor(row: MetricRow, bounds: readonly number[]) {
    this.row = row;
    this.#bounds = bounds;
    this.#series = new Series(row.labels ?? [], () => ({ buckets: new Array(bounds.length + 1).fill(0), sum: 0 }));
  }

  observe(value: number, ...labels: readonly string[]): void {
    const series = this.#series.at(labels);
    const bucket = this.#bounds.findIndex((bound) => value <= bound);
    const index = bucket < 0 ? this.#bounds.length : bucket;
    series.buckets[index] = (series.buckets[index] ?? 0) + 1;
    series.sum += value;
  }

  *samples(): Iterable<Sample> {
    for (const { labels, value } of this.#series.entries()) {
      let count = 0;
      for (const [index, inBucket] of value.buckets.entries()) {
        count += inBucket;
        const bound = `le="${floatText(this.#bounds[index] ?? Number.POSITIVE_INFINITY)}"`;
        yield { suffix: '_bucket', labels: labels ? `${labels},${bound}` : bound, value: count };
      }
      yield { suffix: '_count', labels, value: count };
      yield { suffix: '_sum', labels, value: value.sum };
    }
  }
}

/** What a callback of a {@link Reading} may say: a number, a number per value of the one label, or nothing yet. */
export type Read = () => number | Readonly<Record<string, number>> | undefined;

/** A number that somebody else keeps and that is asked for when a scrape comes. */
export class Reading implements Metric {
  readonly row: MetricRow;
  readonly #read: Read;

  constructor(row: MetricRow, read: Read) {
    this.row = row;
    this.#read = read;
  }

  *samples(): Iterable<Sample> {
    const value = this.#read();
    if (typeof value === 'number') yield { labels: '', value };
    else if (value !== undefined) {
      for (const [label, one] of Object.entries(value)) {
        yield { labels: pairs(this.row.labels ?? [], [labelText(label)]), value: one };
      }
    }
  }
}

/** Facts that do not change, as labels of a 1. */
export class Info implements Metric {
  readonly row: MetricRow;
  readonly #values: readonly string[];

  constructor(row: MetricRow, ...values: readonly string[]) {
    this.row = row;
    this.#values = values.map(labelText);
  }

  *samples(): Iterable<Sample> {
    yield { labels: pairs(this.row.labels ?? [], this.#values), value: 1 };
  }
}

/** Writes metrics as OpenMetrics 1.0 text. */
export function openMetrics(metrics: Iterable<Metric>): string {
  return `${[...metrics].map((metric) => familyText(metric)).join('')}# EOF\n`;
}

function familyText(metric: Metric): string {
  const { row } = metric;
  const name = row.name.replace(/_(total|info)$/, '');
  const total = row.name.slice(name.length);
  const unit = /_(seconds|bytes)$/.exec(name)?.[1];
  try {
    const lines = Array.from(metric.samples(), ({ suffix = total, labels, value }) => {
      const braced = labels && `{${labels}}`;
      return `${name}${suffix}${braced} ${numberText(value)}\n`;
    });
    if (lines.length === 0) return '';
    return `# TYPE ${name} ${row.kind}\n${unit ? `# UNIT ${name} ${unit}\n` : ''}# HELP ${name} ${escaped(row.help)}\n${lines.join('')}`;
  } catch {
    return ''; // one broken callback must not hide every other figure
  }
}

const pairs = (names: readonly string[], values: readonly string[]): string =>
  names.map((name, index) => `${name}="${escaped(values[index] ?? '')}"`).join(',');

const labelText = (value: string): string => withoutUnprintable(value.slice(0, 64));

const escaped = (text: string): string => text.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n');

const numberText = (value: number): string => (Number.isFinite(value) ? String(value) : floatText(value));

/** OpenMetrics wants bounds in one spelling: whole numbers with `.0`. */
const floatText = (value: number): string => {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  if (value === Number.NEGATIVE_INFINITY) return '-Inf';
  return Number.isInteger(value) ? `${value}.0` : String(value);
};
