/** The norm over all gradients together, and the factor that clips it. */
import * as tf from '@tensorflow/tfjs-core';
import { globalNormInHeap } from './wasm.ts';

/** √Σ‖g‖² over all gradients. */
export function globalNorm(gradients: tf.Tensor[]): tf.Scalar {
  if (tf.getBackend() === 'wasm') return globalNormInHeap(gradients);
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
  return tf.tidy(() => {
    const norm = globalNorm(gradients);
    return { norm, scale: tf.minimum(1, tf.div(maxNorm, tf.add(norm, 1e-6))) as tf.Scalar };
  });
}
