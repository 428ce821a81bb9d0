/** How many rows of logits ops over the whole vocabulary hold at once. */
import * as tf from '@tensorflow/tfjs-core';
import { gpu } from '../backends/webgpu/device.ts';

/** Rows of the largest tile that a GPU computes products in. */
const gpuTileRows = 128;

/**
 * Logits of 2 MiB, which stay in the cache, but with a large vocabulary up to 64 MiB for 128 rows. A GPU gets whole tiles of rows up to 256 MiB,
 * because every chunk reads and writes the whole gradient of the output layer.
 */
export function defaultChunkRows(vocab: number): number {
  if (tf.getBackend() === 'webgpu' && !gpu().software) {
    return gpuTileRows * Math.max(1, Math.min(8, Math.floor(2 ** 26 / (vocab * gpuTileRows))));
  }
  return Math.max(1, Math.floor(2 ** 19 / vocab), Math.min(128, Math.floor(2 ** 24 / vocab)));
}
