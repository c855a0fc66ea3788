// Tokens that can be handed out again, encrypted: who gets hold of the file, or of a backup, has no token.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { readPrivate, writePrivate } from './private-file.mjs';

/** More than the ten minutes before the end at which the page's credential asks for the next token. */
const LEFT_MS = 15 * 60_000;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export class TokenCache {
  #file;
  #key;
  #now;
  /** `{ identityId, scopes, expiresOn, sealed }`, in milliseconds and base64. */
  #entries;

  /** @param key 32 bytes for AES-256-GCM */
  constructor(file, key, now = Date.now) {
    this.#file = file;
    this.#key = key;
    this.#now = now;
    this.#entries = readPrivate(file) ?? [];
  }

  /** @returns a token that is good for a while, as `{ token, expiresOn }`, or undefined */
  find(identityId, scopes) {
    const entry = this.#entries.find(
      (kept) => kept.identityId === identityId && String(kept.scopes) === String(scopes),
    );
    if (!entry || entry.expiresOn - this.#now() < LEFT_MS) return undefined;
    const token = this.#open(entry);
    return token && { token, expiresOn: entry.expiresOn };
  }

  keep(identityId, scopes, { token, expiresOn }) {
    const others = this.#entries.filter(
      (kept) =>
        kept.expiresOn > this.#now() && !(kept.identityId === identityId && String(kept.scopes) === String(scopes)),
    );
    const entry = { identityId, scopes, expiresOn };
    this.#save([...others, { ...entry, sealed: this.#seal(token, entry) }]);
  }

  drop(identityId) {
    this.#save(this.#entries.filter((kept) => kept.identityId !== identityId));
  }

  #seal(token, entry) {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce, { authTagLength: TAG_BYTES }).setAAD(boundTo(entry));
    return Buffer.concat([nonce, cipher.update(token, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString('base64');
  }

  /** @returns undefined for what was sealed with another key, for somebody else, or changed since */
  #open(entry) {
    const sealed = Buffer.from(entry.sealed, 'base64');
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, sealed.subarray(0, NONCE_BYTES), {
        authTagLength: TAG_BYTES,
      });
      decipher.setAAD(boundTo(entry)).setAuthTag(sealed.subarray(-TAG_BYTES));
      return decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
    } catch {
      return undefined;
    }
  }

  #save(entries) {
    this.#entries = entries;
    writePrivate(this.#file, entries);
  }
}

/** An entry that is moved to another identity, given more scopes or a longer life no longer opens. */
const boundTo = ({ identityId, scopes, expiresOn }) => Buffer.from(JSON.stringify([identityId, scopes, expiresOn]));
