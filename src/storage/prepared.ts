import type { CompiledQuery, QueryResult } from 'kysely';
import type { Rows } from './database.ts';

/**
 * A query whose text is built once: building costs more than the embedded store needs to answer it.
 * @param build makes the query, given one stand-in per parameter, in the order in which the text uses them
 */
export class Prepared<Row, Values extends readonly unknown[]> {
  readonly #build: (rows: Rows) => CompiledQuery<Row>;
  readonly #texts = new WeakMap<object, CompiledQuery<Row>>();

  constructor(build: (rows: Rows) => CompiledQuery<Row>) {
    this.#build = build;
  }

  async run(rows: Rows, values: Values): Promise<QueryResult<Row>> {
    const dialect = rows.getExecutor().adapter;
    let query = this.#texts.get(dialect);
    if (!query) {
      query = this.#build(rows);
      this.#texts.set(dialect, query);
    }
    if (query.parameters.length !== values.length)
      throw new Error(`${query.sql} takes ${query.parameters.length} values`);
    return rows.executeQuery({ ...query, parameters: values });
  }

  async first(rows: Rows, values: Values): Promise<Row | undefined> {
    return (await this.run(rows, values)).rows[0];
  }
}
