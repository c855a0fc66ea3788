/** What is smaller is not worth the call. */
const WORTH_BYTES = 4096;

/**
 * Gives the memory of a chunk that nobody needs any longer back at once, and leaves the chunk empty. V8 lets some 64 MiB of
 * such memory gather before it collects it, and a flood of uploads is that much in a moment. A chunk that shares its memory
 * with others is left alone.
 */
export function release(chunk: Buffer): void {
  const { buffer } = chunk;
  const isWhole = buffer instanceof ArrayBuffer && buffer.byteLength === chunk.length;
  if (isWhole && chunk.length >= WORTH_BYTES) buffer.transfer(0);
}
