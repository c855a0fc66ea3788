import { FactStore } from '../../../../src/cluster/fact-store.ts';
import type { Database } from '../../../../src/storage/database.ts';
import { sql, statement } from '../../../../src/storage/sql.ts';

/**
 * Planted: facts have their numbers from a sequence when they are written, and not after the commit. PostgreSQL only.
 * @returns what takes the fault out again
 */
export async function numbersAtInsert(db: Database): Promise<() => void> {
  await db.writer.write((tx) => tx.run(statement('create sequence planted')));
  const { append } = FactStore.prototype;
  FactStore.prototype.append = async function (tx, stream, facts) {
    const added = await append.call(this, tx, stream, facts);
    for (const { position } of added)
      await tx.run(sql`
        update facts set number = nextval('planted') where stream = ${stream} and position = ${position}`);
    return added;
  };
  return () => {
    FactStore.prototype.append = append;
  };
}
