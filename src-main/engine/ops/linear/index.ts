/** A dense linear layer with weights as Hugging Face stores them. */
import type * as tf from '@tensorflow/tfjs-core';
import { hasKernel, runKernel } from '../kernel.ts';
import { linearReference } from './reference.ts';
import './wasm.ts';
import './webgpu.ts';

/**
 * @param x [..., in]
 * @param weight [out, in]
 * @param bias [out] or null
 * @returns x · weightᵀ + bias, [..., out]; differentiable in all three.
 */
export function linear<T extends tf.Tensor>(x: T, weight: tf.Tensor2D, bias: tf.Tensor1D | null = null): T {
  if (hasKernel('Linear')) return runKernel('Linear', bias ? { x, weight, bias } : { x, weight })[0] as T;
  return linearReference(x, weight, bias);
}
