/** Title → table; a table is name → row. */
type Groups = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** The names of a table, or of each table of a union. */
type NamesIn<Table> = Table extends unknown ? keyof Table : never;

/** The row that has the name, in whichever table of the union it is. */
type RowIn<Table, Name> = Table extends unknown ? (Name extends keyof Table ? Table[Name] : never) : never;

/** Names that are in more than one table. */
type Repeated<G> = { [Title in keyof G]: keyof G[Title] & NamesIn<G[Exclude<keyof G, Title>]> }[keyof G];

/** All rows of all tables, by their names. */
export type Merged<G> = { readonly [Name in NamesIn<G[keyof G]>]: RowIn<G[keyof G], Name> };

/**
 * Puts tables together, in their order. A name in two tables does not compile.
 * @throws Error naming a name that is in two tables, where the compiler did not see them
 */
export function merged<G extends Groups>(
  groups: G & ([Repeated<G>] extends [never] ? unknown : { readonly inTwoTables: Repeated<G> }),
): Merged<G> {
  const rows = Object.values<Groups[string]>(groups).flatMap((table) => Object.entries(table));
  const all = new Map(rows);
  if (all.size < rows.length) {
    const [name] = rows.find(([first], index) => rows.findIndex(([second]) => second === first) < index) ?? [];
    throw new Error(`${name} is in two tables`);
  }
  return Object.freeze(Object.fromEntries(all)) as Merged<G>;
}
