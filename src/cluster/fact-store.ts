import type { Database } from '../storage/database.ts';
import { batches, list, type Rows, type Sql, sql } from '../storage/sql.ts';
import type { Fact, Moved, NewFact } from './fact.ts';

/** Facts of one stream, and where the stream was at the same moment. */
export interface Page {
  /** Position of the newest fact; 0 for a stream that is not there. */
  readonly head: number;
  readonly facts: readonly Fact[];
}

/** A fact in the order in which followers read. */
export interface NumberedFact extends Fact {
  /** Its place among the facts of all streams, without a gap. */
  readonly number: number;
}

/** Facts that one statement reads. */
export const PAGE = 64;

/** The rows of streams and facts. */
export class FactStore {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /**
   * Adds facts to a stream. Its row stays locked until the transaction ends, so positions are dense and become visible in
   * order.
   */
  async append(tx: Rows, stream: string, facts: readonly NewFact[]): Promise<Fact[]> {
    const { position, at } = await this.#move(tx, stream, facts.length);
    const added = facts.map(({ kind, payload }, index) => {
      return { stream, position: position - facts.length + 1 + index, at, kind, payload };
    });
    for (const some of batches(added)) {
      await tx.run(sql`insert into facts (stream, position, at, kind, payload) values ${list(some.map(asRow))}`);
    }
    return added;
  }

  /** Moves the position of a stream that has no facts. @returns the position */
  async move(tx: Rows, stream: string): Promise<number> {
    return (await this.#move(tx, stream, 1)).position;
  }

  /** Up to {@link PAGE} facts after a position, in order. Fewer come only where there are no more, or some were removed. */
  async page(stream: string, after: number): Promise<Page> {
    const rows = await this.#db.rows.all<{ head: number } & Record<keyof Fact, never>>(sql`
      select streams.position as head, facts.stream, facts.position, facts.at, facts.kind, facts.payload
      from streams left join facts on facts.stream = streams.stream
        and facts.position > ${after} and facts.position <= ${after + PAGE}
      where streams.stream = ${stream} order by facts.position`);
    const facts = rows.filter(({ position }) => position !== null);
    return { head: rows[0]?.head ?? 0, facts: facts.map(({ head, ...fact }) => fact) };
  }

  /** Position of a stream's newest fact; 0 where there is none. */
  async position(stream: string, rows: Rows = this.#db.rows): Promise<number> {
    const row = await rows.first<{ position: number }>(sql`select position from streams where stream = ${stream}`);
    return row?.position ?? 0;
  }

  /** Where streams are, in one statement. Those without a fact are left out. */
  async positions(streams: Iterable<string>): Promise<Moved[]> {
    const names = TEXTS_OF[this.#db.dialect](JSON.stringify([...streams]));
    return this.#db.rows.all(sql`select stream, position from streams where stream in (${names})`);
  }

  /** Removes a stream and its facts, whether or not somebody still follows them. Its name must never be used again. */
  async remove(tx: Rows, stream: string): Promise<void> {
    await tx.run(sql`delete from streams where stream = ${stream}`);
    await tx.run(sql`delete from facts where stream = ${stream}`);
  }

  /**
   * Gives numbers to committed facts that have none. The order of commits of different streams is not known, and a
   * transaction may commit much later than it began; so a number is given afterwards, when the fact can be seen. No fact
   * gets a number below one that somebody may have read, and within a stream numbers rise with positions.
   * @returns how many got one
   */
  async giveNumbers(tx: Rows, limit: number): Promise<number> {
    const last = await this.#lockNumbers(tx); // the next statement sees what was committed before it had this lock
    const given = await tx.run(sql`
      update facts set number = ${last} + next.place
      from (
        select stream, position, row_number() over (order by at, stream, position) as place
        from facts where number is null order by at, stream, position limit ${limit}) as next
      where facts.stream = next.stream and facts.position = next.position`);
    if (given > 0) await tx.run(sql`update fact_numbers set last = last + ${given}`);
    return given;
  }

  /** Facts of all streams after a number, in order. */
  async after(number: number, limit: number): Promise<NumberedFact[]> {
    return this.#db.rows.all(sql`
      select stream, position, at, kind, payload, number from facts
      where number > ${number} order by number limit ${limit}`);
  }

  /** The highest number given, and how many facts have none, counted up to a limit. */
  async numbers(limit: number): Promise<{ last: number; unnumbered: number }> {
    const row = await this.#db.rows.first<{ last: number; unnumbered: number }>(sql`
      select last, (select count(*) from (select 1 from facts where number is null limit ${limit}) as f) as unnumbered
      from fact_numbers`);
    return row ?? { last: 0, unnumbered: 0 };
  }

  /**
   * Removes facts that are older than so long, by the store's clock, and that every follower has read.
   * @returns how many; fewer than the limit when there are no more
   */
  async removeOld(tx: Rows, olderThanMs: number, limit: number): Promise<number> {
    const last = await this.#lockNumbers(tx);
    const row = await tx.first<{ number: number | null; before: number }>(
      sql`select min(number) as number, ${this.#db.clock} - ${olderThanMs} as before from followers`,
    );
    const before = row?.before ?? 0;
    const hasFollowers = row?.number !== null;
    const read = await tx.run(sql`
      delete from facts where number in (
        select number from facts where number <= ${row?.number ?? last} and at < ${before} order by number limit ${limit})`);
    if (hasFollowers || read === limit) return read;
    const unread = await tx.run(sql`
      delete from facts where number is null and (stream, position) in (
        select stream, position from facts where number is null and at < ${before}
        order by at, stream, position limit ${limit - read})`);
    return read + unread;
  }

  /** @returns the highest number given */
  async #lockNumbers(tx: Rows): Promise<number> {
    const row = await tx.first<{ last: number }>(sql`update fact_numbers set last = last returning last`);
    if (!row) throw new Error('the store has no row for the numbers of facts');
    return row.last;
  }

  async #move(tx: Rows, stream: string, by: number): Promise<{ position: number; at: number }> {
    const row = await tx.first<{ position: number; at: number }>(sql`
      insert into streams (stream, position, at) values (${stream}, ${by}, ${this.#db.clock})
      on conflict (stream) do update set position = streams.position + excluded.position,
        at = case when excluded.at > streams.at then excluded.at else streams.at end
      returning position, at`);
    if (!row) throw new Error('the store gave no position');
    return row;
  }
}

/** The texts of a JSON list, as rows of one column: as one value, so that the statement is the same for any number. */
const TEXTS_OF: Readonly<Record<Database['dialect'], (json: string) => Sql>> = {
  sqlite: (json) => sql`select value from json_each(${json})`,
  postgres: (json) => sql`select value from json_array_elements_text(${json}::json)`,
};

const asRow = ({ stream, position, at, kind, payload }: Fact): Sql =>
  sql`(${stream}, ${position}, ${at}, ${kind}, ${payload})`;
