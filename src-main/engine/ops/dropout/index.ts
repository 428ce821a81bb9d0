/** Dropout whose pattern follows from a seed alone: the same in the backward pass, in a forward pass made again, and on every backend. */
import * as tf from '@tensorflow/tfjs-core';
import { hasKernel, runKernel } from '../kernel.ts';
import { dropoutMask } from './reference.ts';
import './wasm.ts';

export interface DropoutSettings {
  /** Share of the elements that become 0; the others are divided by 1 − rate. */
  rate: number;
  /** 0 … 2³² − 1 */
  seed: number;
}

/** Differentiable in x. */
export function dropout<T extends tf.Tensor>(x: T, { rate, seed }: DropoutSettings): T {
  if (rate === 0) return x;
  const attributes = { seed, threshold: Math.floor(rate * 2 ** 32), factor: 1 / (1 - rate) };
  const drop = (values: tf.Tensor) =>
    hasKernel('SeededDropout')
      ? runKernel('SeededDropout', { x: values }, attributes)[0]!
      : tf.mul(values, tf.tensor(dropoutMask(values.size, attributes), values.shape));
  const op = tf.customGrad((...inputs: (tf.Tensor | tf.GradSaveFunc)[]) => ({
    value: drop(inputs[0] as tf.Tensor),
    gradFunc: (dy: tf.Tensor) => drop(dy),
  }));
  return tf.tidy(() => op(x) as T);
}
