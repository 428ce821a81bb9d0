/** RMSNorm over the last axis, on whatever backend is active. */
import type * as tf from '@tensorflow/tfjs-core';
import { hasKernel, runKernel } from '../kernel.ts';
import { rmsNormReference } from './reference.ts';
import './gradient.ts';
import './wasm.ts';
import './webgpu.ts';

/**
 * @param x [..., size]
 * @param weight [size]
 * @returns x / √(mean(x²) + epsilon) · weight, shaped like `x`; differentiable in both.
 */
export function rmsNorm<T extends tf.Tensor>(x: T, weight: tf.Tensor1D, { epsilon = 1e-6 }: { epsilon?: number } = {}): T {
  if (hasKernel('RmsNorm')) return runKernel('RmsNorm', { x, weight }, { epsilon })[0] as T;
  return rmsNormReference(x, weight, epsilon);
}
