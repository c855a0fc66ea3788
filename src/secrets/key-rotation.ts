import { ServiceError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Events } from '../monitoring/events.ts';
import { SettingsError } from '../settings.ts';
import { type Database, StoreError } from '../storage/database.ts';
import type { Rows } from '../storage/sql.ts';
import { DataKeyStore } from './data-key-store.ts';
import { kekId, type ReadKeks, readStableKeks } from './kek.ts';
import { type KeyRing, newDataKey } from './key-ring.ts';
import { SEALED_COLUMNS, type SealedValue, SealedValueStore } from './sealed-columns.ts';

interface Uses {
  db: Database;
  ring: KeyRing;
  readKeks: ReadKeks;
  /** Does work in a transaction, one node at a time, and returns when every node has read the ring again. */
  change: <T>(work: (tx: Rows) => Promise<T>) => Promise<T>;
  clock: Clock;
  events: Pick<Events, 'notice'>;
}

/** A data key as the operator sees it. */
export interface DataKeyInfo {
  readonly id: string;
  readonly state: 'current' | 'former';
  readonly createdAtMs: number;
  readonly encryptions: number;
  /** Sealed values in the store. */
  readonly values: number;
  /** The key-encryption key it is under; undefined when this node does not have that key-encryption key. */
  readonly kekId: string | undefined;
}

const DAY_MS = 24 * 3_600_000;
const LONGEST_USE_MS = 90 * DAY_MS;
/** Nonces are random: NIST SP 800-38D allows 2^32, of which the rest is margin. */
const MOST_ENCRYPTIONS = 2 ** 30;
/** A node that was held up may still seal with the former key. Far longer than a transaction can last. */
const KEPT_AFTER_MS = DAY_MS;
const BATCH = 100;

/**
 * The life of data keys and of the key-encryption key above them, while servers run (security-and-reliability, section
 * 4.5). What is done stands in the rows alone: when a node is killed in the middle, the next one goes on.
 *
 * Every {@link Uses.change} waits for the one before, as those of access keys and signing keys do. A new data key goes under
 * the key-encryption key that the current one is under, so a node that knows of a new key-encryption key earlier than the
 * others does not lock them out.
 */
export class KeyRotation {
  readonly #uses: Uses;
  readonly #store = new DataKeyStore();
  readonly #values = new SealedValueStore();
  #maintaining: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(uses: Uses) {
    this.#uses = uses;
  }

  /** The data keys, oldest first. */
  async show(): Promise<DataKeyInfo[]> {
    const { db, ring } = this.#uses;
    const rows = await this.#store.all(db.rows);
    const infos = rows.map(async (row): Promise<DataKeyInfo> => {
      const kek = await ring.findKekOf(row).catch(() => undefined); // a source that cannot be read shows itself as unknown
      return {
        id: row.id,
        state: row === rows.at(-1) ? 'current' : 'former',
        createdAtMs: row.created_at,
        encryptions: row.encryptions,
        values: await this.#values.countUnder(db.rows, row.id),
        kekId: kek && kekId(kek),
      };
    });
    return Promise.all(infos);
  }

  /** Makes a data key that seals what comes after it, and begins to move what the former ones have sealed. @returns its id */
  async rotateDataKey(): Promise<string> {
    await this.#makeDataKey(() => true);
    void this.maintain().catch((cause: unknown) =>
      this.#uses.events.notice('error', 'encrypting values with the current data key failed', { cause }),
    );
    return this.#uses.ring.current;
  }

  /**
   * Puts every data key under the key-encryption key that the settings give first now, in one transaction: whenever it is
   * cut short, all of them are under the one or all under the other.
   * @returns that key and how many data keys were under another one
   * @throws ServiceError `KekUnusable`
   */
  async rotateKek(): Promise<{ kekId: string; rewrapped: number }> {
    const { ring, readKeks, change, events } = this.#uses;
    const keks = await readStableKeks(readKeks).catch(unusable);
    const [kek] = keks;
    if (!kek) throw new Error('no key-encryption key was read');
    ring.addKeks(keks);
    await ring.reload();
    const rewrapped = await change(async (tx) => {
      const changed = ring.rewrapped(await this.#store.all(tx), kek);
      for (const { id, sealed } of changed) await this.#store.rewrap(tx, id, sealed);
      return changed.length;
    });
    const id = kekId(kek);
    if (rewrapped > 0) events.notice('warn', 'the key-encryption key was changed', { kekId: id, dataKeys: rewrapped });
    return { kekId: id, rewrapped };
  }

  /**
   * Does what is due: a new data key every 90 days or 2^30 encryptions, moving what former ones have sealed, removing those
   * that seal nothing any more. To be called now and then, one call after the other; every node may.
   * @param signal ends it early, as {@link stop} does
   */
  maintain(signal?: AbortSignal): Promise<void> {
    this.#maintaining = this.#maintaining.catch(() => undefined).then(() => this.#maintain(signal));
    return this.#maintaining;
  }

  /** Ends what {@link maintain} does, at a point where another node or the next start goes on. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#maintaining.catch(() => undefined);
    await this.noteEncryptions().catch(() => undefined); // a store that is gone does not hold up the stop
  }

  async #maintain(signal: AbortSignal | undefined): Promise<void> {
    const { ring, clock } = this.#uses;
    if (this.#stopped) return;
    await this.noteEncryptions();
    await this.#makeDataKey(
      ({ created_at, encryptions }) => clock.now() - created_at >= LONGEST_USE_MS || encryptions >= MOST_ENCRYPTIONS,
    );
    await ring.reload();
    await this.#moveValues(signal);
    if (!signal?.aborted) await this.#removeFormer();
  }

  /**
   * Adds what this node has encrypted to the counts in the store. What is not noted, because of a kill or a store that fails,
   * is far less than the margin.
   */
  async noteEncryptions(): Promise<void> {
    const { db, ring } = this.#uses;
    const counts = ring.takeEncryptions();
    if (counts.size === 0) return;
    await db.writer.write(async (tx) => {
      await this.#store.lock(tx);
      for (const [id, count] of counts) await this.#store.addEncryptions(tx, id, count);
    });
  }

  /** @param isDue asked about the current data key, again under the lock: another node may have been faster */
  async #makeDataKey(isDue: (current: { created_at: number; encryptions: number }) => boolean): Promise<void> {
    const { db, ring, clock, change, events } = this.#uses;
    const [before] = (await this.#store.all(db.rows)).slice(-1);
    if (!before || !isDue(before)) return;
    await ring.findKekOf(before).catch(unusable);
    const made = await change(async (tx) => {
      const [current] = (await this.#store.all(tx)).slice(-1);
      if (!current || !isDue(current)) return undefined;
      const kek = ring.kekOf(current);
      if (!kek)
        throw new ServiceError('KekUnusable', { values: { why: 'this node does not have that key-encryption key' } });
      const fresh = newDataKey(kek);
      // Later than the one it follows, even by the clock of another node: the newest seals.
      await this.#store.insert(tx, { ...fresh, created_at: Math.max(clock.now(), current.created_at + 1) });
      return fresh.id;
    });
    if (made === undefined) return;
    await ring.reload();
    events.notice('info', 'data key made', { keyId: made });
  }

  /** Seals with the current data key what former ones have sealed. Values that changed meanwhile are left as they are. */
  async #moveValues(signal: AbortSignal | undefined): Promise<void> {
    const { db, ring, events } = this.#uses;
    let moved = 0;
    const unopened: SealedValue[] = [];
    for (const column of SEALED_COLUMNS) {
      for (let after = ''; ; ) {
        const batch = await this.#values.notUnder(db.rows, column, ring.current, after, BATCH);
        if (batch.length === 0 || this.#stopped || signal?.aborted) break;
        after = batch.at(-1)?.sealed ?? '';
        const opened = batch.map((value) => ({ value, bytes: this.#opened(value) }));
        unopened.push(...opened.flatMap(({ value, bytes }) => (bytes ? [] : [value])));
        moved += await db.writer.write(async (tx) => {
          await this.#store.lock(tx);
          let count = 0;
          for (const { value, bytes } of opened) {
            if (bytes && (await this.#values.replace(tx, column, value, ring.seal(bytes, value.place)))) count += 1;
          }
          return count;
        });
      }
    }
    if (moved > 0)
      events.notice('info', 'values encrypted with the current data key', { keyId: ring.current, values: moved });
    if (unopened.length === 0) return;
    await ring.reload(); // another node may have made a data key meanwhile, and moved them
    for (const value of unopened.filter((one) => !this.#opened(one))) {
      const { table, row } = value.place; // it stays as it is, and so does the data key that it names
      events.notice('error', 'an encrypted value cannot be decrypted', { table, row });
    }
  }

  #opened({ sealed, place }: SealedValue): Buffer | undefined {
    try {
      return this.#uses.ring.unseal(sealed, place);
    } catch (cause) {
      if (cause instanceof StoreError) return undefined;
      throw cause;
    }
  }

  /** Removes data keys under which nothing is sealed any more, a day after another one took over. */
  async #removeFormer(): Promise<void> {
    const { db, ring, clock, change, events } = this.#uses;
    const unused = async (rows: Rows): Promise<string[]> => {
      const all = await this.#store.all(rows);
      const former = all.filter((_, index) => clock.now() - (all[index + 1]?.created_at ?? Infinity) >= KEPT_AFTER_MS);
      const counts = await Promise.all(former.map(({ id }) => this.#values.countUnder(rows, id)));
      return former.filter((_, index) => counts[index] === 0).map(({ id }) => id);
    };
    if ((await unused(db.rows)).length === 0) return;
    const removed = await change(async (tx) => {
      const ids = await unused(tx);
      for (const id of ids) await this.#store.remove(tx, id);
      return ids;
    });
    await ring.reload();
    for (const keyId of removed) events.notice('info', 'data key removed', { keyId });
  }
}

function unusable(cause: unknown): never {
  if (!(cause instanceof SettingsError)) throw cause;
  throw new ServiceError('KekUnusable', { values: { why: cause.message }, cause });
}
