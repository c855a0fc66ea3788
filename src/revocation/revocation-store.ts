import { crc32 } from 'node:zlib';
import type { AssignmentId, IdentityId, KeySlot, ResourceId, TrustId } from '../callers.ts';
import { type Database, type RevocationLogRow, StoreError } from '../storage/database.ts';
import { batches, list, type Rows, type Sql, sql } from '../storage/sql.ts';
import {
  type Bound,
  type LoggedEvent,
  type RevocableToken,
  type RevocationEvent,
  subjectOf,
  type Verdict,
} from './event.ts';

/** Where the log stands, and how often what every node keeps in memory has changed. */
export interface Head {
  readonly seq: number;
  readonly config: number;
}

/** The revocation log: one counter, a dense list of events, and the nodes that follow it. */
export class RevocationStore {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Makes the counter of a new store. @param first a random start, so that totals are not public */
  async ensureHead(tx: Rows, first: number): Promise<void> {
    await tx.run(sql`insert into head (id, seq, config) values (1, ${first}, 1) on conflict do nothing`);
  }

  async head(rows: Rows = this.#db.rows): Promise<Head> {
    const head = await rows.first<Head>(sql`select seq, config from head`);
    if (!head) throw new Error('the store has no head');
    return head;
  }

  /**
   * Takes the next number and writes the event. The counter's row stays locked until the transaction ends, so numbers
   * are dense and become visible in order.
   */
  async append(tx: Rows, event: RevocationEvent): Promise<LoggedEvent> {
    const [logged] = await this.appendAll(tx, [event]);
    return logged as LoggedEvent;
  }

  /** As {@link append}, for at least one event: they take the next numbers in their order. */
  async appendAll(tx: Rows, events: readonly RevocationEvent[]): Promise<LoggedEvent[]> {
    const head = await tx.first<{ seq: number; at: number }>(
      sql`update head set seq = seq + ${events.length} returning seq, ${this.#db.clock} as at`,
    );
    if (!head) throw new Error('the store has no head');
    const logged = events.map((event, index) => ({ ...event, seq: head.seq - events.length + 1 + index }));
    for (const some of batches(logged)) {
      await tx.run(sql`
        insert into revocation_log (seq, kind, resource_id, subject, valid_from, at, crc)
        values ${list(some.map((event) => asRow(event, head.at)))}`);
    }
    return logged;
  }

  /** Moves the counter forward without events, for a store that lost some: nothing issued so far reaches that far. */
  async jump(tx: Rows, by: number): Promise<void> {
    await tx.run(sql`update head set seq = seq + ${by}`);
  }

  /** Says that what every node keeps in memory changes. The counter's row stays locked until the transaction ends. */
  async configChanged(tx: Rows): Promise<Head> {
    const head = await tx.first<Head>(sql`update head set config = config + 1 returning seq, config`);
    if (!head) throw new Error('the store has no head');
    return head;
  }

  /** Up to `limit` events after a position, in order. @throws StoreError when one of them is damaged */
  async after(seq: number, limit: number): Promise<LoggedEvent[]> {
    const rows = await this.#db.rows.all<RevocationLogRow>(
      sql`select ${COLUMNS} from revocation_log where seq > ${seq} order by seq limit ${limit}`,
    );
    return rows.map(fromRow);
  }

  /**
   * The position before the first event of the last `windowMs`, by the store's clock, or before the newest event that
   * ended everything; the head when there is neither. Found by halving, since times rise with positions. Where a clock
   * that jumped made them fall, it may be too late a position: that leaves more to the rows, and changes no verdict.
   */
  async startOfWindow(windowMs: number): Promise<number> {
    const { rows, clock } = this.#db;
    const ends = await rows.first<{ first: number | null; head: number; everything: number | null; since: number }>(sql`
      select (select min(seq) from revocation_log) as first, seq as head, ${EVERYTHING} as everything,
        ${clock} - ${windowMs} as since
      from head`);
    if (!ends) throw new Error('the store has no head');
    let end = ends.head; // the event after it is within the window, or there is none
    let before = (ends.first ?? end + 1) - 1; // it and all before are not
    while (before < end) {
      const middle = Math.floor((before + end) / 2);
      const next = await rows.first<{ seq: number; at: number }>(
        sql`select seq, at from revocation_log where seq > ${middle} order by seq limit 1`,
      );
      if (!next || next.at > ends.since) end = middle;
      else before = next.seq;
    }
    return Math.max(end, (ends.everything ?? 0) - 1);
  }

  /** The resources in which an identity has a bound on the instant of issue that is later than this. Costs a look each. */
  async resourcesBoundAfter(ms: number): Promise<ResourceId[]> {
    const rows = await this.#db.rows.all<{ id: ResourceId }>(sql`
      select id from resources where deleted_seq is null and (
        select max(tokens_valid_from) from identities
        where resource_id = resources.id and tokens_valid_from > ${ms}) is not null`);
    return rows.map(({ id }) => id);
  }

  /** Up to `limit` bounds of a resource that are later than an instant, the latest first. @param last that of the page before */
  async boundsAfter(resourceId: ResourceId, ms: number, last: Bound | undefined, limit: number): Promise<Bound[]> {
    const { validFromMs: below, identityId: id } = last ?? { validFromMs: Number.MAX_SAFE_INTEGER, identityId: '' };
    const rows = await this.#db.rows.all<{ id: IdentityId; bound: number }>(sql`
      select id, tokens_valid_from as bound from identities
      where resource_id = ${resourceId} and tokens_valid_from > ${ms} and (tokens_valid_from, id) < (${below}, ${id})
      order by tokens_valid_from desc, id desc limit ${limit}`);
    return rows.map(({ id, bound }) => ({ resourceId, identityId: id, validFromMs: bound }));
  }

  /** When an event was recorded, milliseconds since 1970. */
  async recordedAt(seq: number): Promise<number | undefined> {
    const row = await this.#db.rows.first<{ at: number }>(sql`select at from revocation_log where seq = ${seq}`);
    return row?.at;
  }

  /**
   * The verdict from the rows alone, for tokens about which memory cannot tell.
   * @param known position that the rows have to be at, at least
   * @throws StoreError when they are not: a connection can still lead to a database that was replaced
   */
  async verdictFromRows(token: RevocableToken, known: number): Promise<Verdict | undefined> {
    const row = await this.#db.rows.first<{
      head: number;
      resource_deleted: number | null;
      resource: string | null;
      identity: number | null;
      valid_from: number | null;
      key: number | null;
      signing_key: number | null;
      trust: number | null;
      assignment: number | null;
      everything: number | null;
    }>(sql`
      select head.seq as head, resources.id as resource, resources.deleted_seq as resource_deleted,
        identities.revoked_seq as identity, identities.tokens_valid_from as valid_from,
        access_keys.changed_seq as key, signing_keys.killed_seq as signing_key,
        trusts.ended_seq as trust, assignments.ended_seq as assignment,
        ${EVERYTHING} as everything
      from head
      left join resources on resources.id = ${token.resourceId}
      left join identities on identities.resource_id = resources.id and identities.id = ${token.identityId}
      left join access_keys on access_keys.resource_id = resources.id and access_keys.slot = ${token.keySlot ?? ''}
      left join trusts on trusts.id = ${token.trustId ?? ''}
      left join assignments on assignments.resource_id = resources.id and assignments.id = ${token.assignmentId ?? ''}
      left join signing_keys on signing_keys.kid = ${token.kid}`);
    if (!row || row.head < known)
      throw new StoreError(`the store is at position ${row?.head}, this node has seen position ${known}`);
    if (row.resource === null || row.resource_deleted !== null)
      return { kind: 'resource', seq: row.resource_deleted ?? undefined };
    if (row.identity === null) return { kind: 'identityDeleted', seq: undefined };
    if (token.trustId && row.trust === null) return { kind: 'trust', seq: undefined };
    if (token.assignmentId && row.assignment === null) return { kind: 'assignment', seq: undefined };

    const levels = [
      { kind: 'identity', seq: row.identity },
      { kind: 'key', seq: row.key ?? 0 },
      { kind: 'trust', seq: row.trust ?? 0 },
      { kind: 'assignment', seq: row.assignment ?? 0 },
      { kind: 'signingKey', seq: row.signing_key ?? 0 },
      { kind: 'all', seq: row.everything ?? 0 },
    ] as const;
    const newest = levels.reduce((one, other) => (other.seq > one.seq ? other : one));
    if (token.position < newest.seq) return newest;
    const { valid_from: validFromMs } = row;
    return validFromMs !== null && token.issuedAtSeconds < validFromMs / 1000
      ? { kind: 'validFrom', seq: undefined, validFromMs }
      : undefined;
  }

  /**
   * A heartbeat: says how far a node has come, and learns where the head is. A write on purpose: a primary that was
   * fenced off can still answer reads, but cannot complete a replicated commit.
   * @returns with `joined` when the node was not among the nodes before
   */
  async heartbeat(nodeId: string, { seq, config }: Head): Promise<Head & { joined: boolean }> {
    const { clock, writer } = this.#db;
    return writer.write(async (tx) => {
      const written = await tx.run(
        sql`update nodes set applied_seq = ${seq}, applied_config = ${config}, beat = ${clock} where id = ${nodeId}`,
      );
      const joined = written === 0;
      if (joined) {
        await tx.run(sql`
          insert into nodes (id, applied_seq, applied_config, beat) values (${nodeId}, ${seq}, ${config}, ${clock})
          on conflict (id) do update set applied_seq = excluded.applied_seq,
            applied_config = excluded.applied_config, beat = excluded.beat`);
      }
      return { ...(await this.head(tx)), joined };
    });
  }

  /** How many other nodes have not yet followed so far. */
  async nodesBehind({ seq, config }: Head, nodeId: string): Promise<number> {
    const row = await this.#db.rows.first<{ count: number }>(sql`
      select count(*) as count from nodes
      where id <> ${nodeId} and (applied_seq < ${seq} or applied_config < ${config})`);
    return row?.count ?? 0;
  }

  /** Every node with the time of its last heartbeat, which only tells whether there was another one since. */
  async nodes(): Promise<{ id: string; beat: number }[]> {
    return this.#db.rows.all(sql`select id, beat from nodes`);
  }

  /** Forgets a node, so that nobody waits for it. @param beat only while this is still its last heartbeat */
  async forgetNode(id: string, beat?: number): Promise<void> {
    const unchanged = beat === undefined ? sql`` : sql` and beat = ${beat}`;
    await this.#db.writer.write((tx) => tx.run(sql`delete from nodes where id = ${id}${unchanged}`));
  }
}

const COLUMNS = sql`seq, kind, resource_id, subject, valid_from, at, crc`;

/** Position of the newest event that ended everything. */
const EVERYTHING = sql`(select max(seq) from revocation_log where kind = 'all')`;

/** Against damage, not against people. */
export const crcOf = ({ seq, kind, resource_id, subject, valid_from, at }: Omit<RevocationLogRow, 'crc'>): number =>
  crc32(`${seq} ${kind} ${resource_id} ${subject} ${valid_from} ${at}`);

function asRow(event: LoggedEvent, at: number): Sql {
  const { seq, kind } = event;
  const resource_id = 'resourceId' in event ? event.resourceId : null;
  const subject = subjectOf(event) ?? null;
  const valid_from = event.kind === 'validFrom' ? event.validFromMs : null;
  const crc = crcOf({ seq, kind, resource_id, subject, valid_from, at });
  return sql`(${seq}, ${kind}, ${resource_id}, ${subject}, ${valid_from}, ${at}, ${crc})`;
}

function fromRow(row: RevocationLogRow): LoggedEvent {
  const { seq, kind } = row;
  if (row.crc !== null && row.crc !== crcOf(row))
    throw new StoreError(`the store is damaged: entry ${seq} of the revocation log was changed after it was written`);
  const resourceId = row.resource_id as ResourceId;
  switch (kind) {
    case 'identity':
    case 'identityDeleted':
      return { seq, kind, resourceId, identityId: row.subject as IdentityId };
    case 'validFrom':
      return { seq, kind, resourceId, identityId: row.subject as IdentityId, validFromMs: row.valid_from ?? 0 };
    case 'key':
      return { seq, kind, resourceId, slot: row.subject as KeySlot };
    case 'resource':
      return { seq, kind, resourceId };
    case 'trust':
      return { seq, kind, trustId: row.subject as TrustId };
    case 'assignment':
      return { seq, kind, resourceId, assignmentId: row.subject as AssignmentId };
    case 'signingKey':
      return { seq, kind, kid: row.subject as string };
    case 'all':
      return { seq, kind };
    default:
      throw new StoreError(`entry ${seq} of the revocation log is of a kind this release does not know`);
  }
}
