import type { IdentityId } from '../../../src/callers.ts';
import { identityIdMaker } from '../../../src/identities/identity.ts';
import { DEV_RESOURCE } from '../../../src/resources/resource.ts';
import { type RevocationEvent, subjectOf } from '../../../src/revocation/event.ts';
import { crcOf, RevocationStore } from '../../../src/revocation/revocation-store.ts';
import type { Database } from '../../../src/storage/database.ts';
import { list, type Sql, sql } from '../../../src/storage/sql.ts';
import { type Mixed, mixedEvent } from '../mixed-events.ts';

const ROWS_AT_A_TIME = 1000;
const HOUR_MS = 3_600_000;
const RESOURCE = DEV_RESOURCE.id;

/**
 * Ends tokens in many ways in the store of a server that is stopped, as the server would have: an entry of the log for each, and
 * the identity's row, spread evenly over the last 24 hours. Of every kind but the end of everything.
 * @param count how many; all but the sample are about subjects that are made for it
 * @param sample identities that exist, at even distances among the others: half of them revoked, half with a bound that is ahead
 */
export async function fillLog(db: Database, count: number, sample: readonly IdentityId[]): Promise<void> {
  const newId = identityIdMaker();
  const { seq: first } = await new RevocationStore(db).head();
  const now = Date.now();
  const stride = Math.floor(count / sample.length);
  const timeOf = (index: number): number => now - 24 * HOUR_MS + Math.floor((index / count) * 24 * HOUR_MS);
  const mixed: Mixed = {
    resourceId: RESOURCE,
    identity: (index) => newId(RESOURCE, timeOf(index)),
    firstBoundMs: now + 365 * 24 * HOUR_MS,
  };
  const eventAt = (index: number): RevocationEvent => {
    const identityId = index % stride === 0 ? sample[index / stride] : undefined;
    if (identityId === undefined) return mixedEvent(index, mixed);
    const about = { resourceId: RESOURCE, identityId };
    return (index / stride) % 2 === 0
      ? { kind: 'identity', ...about }
      : { kind: 'validFrom', ...about, validFromMs: mixed.firstBoundMs };
  };
  for (let from = 0; from < count; from += ROWS_AT_A_TIME) {
    const events: Sql[] = [];
    const identities = new Map<IdentityId, Sql>();
    for (let index = from; index < Math.min(count, from + ROWS_AT_A_TIME); index += 1) {
      const event = eventAt(index);
      const { kind } = event;
      const [at, seq, subject] = [timeOf(index), first + 1 + index, subjectOf(event) ?? null];
      const resource_id = 'resourceId' in event ? event.resourceId : null;
      const valid_from = kind === 'validFrom' ? event.validFromMs : null;
      const crc = crcOf({ seq, kind, resource_id, subject, valid_from, at });
      events.push(sql`(${seq}, ${kind}, ${resource_id}, ${subject}, ${valid_from}, ${at}, ${crc})`);
      if (kind !== 'identity' && kind !== 'validFrom') continue;
      const revoked = kind === 'identity' ? seq : 0;
      identities.set(event.identityId, sql`(${RESOURCE}, ${event.identityId}, ${at}, ${revoked}, ${valid_from})`);
    }
    await db.writer.write(async (tx) => {
      await tx.run(sql`
        insert into revocation_log (seq, kind, resource_id, subject, valid_from, at, crc) values ${list(events)}`);
      await tx.run(sql`
        insert into identities (resource_id, id, created_at, revoked_seq, tokens_valid_from)
        values ${list([...identities.values()])}
        on conflict (resource_id, id) do update set revoked_seq = excluded.revoked_seq,
          tokens_valid_from = excluded.tokens_valid_from`);
      await tx.run(sql`update head set seq = ${first + Math.min(count, from + ROWS_AT_A_TIME)}`);
    });
  }
}
