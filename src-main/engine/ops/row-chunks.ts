/** How many rows of logits ops over the whole vocabulary hold at once. */

/** Logits of 2 MiB, which stay in the cache, but with a large vocabulary up to 64 MiB for 128 rows. */
export function defaultChunkRows(vocab: number): number {
  return Math.max(1, Math.floor(2 ** 19 / vocab), Math.min(128, Math.floor(2 ** 24 / vocab)));
}
