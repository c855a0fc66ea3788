const FIRST_CAPACITY = 64;
/** With the load below, an entry takes 28 to 36 bytes. */
const GROWTH = 1.25;
const LOAD = 0.85;
const WORDS = 4;

/**
 * From 128-bit keys to log positions, or to other numbers above 0 that only rise, in typed arrays: 24 bytes a slot, where a Map with text keys takes some 90 an
 * entry and makes the garbage collector walk them all. Entries
 * are added or raised, and dropped only when the table makes room.
 */
export class PositionTable {
  #capacity = FIRST_CAPACITY;
  #keys = new Uint32Array(FIRST_CAPACITY * WORDS);
  /** 0 is an empty slot: positions begin at 1. */
  #positions = new Float64Array(FIRST_CAPACITY);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#keys.byteLength + this.#positions.byteLength;
  }

  /** Memory while one more key is taken in: growing needs the old arrays and the new ones. */
  get bytesForOneMore(): number {
    return this.isFull ? this.bytes * (1 + GROWTH) : this.bytes;
  }

  /** Whether one more key would make it grow. */
  get isFull(): boolean {
    return this.#size + 1 > this.#capacity * LOAD;
  }

  /** The highest position of any key, or 0. */
  get highest(): number {
    return this.#positions.reduce((one, other) => Math.max(one, other), 0);
  }

  /** The position of a key, or 0. */
  get(key: Uint32Array): number {
    return this.#positions[this.#slotOf(key)] ?? 0;
  }

  /** Sets the position of a key, unless it has a higher one already. */
  raise(key: Uint32Array, position: number): void {
    let slot = this.#slotOf(key);
    if (this.#positions[slot] === 0) {
      if (this.isFull) {
        this.reserve();
        slot = this.#slotOf(key);
      }
      this.#keys.set(key, slot * WORDS);
      this.#size += 1;
    }
    if (position > (this.#positions[slot] ?? 0)) this.#positions[slot] = position;
  }

  #slotOf(key: Uint32Array): number {
    return this.#slot(key[0] ?? 0, key[1] ?? 0, key[2] ?? 0, key[3] ?? 0);
  }

  /** The slot that holds the key of these words, or the empty one where it would go. */
  #slot(a: number, b: number, c: number, d: number): number {
    const keys = this.#keys;
    let slot = Math.floor((a / 2 ** 32) * this.#capacity); // the keys are hashes: their first word is as good as random
    while (this.#positions[slot] !== 0) {
      const at = slot * WORDS;
      if (keys[at] === a && keys[at + 1] === b && keys[at + 2] === c && keys[at + 3] === d) return slot;
      slot = slot + 1 === this.#capacity ? 0 : slot + 1;
    }
    return slot;
  }

  /** Drops the entries up to a position, and leaves a quarter more room than the others take. */
  reserve(position = 0): void {
    const { 0: keys, 1: positions } = [this.#keys, this.#positions] as const;
    if (position > 0) this.#size = positions.reduce((count, one) => count + Number(one > position), 0);
    this.#capacity = Math.max(FIRST_CAPACITY, Math.ceil((this.#size / LOAD) * GROWTH));
    this.#keys = new Uint32Array(this.#capacity * WORDS);
    this.#positions = new Float64Array(this.#capacity);
    for (let old = 0; old < positions.length; old += 1) {
      const kept = positions[old] ?? 0;
      if (kept <= position) continue;
      const from = old * WORDS;
      const slot = this.#slot(keys[from] ?? 0, keys[from + 1] ?? 0, keys[from + 2] ?? 0, keys[from + 3] ?? 0);
      for (let word = 0; word < WORDS; word += 1) this.#keys[slot * WORDS + word] = keys[from + word] ?? 0;
      this.#positions[slot] = kept;
    }
    release(keys, positions);
  }

  /** Gives its memory back at once; it must not be used any more. */
  discard(): void {
    release(this.#keys, this.#positions);
  }
}

/** Left to the garbage collector, hundreds of megabytes would stay beside those that take their place. */
const release = (...arrays: readonly (Uint32Array<ArrayBuffer> | Float64Array<ArrayBuffer>)[]): void => {
  for (const { buffer } of arrays) buffer.transfer(0);
};
