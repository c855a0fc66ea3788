import { type Rows, type Sql, sql } from '../storage/sql.ts';
import type { Place } from './envelope.ts';

/** A column `sealed` that holds values sealed by the key ring, with the place that each of them is bound to. */
interface SealedColumn {
  readonly table: string;
  readonly from: Sql;
  /** {@link Place.row} and {@link Place.version}, as expressions. */
  readonly row: Sql;
  readonly version: Sql;
  /** The condition that finds a row by its {@link Place.row}. */
  at(row: string): Sql;
}

/** Every column of the store that holds sealed values, beside that of the data keys themselves. */
export const SEALED_COLUMNS: readonly SealedColumn[] = [
  {
    table: 'access_keys',
    from: sql`access_keys`,
    row: sql`resource_id || ' ' || slot`,
    version: sql`version`,
    at(row) {
      const [resource = '', slot = ''] = row.split(' ');
      return sql`resource_id = ${resource} and slot = ${slot}`;
    },
  },
  {
    table: 'signing_keys',
    from: sql`signing_keys`,
    row: sql`kid`,
    version: sql`1`,
    at: (row) => sql`kid = ${row}`,
  },
];

export interface SealedValue {
  readonly sealed: string;
  readonly place: Place;
}

/** Sealed values of all areas, to be moved from one data key to another. */
export class SealedValueStore {
  /** Up to `limit` values that a given data key has not sealed, in order. @param after value to go on behind */
  async notUnder(
    rows: Rows,
    { table, from, row, version }: SealedColumn,
    dataKey: string,
    after: string,
    limit: number,
  ): Promise<SealedValue[]> {
    const found = await rows.all<{ row: string; version: number; sealed: string }>(sql`
      select ${row} as "row", ${version} as version, sealed from ${from}
      where sealed not like ${`${dataKey}.%`} and sealed > ${after}
      order by sealed limit ${limit}`);
    return found.map(({ row, version, sealed }) => ({ sealed, place: { table, column: 'sealed', row, version } }));
  }

  /** Replaces a value. @returns false when it is not there any more: somebody else was faster */
  async replace(tx: Rows, { from, at }: SealedColumn, { sealed, place }: SealedValue, by: string): Promise<boolean> {
    return (await tx.run(sql`update ${from} set sealed = ${by} where ${at(place.row)} and sealed = ${sealed}`)) === 1;
  }

  /** How many values a data key has sealed. */
  async countUnder(rows: Rows, dataKey: string): Promise<number> {
    let count = 0;
    for (const { from } of SEALED_COLUMNS) {
      const row = await rows.first<{ count: number }>(
        sql`select count(*) as count from ${from} where sealed like ${`${dataKey}.%`}`,
      );
      count += row?.count ?? 0;
    }
    return count;
  }
}
