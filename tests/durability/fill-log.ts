import type { IdentityId } from '../../src/callers.ts';
import { identityIdMaker } from '../../src/identities/identity.ts';
import { DEV_RESOURCE } from '../../src/resources/resource.ts';
import { crcOf, RevocationStore } from '../../src/revocation/revocation-store.ts';
import type { Database } from '../../src/storage/database.ts';
import { list, type Sql, sql } from '../../src/storage/sql.ts';

const ROWS_AT_A_TIME = 1000;
const HOUR_MS = 3_600_000;
const RESOURCE = DEV_RESOURCE.id;

/**
 * Revokes the tokens of many identities in the store of a server that is stopped, as the server would have: an entry of the
 * log and the identity's row for each, spread evenly over the last 24 hours.
 * @param count how many; all but the sample are made for it
 * @param sample identities that exist, revoked at even distances among the others
 */
export async function fillLog(db: Database, count: number, sample: readonly IdentityId[]): Promise<void> {
  const newId = identityIdMaker();
  const { seq: first } = await new RevocationStore(db).head();
  const now = Date.now();
  const stride = Math.floor(count / sample.length);
  for (let from = 0; from < count; from += ROWS_AT_A_TIME) {
    const events: Sql[] = [];
    const identities: Sql[] = [];
    for (let index = from; index < Math.min(count, from + ROWS_AT_A_TIME); index += 1) {
      const at = now - 24 * HOUR_MS + Math.floor((index / count) * 24 * HOUR_MS);
      const sampled = index % stride === 0 ? sample[index / stride] : undefined;
      const id = sampled ?? newId(RESOURCE, at);
      const seq = first + 1 + index;
      const row = { seq, kind: 'identity', resource_id: RESOURCE, subject: id, valid_from: null, at };
      events.push(sql`(${seq}, ${row.kind}, ${RESOURCE}, ${id}, null, ${at}, ${crcOf(row)})`);
      identities.push(sql`(${RESOURCE}, ${id}, ${at}, ${seq})`);
    }
    await db.writer.write(async (tx) => {
      await tx.run(sql`
        insert into revocation_log (seq, kind, resource_id, subject, valid_from, at, crc) values ${list(events)}`);
      await tx.run(sql`
        insert into identities (resource_id, id, created_at, revoked_seq) values ${list(identities)}
        on conflict (resource_id, id) do update set revoked_seq = excluded.revoked_seq`);
      await tx.run(sql`update head set seq = ${first + Math.min(count, from + ROWS_AT_A_TIME)}`);
    });
  }
}
