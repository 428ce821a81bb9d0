/** The gated activation of the MLP. */
import type * as tf from '@tensorflow/tfjs-core';
import { hasKernel, runKernel } from '../kernel.ts';
import { swigluReference } from './reference.ts';
import './gradient.ts';
import './wasm.ts';
import './webgpu.ts';

/** silu(gate) · up, elementwise; both of one shape. Differentiable in both. */
export function swiglu<T extends tf.Tensor>(gate: T, up: T): T {
  if (hasKernel('Swiglu')) return runKernel('Swiglu', { gate, up })[0] as T;
  return swigluReference(gate, up);
}
