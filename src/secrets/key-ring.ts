import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import type { Database } from '../storage/database.ts';
import { StoreError } from '../storage/database.ts';
import { DataKeyStore } from './data-key-store.ts';

/** Where a sealed value belongs. Sealed into it: a ciphertext moved to another row, column or resource does not open. */
export interface Place {
  table: string;
  column: string;
  row: string;
  version: number;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Envelope encryption at rest, AES-256-GCM (security-and-reliability, section 4.5). Data keys live in the store under
 * the key-encryption key, which does not.
 *
 * A sealed value is `<data key id>.<base64url of nonce, ciphertext, tag>`.
 */
export class KeyRing {
  readonly #keys: ReadonlyMap<string, KeyObject>;
  readonly #current: string;

  private constructor(keys: ReadonlyMap<string, KeyObject>, current: string) {
    this.#keys = keys;
    this.#current = current;
  }

  /**
   * Opens the ring of a store; makes the first data key in a store that has none.
   * @param kek the key-encryption key, 32 bytes
   * @throws StoreError when the key-encryption key is not the one of this store; no key is ever made in its place
   */
  static async open(db: Database, kek: KeyObject, now: number): Promise<KeyRing> {
    const store = new DataKeyStore();
    const rows = await db.writer.write(async (tx) => {
      const found = await store.all(tx);
      if (found.length > 0) return found;
      const id = randomBytes(6).toString('hex');
      const first = { id, sealed: seal(kek, randomBytes(32), dataKeyPlace(id)), created_at: now };
      await store.insert(tx, first);
      return [first];
    });
    const keys = new Map(
      rows.map((row) => {
        const bytes = unseal(kek, row.sealed, dataKeyPlace(row.id));
        if (!bytes) {
          throw new StoreError(
            'the key-encryption key is not the one this store was made with: set LINARITE_KEK or LINARITE_KEK_FILE to that one',
          );
        }
        return [row.id, createSecretKey(bytes)] as const;
      }),
    );
    return new KeyRing(keys, rows.at(-1)?.id ?? '');
  }

  seal(bytes: Uint8Array, place: Place): string {
    return `${this.#current}.${seal(this.#key(this.#current), bytes, place)}`;
  }

  /** @throws StoreError when the value was made elsewhere, moved or damaged */
  unseal(sealed: string, place: Place): Buffer {
    const [id = '', text = ''] = sealed.split('.');
    const bytes = this.#keys.has(id) ? unseal(this.#key(id), text, place) : undefined;
    if (!bytes)
      throw new StoreError(`a sealed value in ${place.table} does not open: the store is damaged or was altered`);
    return bytes;
  }

  #key(id: string): KeyObject {
    const key = this.#keys.get(id);
    if (!key) throw new StoreError(`the data key ${id} is missing`);
    return key;
  }
}

const dataKeyPlace = (id: string): Place => ({ table: 'data_keys', column: 'sealed', row: id, version: 1 });

const associatedData = ({ table, column, row, version }: Place): Buffer =>
  Buffer.from(JSON.stringify([table, column, row, version]));

function seal(key: KeyObject, bytes: Uint8Array, place: Place): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES }).setAAD(associatedData(place));
  return Buffer.concat([nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]).toString('base64url');
}

function unseal(key: KeyObject, text: string, place: Place): Buffer | undefined {
  const sealed = Buffer.from(text, 'base64url');
  if (sealed.length < NONCE_BYTES + TAG_BYTES) return undefined;
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
      .setAAD(associatedData(place))
      .setAuthTag(sealed.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    return undefined; // the tag does not fit; which part of it is nobody's business
  }
}
