import { sql } from 'kysely';
import type { IdentityId, KeySlot, ResourceId } from '../callers.ts';
import type { Database, Rows } from '../storage/database.ts';
import type { LoggedEvent, RevocableToken, RevocationEvent, Verdict } from './event.ts';

/** Where the log and the configuration stand. */
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
    await tx
      .insertInto('head')
      .values({ id: 1, seq: first, config: 1 })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }

  async head(rows: Rows = this.#db.rows): Promise<Head> {
    return rows.selectFrom('head').select(['seq', 'config']).executeTakeFirstOrThrow();
  }

  /**
   * Takes the next number and writes the event. The counter's row stays locked until the transaction ends, so numbers
   * are dense and become visible in order.
   */
  async append(tx: Rows, event: RevocationEvent): Promise<LoggedEvent> {
    const { seq } = await tx
      .updateTable('head')
      .set((row) => ({ seq: row('seq', '+', 1) }))
      .returning('seq')
      .executeTakeFirstOrThrow();
    await tx
      .insertInto('revocation_log')
      .values({
        seq,
        kind: event.kind,
        resource_id: 'resourceId' in event ? event.resourceId : null,
        subject: subjectOf(event) ?? null,
        valid_from: event.kind === 'validFrom' ? event.validFromMs : null,
        at: this.#db.clock,
      })
      .execute();
    return { ...event, seq };
  }

  /** Moves the counter forward without events, for a store that lost some: nothing issued so far reaches that far. */
  async jump(tx: Rows, by: number): Promise<void> {
    await tx
      .updateTable('head')
      .set((row) => ({ seq: row('seq', '+', by) }))
      .execute();
  }

  /** Says that resources, access keys or signing keys have changed. */
  async configChanged(tx: Rows): Promise<void> {
    await tx
      .updateTable('head')
      .set((row) => ({ config: row('config', '+', 1) }))
      .execute();
  }

  /** Up to `limit` events after a position, in order. */
  async after(seq: number, limit: number): Promise<LoggedEvent[]> {
    const rows = await this.#db.rows
      .selectFrom('revocation_log')
      .selectAll()
      .where('seq', '>', seq)
      .orderBy('seq')
      .limit(limit)
      .execute();
    return rows.map(fromRow);
  }

  /**
   * The position before the first event of the last `windowMs`, by the store's clock, or before the newest event that
   * ended everything; the head when there is neither.
   */
  async startOfWindow(windowMs: number): Promise<number> {
    const row = await this.#db.rows
      .selectFrom('revocation_log')
      .select((row) => row.fn.min('seq').as('seq'))
      .where('at', '>', sql<number>`${this.#db.clock} - ${windowMs}`)
      .where('seq', '>=', (rows) =>
        rows
          .selectFrom('revocation_log')
          .select((row) => row.fn.coalesce(row.fn.max('seq'), sql<number>`0`).as('seq'))
          .where('kind', '=', 'all'),
      )
      .executeTakeFirst();
    return row?.seq ? row.seq - 1 : (await this.head()).seq;
  }

  /** Bounds set by events up to a position, in order: they are about instants, so one may matter long after its event. */
  async boundsUpTo(seq: number): Promise<LoggedEvent[]> {
    const rows = await this.#db.rows
      .selectFrom('revocation_log')
      .selectAll()
      .where('kind', '=', 'validFrom')
      .where('seq', '<=', seq)
      .orderBy('seq')
      .execute();
    return rows.map(fromRow);
  }

  /** When an event was recorded, milliseconds since 1970. */
  async recordedAt(seq: number): Promise<number | undefined> {
    const row = await this.#db.rows.selectFrom('revocation_log').select('at').where('seq', '=', seq).executeTakeFirst();
    return row?.at;
  }

  /** The verdict from the rows alone, for tokens older than what is in memory. */
  async verdictFromRows(token: RevocableToken): Promise<Verdict | undefined> {
    const { rows } = this.#db;
    const resource = await rows
      .selectFrom('resources')
      .select('deleted_seq')
      .where('id', '=', token.resourceId)
      .executeTakeFirst();
    if (!resource || resource.deleted_seq !== null)
      return { kind: 'resource', seq: resource?.deleted_seq ?? undefined };

    const identity = await rows
      .selectFrom('identities')
      .select(['revoked_seq', 'tokens_valid_from'])
      .where('resource_id', '=', token.resourceId)
      .where('id', '=', token.identityId)
      .executeTakeFirst();
    if (!identity) return { kind: 'identityDeleted', seq: undefined };

    const key = token.keySlot
      ? await rows
          .selectFrom('access_keys')
          .select('changed_seq')
          .where('resource_id', '=', token.resourceId)
          .where('slot', '=', token.keySlot)
          .executeTakeFirst()
      : undefined;
    const signingKey = await rows
      .selectFrom('signing_keys')
      .select('killed_seq')
      .where('kid', '=', token.kid)
      .executeTakeFirst();
    const all = await rows
      .selectFrom('revocation_log')
      .select((row) => row.fn.max('seq').as('seq'))
      .where('kind', '=', 'all')
      .executeTakeFirst();

    const levels: Verdict[] = [
      { kind: 'identity', seq: identity.revoked_seq },
      { kind: 'key', seq: key?.changed_seq ?? 0 },
      { kind: 'signingKey', seq: signingKey?.killed_seq ?? 0 },
      { kind: 'all', seq: all?.seq ?? 0 },
    ];
    const newest = levels.reduce((one, other) => ((other.seq ?? 0) > (one.seq ?? 0) ? other : one));
    if (token.position < (newest.seq ?? 0)) return newest;
    const validFrom = identity.tokens_valid_from;
    return validFrom !== null && token.issuedAtSeconds < validFrom / 1000
      ? { kind: 'validFrom', seq: undefined }
      : undefined;
  }

  /**
   * A heartbeat: says how far a node has come, and learns where the head is. A write on purpose: a primary that was
   * fenced off can still answer reads, but cannot complete a replicated commit.
   * @returns with `joined` when the node was not among the nodes before
   */
  async beat(nodeId: string, applied: number): Promise<Head & { joined: boolean }> {
    return this.#db.writer.write(async (tx) => {
      const values = { applied_seq: applied, beat: this.#db.clock };
      const done = await tx.updateTable('nodes').set(values).where('id', '=', nodeId).executeTakeFirst();
      const joined = done.numUpdatedRows === 0n;
      if (joined) {
        await tx
          .insertInto('nodes')
          .values({ id: nodeId, ...values })
          .onConflict((conflict) => conflict.column('id').doUpdateSet(values))
          .execute();
      }
      return { ...(await this.head(tx)), joined };
    });
  }

  /** How many other nodes have not yet applied an event. */
  async nodesBehind(seq: number, nodeId: string): Promise<number> {
    const row = await this.#db.rows
      .selectFrom('nodes')
      .select((row) => row.fn.countAll<number>().as('count'))
      .where('id', '!=', nodeId)
      .where('applied_seq', '<', seq)
      .executeTakeFirstOrThrow();
    return Number(row.count);
  }

  /** Every node with the time of its last heartbeat, which only tells whether there was another one since. */
  async nodes(): Promise<{ id: string; beat: number }[]> {
    return this.#db.rows.selectFrom('nodes').select(['id', 'beat']).execute();
  }

  /** Forgets a node, so that nobody waits for it. @param beat only while this is still its last heartbeat */
  async forgetNode(id: string, beat?: number): Promise<void> {
    await this.#db.writer.write(async (tx) => {
      const node = tx.deleteFrom('nodes').where('id', '=', id);
      await (beat === undefined ? node : node.where('beat', '=', beat)).execute();
    });
  }
}

const subjectOf = (event: RevocationEvent): string | undefined =>
  'identityId' in event ? event.identityId : 'slot' in event ? event.slot : 'kid' in event ? event.kid : undefined;

function fromRow(row: {
  seq: number;
  kind: string;
  resource_id: ResourceId | null;
  subject: string | null;
  valid_from: number | null;
}): LoggedEvent {
  const { seq, kind } = row;
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
    case 'signingKey':
      return { seq, kind, kid: row.subject as string };
    case 'all':
      return { seq, kind };
    default:
      throw new Error(`revocation log: ${seq} is of a kind this release does not know`);
  }
}
