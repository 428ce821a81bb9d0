/** The norm over all gradients together, and the factor that clips it. */
import * as tf from '@tensorflow/tfjs-core';
import { globalNormInHeap } from './wasm.ts';
import { globalNormOnGpu } from './webgpu.ts';

/** √Σ‖g‖² over all gradients. */
export function globalNorm(gradients: tf.Tensor[]): tf.Scalar {
  if (tf.getBackend() === 'wasm') return globalNormInHeap(gradients);
  if (tf.getBackend() === 'webgpu') return tf.tidy(() => globalNormOnGpu(gradients).norm);
  // Added one by one: webgpu's addN binds a buffer per term and fails beyond the device's limit.
  return tf.tidy(() => {
    const squares = gradients.map((gradient) => tf.sum(tf.square(gradient)));
    return tf.sqrt(squares.reduce((sum, square) => tf.add(sum, square))) as tf.Scalar;
  });
}

/**
 * Clipping without touching the gradients: pass `scale` to `adamW`. As in torch, scale = min(1, maxNorm / (norm + 1e-6)).
 * @returns scalars on the device; read `norm` with `await norm.data()`.
 */
export function clipByGlobalNorm(gradients: tf.Tensor[], maxNorm: number): { norm: tf.Scalar; scale: tf.Scalar } {
  if (tf.getBackend() === 'webgpu') return globalNormOnGpu(gradients, maxNorm);
  return tf.tidy(() => {
    const norm = globalNorm(gradients);
    return { norm, scale: tf.minimum(1, tf.div(maxNorm, tf.add(norm, 1e-6))) as tf.Scalar };
  });
}
