/** RMSNorm over the last axis, on whatever backend is active. */
import type * as tf from '@tensorflow/tfjs-core';
import { rmsNormReference } from './reference.ts';

/**
 * @param x [..., size]
 * @param weight [size]
 * @returns x / √(mean(x²) + epsilon) · weight, shaped like `x`; differentiable in both.
 */
export function rmsNorm<T extends tf.Tensor>(x: T, weight: tf.Tensor1D, { epsilon = 1e-6 }: { epsilon?: number } = {}): T {
  return rmsNormReference(x, weight, epsilon);
}
