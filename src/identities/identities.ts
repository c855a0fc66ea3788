import type { IdentityId, ResourceId, ServiceCaller, UserCaller } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Events } from '../monitoring/events.ts';
import type { Forgetter, Forgetting } from '../resources/forgetting.ts';
import type { Revocations } from '../revocation/revocations.ts';
import type { Database } from '../storage/database.ts';
import type { Rows } from '../storage/sql.ts';
import { removeInSteps } from '../storage/steps.ts';
import { type Identity, identityIdMaker, namesNoResource } from './identity.ts';
import type { IdentityKey, IdentityStore } from './identity-store.ts';

interface Uses {
  db: Database;
  store: IdentityStore;
  revocations: Revocations;
  /** Removes with an identity what other areas keep of it. */
  forgetting: Pick<Forgetting, 'identityIn'>;
  clock: Clock;
  events: Events;
  /** For tests that have to know which ids come next. */
  newId?: ReturnType<typeof identityIdMaker>;
}

/** A bound this close to now is meant as now: the tokens of this very second are decided by the log, exactly. */
const NOW_MS = 1000;

/** Identities of a resource whose tokens the next transaction ends. */
interface Batch {
  readonly keys: IdentityKey[];
  /** Those that there are, once no node accepts their tokens any more. */
  readonly found: Promise<ReadonlySet<IdentityKey>>;
}

const MOST_PER_BATCH = 64;

/** The directory of a resource's users. */
export class Identities {
  readonly #uses: Uses;
  readonly #newId: ReturnType<typeof identityIdMaker>;
  /** Those that have not begun, one of a resource. */
  readonly #batches = new Map<ResourceId, Batch>();

  constructor(uses: Uses) {
    this.#uses = uses;
    this.#newId = uses.newId ?? identityIdMaker();
  }

  /** Makes an identity; with a custom id that exists already, gives the one that has it. */
  async create(caller: ServiceCaller, customId?: string): Promise<Identity> {
    const { resourceId } = caller;
    const turn = customId === undefined ? undefined : resourceId;
    const identity = await this.#uses.db.writer.write((tx) => this.createIn(tx, resourceId, customId), turn);
    this.#uses.events.identityCreated(resourceId, identity.id);
    return identity;
  }

  /** As {@link create}, within a transaction that does more. */
  async createIn(tx: Rows, resourceId: ResourceId, customId?: string): Promise<Identity> {
    const { store, clock } = this.#uses;
    const createdAtMs = clock.now();
    for (;;) {
      const existing = customId === undefined ? undefined : await store.findByCustomId(tx, resourceId, customId);
      if (existing) return existing;
      const id = this.#newId(resourceId, createdAtMs);
      const fresh = await store.insert(tx, { resourceId, id, customId, createdAtMs });
      if (fresh) return { id, resourceId, customId, createdAtMs, lastTokenIssuedAtMs: undefined };
      // Somebody else was faster with the custom id, or (once in a great while) with the id: look again.
    }
  }

  /**
   * Makes sure, within a transaction, that an identity of a given id is there. One that was deleted comes back without the
   * tokens it had. @returns true when it was not there
   */
  async ensureIn(tx: Rows, resourceId: ResourceId, id: IdentityId): Promise<boolean> {
    const { store, revocations, clock } = this.#uses;
    const isFresh = await store.insert(tx, { resourceId, id, customId: undefined, createdAtMs: clock.now() });
    // It starts where the log is: tokens of one that was deleted stay void.
    if (isFresh) await store.setRevoked(tx, [{ resourceId, id }], await revocations.positionIn(tx));
    return isFresh;
  }

  /**
   * Insists, within a transaction that has the turn of the resource, that the identity of a user was not deleted meanwhile.
   * So nothing is written for an identity after the deletion has removed what belongs to it.
   * @throws ServiceError `TokenRefused`
   */
  async requireIn(tx: Rows, { resourceId, identityId }: Pick<UserCaller, 'resourceId' | 'identityId'>): Promise<void> {
    if (!(await this.#uses.store.find(tx, resourceId, identityId)))
      throw new ServiceError('TokenRefused', { reason: 'revoked.identityDeleted' });
  }

  /** Notes, within a transaction, when an identity was last given a token. */
  noteTokenIn(tx: Rows, resourceId: ResourceId, id: IdentityId, atMs: number): Promise<void> {
    return this.#uses.store.setLastTokenIssuedAt(tx, resourceId, id, atMs);
  }

  /** @throws ServiceError `IdentityNotFound` */
  async get(caller: ServiceCaller, id: IdentityId): Promise<Identity> {
    const identity = await this.#uses.store.find(this.#uses.db.rows, caller.resourceId, id);
    if (!identity) throw absent(id);
    return identity;
  }

  /**
   * Lists identities by id, a page at a time.
   * @returns a page, and what to begin the next one after; undefined when there is none
   */
  async list(
    { resourceId }: ServiceCaller,
    { size, after, customId }: { size: number; after: IdentityId | undefined; customId: string | undefined },
  ): Promise<{ page: Identity[]; next: IdentityId | undefined }> {
    const { db, store } = this.#uses;
    if (customId !== undefined) {
      const found = await store.findByCustomId(db.rows, resourceId, customId);
      return { page: found ? [found] : [], next: undefined };
    }
    const found = await store.page(db.rows, resourceId, after, size + 1); // one more tells whether there is another page
    const page = found.slice(0, size);
    return { page, next: found.length > size ? page.at(-1)?.id : undefined };
  }

  /**
   * Makes every token issued so far for the identity worthless. Calls that wait for the same transaction share its statements.
   * @throws ServiceError `IdentityNotFound`
   */
  async revokeTokens({ resourceId }: ServiceCaller, id: IdentityId): Promise<void> {
    const key = { resourceId, id };
    let batch = this.#batches.get(resourceId);
    if (batch === undefined || batch.keys.length === MOST_PER_BATCH) {
      batch = this.#newBatch(resourceId);
      this.#batches.set(resourceId, batch);
    }
    batch.keys.push(key);
    const found = await batch.found;
    if (!found.has(key)) throw absent(id);
  }

  #newBatch(resourceId: ResourceId): Batch {
    const { store, revocations } = this.#uses;
    const keys: IdentityKey[] = [];
    /** A call that arrives after this is too late for the batch. */
    const begin = (): void => {
      if (this.#batches.get(resourceId)?.keys === keys) this.#batches.delete(resourceId);
    };
    const found = revocations.end(async (tx, record) => {
      begin();
      const existing = await store.existing(tx, keys);
      if (existing.length > 0) {
        const events = existing.map(({ id }) => ({ kind: 'identity', resourceId, identityId: id }) as const);
        await store.setRevoked(tx, existing, (await record(...events)) - existing.length + 1);
      }
      return new Set(existing);
    }, resourceId);
    found.catch(begin); // a store that cannot be reached never began
    return { keys, found };
  }

  /**
   * The preview's way to revoke: tokens issued before an instant are worthless. Everything issued so far is, when the
   * instant is now or later; until a later instant comes, so is everything issued after this call. An instant that is not later
   * than the one before changes nothing, so it records nothing either.
   * @throws ServiceError `IdentityNotFound`
   */
  async setTokensValidFrom(caller: ServiceCaller, id: IdentityId, validFromMs: number): Promise<void> {
    const { store, revocations, clock } = this.#uses;
    const { resourceId } = caller;
    const ahead = validFromMs - clock.now();
    if (Math.abs(ahead) <= NOW_MS) return this.revokeTokens(caller, id);
    await revocations.end(async (tx, record) => {
      const former = await store.validFrom(tx, resourceId, id);
      if (former === undefined) throw absent(id);
      if (validFromMs <= former) return;
      if (ahead > 0)
        await store.setRevoked(
          tx,
          [{ resourceId, id }],
          await record({ kind: 'identity', resourceId, identityId: id }),
        );
      await record({ kind: 'validFrom', resourceId, identityId: id, validFromMs });
      if (!(await store.setValidFrom(tx, resourceId, id, validFromMs))) throw absent(id);
    }, resourceId);
  }

  /** Deletes the identity and ends its tokens. Deleting what is not there is not an error: the caller may be repeating itself. */
  async delete({ resourceId }: ServiceCaller, id: IdentityId): Promise<void> {
    const { store, revocations, forgetting, db } = this.#uses;
    if (!(await store.find(db.rows, resourceId, id))) {
      if (namesNoResource(id)) throw absent(id);
      // No event: repeating a delete must not fill the log. But the first one may still be waiting for other nodes.
      return revocations.settled();
    }
    await revocations.end(async (tx, record) => {
      await record({ kind: 'identityDeleted', resourceId, identityId: id });
      await forgetting.identityIn(tx, resourceId, id);
      await store.delete(tx, resourceId, id);
    }, resourceId);
  }

  /** Removes the identities of a deleted resource. */
  get forgetter(): Forgetter {
    const { db, store } = this.#uses;
    return {
      name: 'identities',
      resource: (id, signal) => removeInSteps(db, { turn: id, signal }, (tx, limit) => store.deleteSome(tx, id, limit)),
    };
  }
}

/** An id that names its resource is ours and missing; one that names none may as well be somebody else's. */
const absent = (id: IdentityId): ServiceError =>
  new ServiceError(namesNoResource(id) ? 'IdentityNotOwned' : 'IdentityNotFound');
