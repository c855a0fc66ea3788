import type { Cluster } from '../../../src/cluster/cluster.ts';
import type { Fact } from '../../../src/cluster/fact.ts';
import type { Database } from '../../../src/storage/database.ts';
import { sql } from '../../../src/storage/sql.ts';

/** Boards with notes, which people watch. */
export class Boards {
  readonly #db: Database;
  readonly #cluster: Cluster;

  constructor({ db, cluster }: { db: Database; cluster: Cluster }) {
    this.#db = db;
    this.#cluster = cluster;
  }

  /** The note and the fact are there together, or neither is. */
  async add(board: string, note: string): Promise<void> {
    await this.#cluster.outbox.write(`boards/${board}`, async (tx, append) => {
      await tx.run(sql`insert into notes (board, note) values (${board}, ${note})`);
      await append({ kind: 'noteAdded', payload: JSON.stringify({ note }) });
    });
  }

  /** Gives somebody what is there, and then what comes. */
  async open(board: string, send: (note: string) => void | Promise<void>, close: () => void) {
    const stream = `boards/${board}`;
    const position = await this.#cluster.outbox.position(stream); // before the rows, so that nothing is missed
    const rows = await this.#db.rows.all<{ note: string }>(sql`select note from notes where board = ${board}`);
    for (const { note } of rows) await send(note);
    return this.#cluster.watch(stream, position, {
      async onFacts(facts) {
        for (const { payload } of facts) await send(JSON.parse(payload).note);
      },
      onEnd: close, // somebody who comes again begins with what is there
    });
  }

  /** Counts the notes, each at least once. */
  async count(counted: (note: string) => Promise<void>): Promise<void> {
    await this.#cluster.follow('boards/count', async (facts, signal) => {
      for (const fact of facts.filter(isNote)) {
        if (signal.aborted) return;
        await counted(JSON.parse(fact.payload).note);
      }
    });
  }
}

const isNote = ({ stream, kind }: Fact): boolean => stream.startsWith('boards/') && kind === 'noteAdded';
