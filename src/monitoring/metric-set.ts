import { type Metric, type MetricRow, openMetrics, type Read, Reading } from './metrics.ts';

/** Name → row. */
export type MetricTable = Readonly<Record<string, MetricRow>>;

/** The names of the rows whose samples are plain numbers. */
type Readable<Table extends MetricTable> = {
  [Name in keyof Table]: Table[Name]['kind'] extends 'counter' | 'gauge' ? Name : never;
}[keyof Table];

/** Where to read figures that others keep: name of the row → reading. */
export type ReadingsOf<Table extends MetricTable> = { readonly [Name in Readable<Table>]?: Read };

/** The metrics of a table that have something to show. A row that nobody feeds is not scraped. */
export class MetricSet<Table extends MetricTable> {
  readonly #table: Table;
  readonly #fed = new Map<MetricRow, Metric>();

  constructor(table: Table) {
    this.#table = table;
  }

  /**
   * Takes a metric that its owner feeds.
   * @throws Error when its row is not in the table, or when it is fed already
   */
  add(...metrics: readonly Metric[]): void {
    for (const metric of metrics) {
      const { row } = metric;
      if (!Object.values(this.#table).includes(row)) throw new Error(`${row.name} is in no table of metrics`);
      if (this.#fed.has(row)) throw new Error(`${row.name} is fed already`);
      this.#fed.set(row, metric);
    }
  }

  /**
   * Tells where to read figures when a scrape comes. A later reading of the same figure takes the place of the first.
   * @throws Error when a figure is counted by a metric that was added
   */
  watch(readings: ReadingsOf<Table>): void {
    for (const [name, read] of Object.entries<Read | undefined>(readings)) {
      const row = this.#table[name];
      if (row && read) this.#watch(row, read);
    }
  }

  #watch(row: MetricRow, read: Read): void {
    const fed = this.#fed.get(row);
    if (fed && !(fed instanceof Reading)) throw new Error(`${row.name} is fed already`);
    this.#fed.set(row, new Reading(row, read));
  }

  /** Everything as OpenMetrics text, in the order of the table; send it as {@link OPEN_METRICS}. */
  render(): string {
    const fed = Object.values(this.#table).map((row) => this.#fed.get(row));
    return openMetrics(fed.filter((metric) => metric !== undefined));
  }
}
