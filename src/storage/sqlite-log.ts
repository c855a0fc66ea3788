/** Layout of a write-ahead log (sqlite.org/fileformat2.html, section 4), in bytes. */
const HEADER = 32;
const FRAME_HEADER = 24;
const MAGIC = 0x377f0682;

/** The running checksum of the format: two sums that each word of 32 bits goes into. */
type Checksum = readonly [number, number];

/**
 * Tells a log that was damaged from one whose last transaction did not reach the disk. SQLite takes either for the end of
 * the log, and goes on without what comes after. Every transaction is synced before the next one begins, so after a power
 * cut no other transaction ends behind what is not whole.
 */
export function isLogDamaged(bytes: Buffer): boolean {
  if (bytes.length < HEADER || bytes.subarray(0, HEADER).every((byte) => byte === 0)) return false; // never synced
  const bigEndian = bytes.readUInt32BE(0) === MAGIC + 1;
  const word = (at: number): number => bytes.readUInt32BE(at);
  const sumAt = (at: number): Checksum => [word(at), word(at + 4)];
  const add = (sum: Checksum, from: number, to: number): Checksum => checksum(bytes, bigEndian, sum, from, to);
  const pageSize = word(8);
  const isHeaderWhole = (bigEndian || word(0) === MAGIC) && equal(add([0, 0], 0, 24), sumAt(24));
  if (!isHeaderWhole) return true; // within one sector, and synced before anything follows it

  let before = sumAt(24);
  let isBroken = false;
  let commits = 0;
  for (let at = HEADER; at + FRAME_HEADER + pageSize <= bytes.length; at += FRAME_HEADER + pageSize) {
    const isOfThisLog = word(at + 8) === word(16) && word(at + 12) === word(20);
    if (!isBroken) {
      const page = at + FRAME_HEADER;
      const sum = add(add(before, at, at + 8), page, page + pageSize);
      before = sumAt(at + 16);
      isBroken = !isOfThisLog || !equal(sum, before);
    }
    // The last frame of a transaction says how large the database is then.
    if (isBroken && isOfThisLog && word(at + 4) !== 0) commits += 1;
  }
  return commits > 1; // one is that of the transaction that did not reach the disk
}

function checksum(bytes: Buffer, bigEndian: boolean, [one, two]: Checksum, from: number, to: number): Checksum {
  let [first, second] = [one, two];
  for (let at = from; at < to; at += 8) {
    first = (first + (bigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at)) + second) >>> 0;
    second = (second + (bigEndian ? bytes.readUInt32BE(at + 4) : bytes.readUInt32LE(at + 4)) + first) >>> 0;
  }
  return [first, second];
}

const equal = (one: Checksum, other: Checksum): boolean => one[0] === other[0] && one[1] === other[1];
