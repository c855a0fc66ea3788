// Which identity belongs to whom. Identities cannot be listed with the SDK, so losing this file loses them.
import { readPrivate, writePrivate } from './private-file.mjs';

export class Identities {
  #file;
  #create;
  /** Identity id by name. */
  #ids;

  /** @param create makes an identity and gives its id */
  constructor(file, create) {
    this.#file = file;
    this.#create = create;
    this.#ids = new Map(Object.entries(readPrivate(file) ?? {}));
  }

  /** @returns the id, or undefined when there is none yet */
  find(name) {
    return this.#ids.get(name);
  }

  /** Kept before anybody uses it: an identity that nobody remembers cannot be revoked. */
  async findOrCreate(name) {
    const id = this.#ids.get(name) ?? (await this.#create());
    if (!this.#ids.has(name)) {
      this.#ids.set(name, id);
      this.#save();
    }
    return id;
  }

  forget(name) {
    this.#ids.delete(name);
    this.#save();
  }

  #save() {
    writePrivate(this.#file, Object.fromEntries(this.#ids));
  }
}
