import { type Rows, sql } from './sql.ts';

/** Facts about the store itself, by name. */
export class MetaStore {
  async get(rows: Rows, name: string): Promise<string | undefined> {
    const row = await rows.first<{ value: string }>(sql`select value from meta where name = ${name}`);
    return row?.value;
  }

  async set(tx: Rows, name: string, value: string): Promise<void> {
    await tx.run(sql`
      insert into meta (name, value) values (${name}, ${value})
      on conflict (name) do update set value = excluded.value`);
  }

  /** @returns the value that holds: the one given, or the one that was there already */
  async setOnce(tx: Rows, name: string, value: string): Promise<string> {
    await tx.run(sql`insert into meta (name, value) values (${name}, ${value}) on conflict do nothing`);
    return (await this.get(tx, name)) ?? value;
  }
}
