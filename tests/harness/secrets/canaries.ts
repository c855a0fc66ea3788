import type { KeyObject } from 'node:crypto';

/** Where a secret was found, and in which form. */
export interface Hit {
  readonly where: string;
  readonly secret: string;
  readonly form: string;
}

interface Needle {
  readonly bytes: Buffer;
  readonly secret: string;
  readonly form: string;
}

/** A piece of a secret that is looked for: enough of it that nothing else has it, little enough that a part is found, too. */
const PIECE_BYTES = 12;
const MOST_PIECES = 8;

/**
 * Secrets that must turn up nowhere, looked for as they are, in hex and in both alphabets of base64, whatever comes before
 * them; whole or cut.
 */
export class Canaries {
  readonly #needles = new Map<number, Needle[]>();
  readonly #begins = new Uint8Array(2 ** 16);
  readonly #names = new Set<string>();

  /** How many secrets are looked for. */
  get count(): number {
    return this.#names.size;
  }

  /** @param secret bytes, or a text that is itself the secret */
  add(name: string, secret: Buffer | string): void {
    const bytes = Buffer.from(secret);
    if (bytes.length < PIECE_BYTES) throw new Error(`${name} is too short to look for`);
    if (this.#names.has(name)) return;
    this.#names.add(name);
    for (const piece of piecesOf(bytes)) {
      this.#addNeedle(name, 'plain', piece);
      this.#addNeedle(name, 'hex', Buffer.from(piece.toString('hex')));
      this.#addNeedle(name, 'HEX', Buffer.from(piece.toString('hex').toUpperCase()));
      for (const alphabet of ['base64', 'base64url'] as const)
        for (const before of [0, 1, 2]) this.#addNeedle(name, alphabet, Buffer.from(inner(piece, before, alphabet)));
    }
  }

  /** A private key, by the numbers that make it one: they stand in DER and PEM as they are. */
  addPrivateKey(name: string, key: KeyObject): void {
    const { d, p, q, dp, dq, qi } = key.export({ format: 'jwk' });
    for (const [member, value] of Object.entries({ d, p, q, dp, dq, qi }))
      if (value !== undefined) this.add(`${name} ${member}`, Buffer.from(value, 'base64url'));
  }

  /** Every secret that is in the bytes, each form of it once. */
  in(where: string, bytes: Buffer | string): Hit[] {
    const haystack = Buffer.from(bytes);
    const found = new Map<string, Hit>();
    for (let at = 0; at + 4 <= haystack.length; at += 1) {
      if (this.#begins[haystack.readUInt16BE(at)] === 0) continue;
      for (const { bytes: needle, secret, form } of this.#needles.get(haystack.readUInt32BE(at)) ?? [])
        if (haystack.compare(needle, 0, needle.length, at, Math.min(at + needle.length, haystack.length)) === 0)
          found.set(`${secret} ${form}`, { where, secret, form });
    }
    return [...found.values()];
  }

  #addNeedle(secret: string, form: string, bytes: Buffer): void {
    this.#begins[bytes.readUInt16BE(0)] = 1;
    const key = bytes.readUInt32BE(0);
    this.#needles.set(key, [...(this.#needles.get(key) ?? []), { bytes, secret, form }]);
  }
}

/** The beginning, the end and some of what is between. */
function piecesOf(bytes: Buffer): Buffer[] {
  const last = bytes.length - PIECE_BYTES;
  const count = Math.min(MOST_PIECES, 1 + Math.ceil(last / PIECE_BYTES));
  return Array.from({ length: count }, (_, index) => {
    const at = count === 1 ? 0 : Math.round((last * index) / (count - 1));
    return bytes.subarray(at, at + PIECE_BYTES);
  });
}

/** The characters of base64 that depend on the piece alone, when `before` bytes of a group come before it. */
function inner(piece: Buffer, before: number, alphabet: 'base64' | 'base64url'): string {
  const text = Buffer.concat([Buffer.alloc(before), piece])
    .toString(alphabet)
    .replace(/=+$/, '');
  const bits = (before + piece.length) * 8;
  return text.slice(Math.ceil((before * 8) / 6), Math.floor(bits / 6));
}
