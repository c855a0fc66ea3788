import type { Insertable, Selectable, Updateable } from 'kysely';
import type { Rows, SigningKeyState, Tables } from '../storage/database.ts';

export type SigningKeyRow = Selectable<Tables['signing_keys']>;

export class SigningKeyStore {
  /** Keys that sign, will sign, still verify or were killed, oldest first. */
  withoutGone(rows: Rows): Promise<SigningKeyRow[]> {
    return rows
      .selectFrom('signing_keys')
      .selectAll()
      .where('state', '!=', 'gone')
      .orderBy('created_at')
      .orderBy('kid')
      .execute();
  }

  async insert(tx: Rows, row: Insertable<Tables['signing_keys']>): Promise<void> {
    await tx.insertInto('signing_keys').values(row).execute();
  }

  /** Changes a key that is in a given state. @returns false when it is not: another node was faster */
  async update(
    tx: Rows,
    kid: string,
    from: SigningKeyState,
    set: Updateable<Tables['signing_keys']>,
  ): Promise<boolean> {
    const done = await tx
      .updateTable('signing_keys')
      .set(set)
      .where('kid', '=', kid)
      .where('state', '=', from)
      .executeTakeFirst();
    return done.numUpdatedRows === 1n;
  }
}
