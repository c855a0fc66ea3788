import type { Rows } from './database.ts';

/** Facts about the store itself, by name. */
export class MetaStore {
  async get(rows: Rows, name: string): Promise<string | undefined> {
    const row = await rows.selectFrom('meta').select('value').where('name', '=', name).executeTakeFirst();
    return row?.value;
  }

  async set(tx: Rows, name: string, value: string): Promise<void> {
    await tx
      .insertInto('meta')
      .values({ name, value })
      .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
      .execute();
  }

  /** @returns the value that holds: the one given, or the one that was there already */
  async setOnce(tx: Rows, name: string, value: string): Promise<string> {
    await tx
      .insertInto('meta')
      .values({ name, value })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    return (await this.get(tx, name)) ?? value;
  }
}
