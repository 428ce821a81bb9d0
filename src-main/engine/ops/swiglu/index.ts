/** The gated activation of the MLP. */
import type * as tf from '@tensorflow/tfjs-core';
import { swigluReference } from './reference.ts';

/** silu(gate) · up, elementwise; both of one shape. Differentiable in both. */
export function swiglu<T extends tf.Tensor>(gate: T, up: T): T {
  return swigluReference(gate, up);
}
