import { createSecretKey, randomBytes } from 'node:crypto';
import { KEY_SLOTS, type KeySlot, type ResourceId } from '../callers.ts';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Revocations } from '../revocation/revocations.ts';
import type { Place } from '../secrets/envelope.ts';
import type { KeyRing } from '../secrets/key-ring.ts';
import type { Database } from '../storage/database.ts';
import type { Rows } from '../storage/sql.ts';
import { type AccessKey, isWellKnown, newResourceId, REGIONS, type Resource, resourceName } from './resource.ts';
import type { ResourceStore } from './resource-store.ts';

interface Uses {
  db: Database;
  store: ResourceStore;
  revocations: Revocations;
  keyRing: KeyRing;
  clock: Clock;
}

/** A resource as authentication needs it: with its keys. */
export interface KeyedResource {
  readonly resource: Resource;
  readonly keys: readonly AccessKey[];
}

interface Wish {
  name: string;
  /** One of {@link REGIONS}; `unitedstates` when not said. */
  location?: string;
  /** For the development resource and for imports, which keep the GUID and the keys clients already have. */
  id?: ResourceId;
  keys?: Partial<Record<KeySlot, Buffer>>;
}

/** Work of the caller's in the same transaction. */
type InSameTransaction = (tx: Rows, id: ResourceId) => Promise<void>;

const KEY_BYTES = 64;
/** A request that was under way at a deletion may write something after the first sweep. None lasts as long as this. */
const LATE_WRITES_MS = 3_600_000;

/** The resources this process serves. All of them are kept in memory; a change on any node makes every node read them again. */
export class Resources {
  readonly #uses: Uses;
  #byId: ReadonlyMap<ResourceId, KeyedResource> = new Map();
  #byName: ReadonlyMap<string, KeyedResource> = new Map();
  #reading: Promise<void> = Promise.resolve();

  constructor(uses: Uses) {
    this.#uses = uses;
  }

  /** Reads all resources and opens their keys. One reading at a time: the last to end must be the last to begin. */
  reload(): Promise<void> {
    this.#reading = this.#reading.catch(() => undefined).then(() => this.#read());
    return this.#reading;
  }

  async #read(): Promise<void> {
    const { db, store, keyRing } = this.#uses;
    const [rows, keys] = [await store.living(db.rows), await store.keys(db.rows)];
    const keysOf = Map.groupBy(keys, (key) => key.resource_id);
    const keyed = rows.map(
      (row): KeyedResource => ({
        resource: {
          id: row.id,
          name: row.name,
          location: row.location,
          region: row.region,
          createdAtMs: row.created_at,
          keysDisabled: row.keys_disabled === 1,
        },
        keys: (keysOf.get(row.id) ?? []).map((key) =>
          accessKey(key.slot, key.version, keyRing.unseal(key.sealed, keyPlace(row.id, key.slot, key.version))),
        ),
      }),
    );
    this.#byId = new Map(keyed.map((entry) => [entry.resource.id, entry]));
    this.#byName = new Map(keyed.map((entry) => [entry.resource.name, entry]));
  }

  list(): Resource[] {
    return [...this.#byId.values()].map((entry) => entry.resource);
  }

  has(id: ResourceId): boolean {
    return this.#byId.has(id);
  }

  /** @throws ServiceError `ResourceNotFound` */
  get(id: ResourceId): KeyedResource {
    const entry = this.#byId.get(id);
    if (!entry) throw new ServiceError('ResourceNotFound');
    return entry;
  }

  /**
   * The resource that a host names by its first label, as the original's do.
   * @param host host name without port
   */
  namedBy(host: string): KeyedResource | undefined {
    return host.includes('.') ? this.#byName.get(host.split('.', 1)[0]?.toLowerCase() ?? '') : undefined;
  }

  /** Insists that a host does not name another resource. @param host host name without port. @throws ServiceError `TokenRefused` */
  requireResourceOfHost(host: string, id: ResourceId): void {
    const named = this.namedBy(host);
    if (named && named.resource.id !== id) throw new ServiceError('TokenRefused', { reason: 'token.otherResource' });
  }

  /**
   * The resources whose keys may have signed a request to a host: the one whose name the host begins with, or else all.
   * @param host host name without port
   */
  candidatesFor(host: string): KeyedResource[] {
    const named = this.namedBy(host);
    const all = named ? [named] : [...this.#byId.values()];
    return all.filter(({ resource }) => !resource.keysDisabled);
  }

  /**
   * Makes a resource with two fresh access keys, which every node knows when this returns.
   * @throws ServiceError `ResourceNameInvalid`, `ResourceNameTaken`
   */
  async create(wish: Wish, inSameTransaction?: InSameTransaction): Promise<Resource> {
    const { location = 'unitedstates', id = newResourceId(), keys = {} } = wish;
    const name = resourceName(wish.name);
    const { store, revocations, keyRing, clock } = this.#uses;
    const createdAtMs = clock.now();
    const region = REGIONS[location] ?? 'amer';
    const row = { id, name, location, region, created_at: createdAtMs };
    await revocations.change(async (tx) => {
      const fresh = await store.insert(tx, row);
      if (!fresh) throw new ServiceError('ResourceNameTaken');
      const seq = await revocations.positionIn(tx);
      for (const slot of KEY_SLOTS) {
        const sealed = keyRing.seal(keys[slot] ?? randomBytes(KEY_BYTES), keyPlace(id, slot, 1));
        await store.insertKey(tx, {
          resource_id: id,
          slot,
          version: 1,
          sealed,
          changed_seq: seq,
          created_at: createdAtMs,
        });
      }
      await inSameTransaction?.(tx, id);
    });
    await this.reload();
    return { id, name, location, region, createdAtMs, keysDisabled: false };
  }

  /** Switches access keys off, or on again, on every node before this returns. Tokens issued under them stay as they are. */
  async setKeysDisabled(id: ResourceId, disabled: boolean, inSameTransaction?: InSameTransaction): Promise<void> {
    const { store, revocations } = this.#uses;
    await revocations.change(async (tx) => {
      await store.setKeysDisabled(tx, id, disabled);
      await inSameTransaction?.(tx, id);
    }, id);
    await this.reload();
  }

  /**
   * Replaces one access key. The former value, and every token issued under it, is worthless when this returns; the other
   * key and its tokens are untouched.
   * @throws ServiceError `ResourceNotFound`
   */
  async regenerateKey(id: ResourceId, slot: KeySlot): Promise<AccessKey> {
    const { store, keyRing, clock, revocations } = this.#uses;
    const bytes = randomBytes(KEY_BYTES);
    const version = await revocations.change(async (tx, record) => {
      const seq = await record({ kind: 'key', resourceId: id, slot });
      const former = await store.keyVersion(tx, id, slot);
      if (former === undefined) throw new ServiceError('ResourceNotFound');
      const version = former + 1;
      const sealed = keyRing.seal(bytes, keyPlace(id, slot, version));
      await store.replaceKey(tx, { resource_id: id, slot, version, sealed, changed_seq: seq, created_at: clock.now() });
      return version;
    }, id);
    await this.reload();
    return accessKey(slot, version, bytes);
  }

  /**
   * Deletes a resource for good: keys and tokens at once, and the rest in the background (resources/forgetting.ts).
   * @throws ServiceError `ResourceNotFound`
   */
  async delete(id: ResourceId, inSameTransaction?: InSameTransaction): Promise<void> {
    const { store, revocations } = this.#uses;
    await revocations.change(async (tx, record) => {
      const seq = await record({ kind: 'resource', resourceId: id });
      if (!(await store.delete(tx, id, seq))) throw new ServiceError('ResourceNotFound');
      await inSameTransaction?.(tx, id);
    }, id);
    await this.reload();
  }

  /** Returns when nothing opens with keys or tokens of the resources deleted so far: for a delete that finds its work done. */
  async settled(): Promise<void> {
    await this.#uses.revocations.settled();
    await this.reload();
  }

  /** Whether there was a resource of that id, which is gone for good. */
  wasDeleted(id: ResourceId): Promise<boolean> {
    return this.#uses.store.isDeleted(this.#uses.db.rows, id);
  }

  /** Whether there is a resource of that id now, as a transaction sees it. */
  isLivingIn(tx: Rows, id: ResourceId): Promise<boolean> {
    return this.#uses.store.isLiving(tx, id);
  }

  /** Deleted resources whose belongings have to be removed now: for the first time, or once more after an hour. */
  unfinishedDeletions(): Promise<ResourceId[]> {
    const { db, store, clock } = this.#uses;
    return store.unfinishedDeletions(db.rows, clock.now() - LATE_WRITES_MS);
  }

  /** Notes that all belongings of a deleted resource were removed. */
  async noteSweep(id: ResourceId): Promise<void> {
    const { db, store, clock } = this.#uses;
    const atMs = clock.now();
    await db.writer.write((tx) => store.addSweep(tx, id, { atMs, lastSweptMs: atMs - LATE_WRITES_MS }), id);
  }
}

const accessKey = (slot: KeySlot, version: number, bytes: Buffer): AccessKey => ({
  slot,
  version,
  secret: createSecretKey(bytes),
  wellKnown: isWellKnown(bytes),
});

const keyPlace = (id: ResourceId, slot: KeySlot, version: number): Place => ({
  table: 'access_keys',
  column: 'sealed',
  row: `${id} ${slot}`,
  version,
});
