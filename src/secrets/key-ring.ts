import { createSecretKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';
import type { Clock } from '../lib/clock.ts';
import { type Database, type DataKeyRow, StoreError } from '../storage/database.ts';
import { MetaStore } from '../storage/meta-store.ts';
import { DataKeyStore } from './data-key-store.ts';
import { type Place, seal, unseal } from './envelope.ts';
import { type ReadKeks, readStableKeks } from './kek.ts';

interface Uses {
  db: Database;
  clock: Clock;
  readKeks: ReadKeks;
}

/** The first data key of a store, in its facts: one that has the mark and no data key has lost them. */
const MARK = 'first data key';
/** A key-encryption key that does not fit is asked for again after this long, not at every heartbeat. */
const ASK_AGAIN_MS = 10_000;
/** During a change two are in use; a few more do no harm. */
const MOST_KEKS = 4;

/**
 * Envelope encryption at rest, AES-256-GCM (security-and-reliability, section 4.5). Data keys live in the store under
 * the key-encryption key, which does not. The newest data key seals; the others open what they have sealed until
 * {@link KeyRotation} has moved it.
 *
 * A sealed value is `<data key id>.<base64url of nonce, ciphertext, tag>`.
 */
export class KeyRing {
  readonly #uses: Uses;
  readonly #store = new DataKeyStore();
  #keks: readonly KeyObject[] = [];
  #askedAt = Number.NEGATIVE_INFINITY;
  #keys: ReadonlyMap<string, KeyObject> = new Map();
  #current!: { readonly id: string; readonly key: KeyObject };
  #reading: Promise<void> = Promise.resolve();
  /** Encryptions by data key since they were last taken. */
  #encryptions = new Map<string, number>();

  private constructor(uses: Uses) {
    this.#uses = uses;
  }

  /**
   * Opens the ring of a store; makes the first data key in a store that never had one.
   * @throws StoreError when the key-encryption key is not the one of this store, or the data keys are gone; no key is ever
   * made in their place. SettingsError when there is no key-encryption key
   */
  static async open(uses: Uses): Promise<KeyRing> {
    const ring = new KeyRing(uses);
    await ring.#ensureFirst();
    await ring.reload();
    return ring;
  }

  /** The data key that seals. */
  get current(): string {
    return this.#current.id;
  }

  seal(bytes: Uint8Array, place: Place): string {
    const { id, key } = this.#current;
    this.#encryptions.set(id, (this.#encryptions.get(id) ?? 0) + 1);
    return `${id}.${seal(key, bytes, place)}`;
  }

  /** @throws StoreError when the value was made elsewhere, moved or damaged */
  unseal(sealed: string, place: Place): Buffer {
    const dot = sealed.indexOf('.');
    const key = this.#keys.get(sealed.slice(0, dot));
    const bytes = key && unseal(key, sealed.slice(dot + 1), place);
    if (!bytes)
      throw new StoreError(
        `an encrypted value in ${place.table} cannot be decrypted: the store is damaged or was altered`,
      );
    return bytes;
  }

  /**
   * Secrets for one purpose, the same on every node: one of each data key, that of the newest first. For what lives shorter
   * than data keys do. Changes with them.
   */
  derived(purpose: string): [Buffer, ...Buffer[]] {
    const { id, key } = this.#current;
    const others = [...this.#keys].filter(([other]) => other !== id).map(([, one]) => derive(one, purpose));
    return [derive(key, purpose), ...others];
  }

  /** Reads the data keys again: another node may have made one. One reading at a time. */
  reload(): Promise<void> {
    this.#reading = this.#reading.catch(() => undefined).then(() => this.#read());
    return this.#reading;
  }

  /** The key-encryption key that a data key is under; undefined when it is none of those that were read. */
  kekOf(row: DataKeyRow): KeyObject | undefined {
    return this.#keks.find((kek) => opened(row, kek));
  }

  /** As {@link kekOf}, and reads the key-encryption keys again where it is none of them. @throws SettingsError */
  async findKekOf(row: DataKeyRow): Promise<KeyObject | undefined> {
    const { clock, readKeks } = this.#uses;
    if (!this.kekOf(row) && clock.elapsed() - this.#askedAt >= ASK_AGAIN_MS) {
      this.#askedAt = clock.elapsed();
      this.addKeks(await readKeks());
    }
    return this.kekOf(row);
  }

  /** Puts the data keys under another key-encryption key. @returns each with what is to be stored for it now */
  rewrapped(rows: readonly DataKeyRow[], kek: KeyObject): { id: string; sealed: string }[] {
    return rows
      .filter((row) => !opened(row, kek))
      .map((row) => {
        const key = this.#keys.get(row.id) ?? this.#opened(row); // another node may just have made it
        if (!key) throw new StoreError(`the data key ${row.id} cannot be decrypted`);
        return { id: row.id, sealed: seal(kek, key.export(), dataKeyPlace(row.id)) };
      });
  }

  /** Takes key-encryption keys that were read meanwhile, to be tried before those that it has. */
  addKeks(keks: readonly KeyObject[]): void {
    const others = this.#keks.filter((kek) => !keks.some((added) => added.equals(kek)));
    this.#keks = [...keks, ...others].slice(0, MOST_KEKS);
  }

  /** How often each data key has sealed since this was last asked. */
  takeEncryptions(): ReadonlyMap<string, number> {
    const taken = this.#encryptions;
    this.#encryptions = new Map();
    return taken;
  }

  #opened(row: DataKeyRow): KeyObject | undefined {
    const kek = this.kekOf(row);
    const bytes = kek && opened(row, kek);
    return bytes && createSecretKey(bytes);
  }

  async #ensureFirst(): Promise<void> {
    const { db, clock, readKeks } = this.#uses;
    const [oldest] = await this.#store.all(db.rows);
    const [kek] = oldest ? [] : await readStableKeks(readKeks);
    await db.writer.write(async (tx) => {
      const fresh = kek && newDataKey(kek);
      // Servers that start together wait here for the first of them.
      const first = await new MetaStore().setOnce(tx, MARK, oldest?.id ?? fresh?.id ?? '');
      if (fresh?.id === first) await this.#store.insert(tx, { ...fresh, created_at: clock.now() });
    });
  }

  async #read(): Promise<void> {
    const rows = await this.#store.all(this.#uses.db.rows);
    const found = [];
    for (const row of rows) found.push({ id: row.id, key: this.#keys.get(row.id) ?? (await this.#open(row)) });
    const current = found.at(-1);
    if (!current) throw new StoreError('the data keys of this store are missing: restore a backup');
    this.#keys = new Map(found.map(({ id, key }) => [id, key]));
    this.#current = current;
  }

  async #open(row: DataKeyRow): Promise<KeyObject> {
    await this.findKekOf(row);
    const key = this.#opened(row);
    if (key) return key;
    throw new StoreError(
      'the key-encryption key is not the one of this store: set LINARITE_KEK, LINARITE_KEK_FILE or LINARITE_KEK_COMMAND to the key of this store',
    );
  }
}

/** HKDF-SHA256 (RFC 5869). */
const derive = (key: KeyObject, purpose: string): Buffer =>
  Buffer.from(hkdfSync('sha256', key, '', `linarite ${purpose}`, 32));

const opened = ({ id, sealed }: DataKeyRow, kek: KeyObject): Buffer | undefined =>
  unseal(kek, sealed, dataKeyPlace(id));

/** A data key under a key-encryption key, with a name that no other has. */
export function newDataKey(kek: KeyObject): Pick<DataKeyRow, 'id' | 'sealed'> {
  const id = randomBytes(6).toString('hex');
  return { id, sealed: seal(kek, randomBytes(32), dataKeyPlace(id)) };
}

const dataKeyPlace = (id: string): Place => ({ table: 'data_keys', column: 'sealed', row: id, version: 1 });
