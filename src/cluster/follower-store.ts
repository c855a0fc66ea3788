import type { Database } from '../storage/database.ts';
import { list, type Rows, sql } from '../storage/sql.ts';

/** Where a follower is, and who runs it. */
export interface FollowerRow {
  readonly name: string;
  /** Of the last fact that it has dealt with. */
  readonly number: number;
  /** Raised each time a node takes it. */
  readonly term: number;
  /** Raised by the node that runs it, as a sign of life. */
  readonly beat: number;
  /** The node that runs it; empty when none does. */
  readonly holder: string;
}

/** The rows of followers. */
export class FollowerStore {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Makes a follower that is new. It begins with the oldest fact that is kept. */
  async ensure(tx: Rows, name: string): Promise<void> {
    await tx.run(sql`
      insert into followers (name, number, term, beat, holder) values (${name}, 0, 0, 0, '') on conflict do nothing`);
  }

  async remove(tx: Rows, name: string): Promise<void> {
    await tx.run(sql`delete from followers where name = ${name}`);
  }

  /** @param names one at least */
  async find(names: readonly string[]): Promise<FollowerRow[]> {
    return this.#db.rows.all(sql`
      select name, number, term, beat, holder from followers where name in (${list(names.map((name) => sql`${name}`))})`);
  }

  /**
   * Takes a follower from whom it was seen with.
   * @returns the position to go on from; undefined when it has shown a sign of life since, or somebody else was faster
   */
  async take(tx: Rows, { name, term, beat }: FollowerRow, holder: string): Promise<number | undefined> {
    const row = await tx.first<{ number: number }>(sql`
      update followers set holder = ${holder}, term = term + 1
      where name = ${name} and term = ${term} and beat = ${beat} returning number`);
    return row?.number;
  }

  /** Shows a sign of life. @returns false when another node has taken the follower */
  async heartbeat(tx: Rows, name: string, term: number): Promise<boolean> {
    return (await tx.run(sql`update followers set beat = beat + 1 where name = ${name} and term = ${term}`)) > 0;
  }

  /** Says that everything up to a number is dealt with. @returns false when another node has taken the follower */
  async advance(tx: Rows, name: string, term: number, number: number): Promise<boolean> {
    const written = await tx.run(sql`
      update followers set number = ${number}, beat = beat + 1
      where name = ${name} and term = ${term} and number <= ${number}`);
    return written > 0;
  }

  /** Gives a follower back, so that another node takes it at once. */
  async release(tx: Rows, name: string, term: number): Promise<void> {
    await tx.run(sql`update followers set holder = '' where name = ${name} and term = ${term}`);
  }
}
