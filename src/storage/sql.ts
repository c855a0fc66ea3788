/** What a statement can be given. Instants and positions are whole numbers below 2^53. */
export type Value = string | number | null;

/** A statement, its values apart from its text. Made by {@link sql}. */
export class Sql {
  readonly texts: readonly string[];
  readonly values: readonly (Value | Sql)[];

  constructor(texts: readonly string[], values: readonly (Value | Sql)[]) {
    this.texts = texts;
    this.values = values;
  }
}

/**
 * Writes a statement in the part of SQL that both databases share. What stands in `${}` is sent as a value and never
 * becomes text; another `sql` is put in as a part.
 */
export const sql = (texts: TemplateStringsArray, ...values: (Value | Sql)[]): Sql => new Sql(texts, values);

/** Parts with commas between them: the rows after `values`. There has to be one at least. */
export const list = (parts: readonly Sql[]): Sql => new Sql(['', ...parts.slice(1).map(() => ', '), ''], parts);

const MOST_PER_STATEMENT = 64;

/**
 * Parts of a list, for statements about many rows: 64 entries each, then 32, 16 and so on. So a statement has seven texts,
 * whatever the length of the list, and the store keeps each of them prepared.
 */
export function* batches<Item>(items: readonly Item[]): Generator<readonly Item[]> {
  for (let at = 0, size = MOST_PER_STATEMENT; at < items.length; at += size) {
    while (size > items.length - at) size /= 2;
    yield items.slice(at, at + size);
  }
}

/** A statement of fixed text. Never made from anything that came over a wire. */
export const statement = (text: string): Sql => new Sql([text], []);

/** A connection for reading, or the transaction that a write happens in. Stores take either. */
export interface Rows {
  all<Row>(query: Sql): Promise<Row[]>;
  first<Row>(query: Sql): Promise<Row | undefined>;
  /** @returns how many rows were written */
  run(query: Sql): Promise<number>;
}

/** How a database writes its parameters: `?`, or `$1`. */
export type Placeholder = (index: number) => string;

/** Turns statements into what a driver takes, remembering the texts: a template is written once and used for ever. */
export class Compiler {
  readonly #placeholder: Placeholder;
  readonly #texts = new WeakMap<readonly string[], string>();

  constructor(placeholder: Placeholder) {
    this.#placeholder = placeholder;
  }

  compile(query: Sql): { text: string; values: Value[] } {
    const plain = query.values.every((value) => !(value instanceof Sql));
    const known = plain ? this.#texts.get(query.texts) : undefined;
    if (known !== undefined) return { text: known, values: query.values as Value[] };

    const values: Value[] = [];
    const text = this.#write(query, values);
    if (plain) this.#texts.set(query.texts, text);
    return { text, values };
  }

  #write({ texts, values: parts }: Sql, values: Value[]): string {
    return texts.reduce((text, next, index) => {
      const part = parts[index - 1] as Value | Sql;
      return text + (part instanceof Sql ? this.#write(part, values) : this.#placeholder(values.push(part))) + next;
    });
  }
}
