import type { SigningKeyRow, SigningKeyState } from '../storage/database.ts';
import { type Rows, sql } from '../storage/sql.ts';

/** A step in the life of a key. What is not named stays as it is. */
export interface SigningKeyStep {
  readonly state: SigningKeyState;
  readonly activeAtMs?: number;
  readonly goneAtMs?: number;
  readonly killedSeq?: number;
  /** Destroys the private half. */
  readonly destroy?: true;
}

export class SigningKeyStore {
  /** Keys that sign, will sign, still verify or were killed, oldest first. */
  withoutGone(rows: Rows): Promise<SigningKeyRow[]> {
    return rows.all(sql`
      select kid, alg, state, public_key, sealed, created_at, active_at, gone_at, killed_seq
      from signing_keys where state <> 'gone' order by created_at, kid`);
  }

  async insert(tx: Rows, row: Omit<SigningKeyRow, 'gone_at' | 'killed_seq'>): Promise<void> {
    await tx.run(sql`
      insert into signing_keys (kid, alg, state, public_key, sealed, created_at, active_at)
      values (${row.kid}, ${row.alg}, ${row.state}, ${row.public_key}, ${row.sealed}, ${row.created_at}, ${row.active_at})`);
  }

  /** Withdraws every key that signs, will sign or still verifies, and destroys the private halves. */
  async killAll(tx: Rows, seq: number): Promise<void> {
    await tx.run(sql`
      update signing_keys set state = 'killed', killed_seq = ${seq}, sealed = null
      where state in ('next', 'active', 'retiring')`);
  }

  /** Changes a key that is in a given state. @returns false when it is not: another node was faster */
  async update(tx: Rows, kid: string, from: SigningKeyState, step: SigningKeyStep): Promise<boolean> {
    const written = await tx.run(sql`
      update signing_keys set
        state = ${step.state},
        active_at = coalesce(${step.activeAtMs ?? null}, active_at),
        gone_at = coalesce(${step.goneAtMs ?? null}, gone_at),
        killed_seq = coalesce(${step.killedSeq ?? null}, killed_seq),
        sealed = case when ${step.destroy ? 1 : 0} = 1 then null else sealed end
      where kid = ${kid} and state = ${from}`);
    return written === 1;
  }
}
