/** Dropout whose pattern follows from a seed alone: the same in the backward pass, in a forward pass made again, and on every backend. */
import * as tf from '@tensorflow/tfjs-core';
import { hasKernel, runKernel } from '../kernel.ts';
import { linear } from '../linear/index.ts';
import { dropoutMask } from './reference.ts';
import './wasm.ts';
import './webgpu.ts';

export interface DropoutSettings {
  /** Share of the elements that become 0; the others are divided by 1 − rate. */
  rate: number;
  /** 0 … 2³² − 1 */
  seed: number;
}

/** Differentiable in x. */
export function dropout<T extends tf.Tensor>(x: T, settings: DropoutSettings): T {
  if (settings.rate === 0) return x;
  const op = tf.customGrad((...inputs: (tf.Tensor | tf.GradSaveFunc)[]) => ({
    value: drop(inputs[0] as tf.Tensor, settings),
    gradFunc: (dy: tf.Tensor) => drop(dy, settings),
  }));
  return tf.tidy(() => op(x) as T);
}

/**
 * dropout(x) · weightᵀ, of which only x is kept for the backward pass: the same elements are dropped once more then.
 * @param x [rows, in]
 * @param weight [out, in]
 */
export function dropoutLinear(x: tf.Tensor2D, weight: tf.Tensor2D, settings: DropoutSettings): tf.Tensor2D {
  if (settings.rate === 0) return linear(x, weight);
  const op = tf.customGrad((...inputs: (tf.Tensor | tf.GradSaveFunc)[]) => {
    const [values, w, save] = inputs as [tf.Tensor2D, tf.Tensor2D, tf.GradSaveFunc];
    save([values, w]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [values, w] = saved as [tf.Tensor2D, tf.Tensor2D];
      return [
        tf.tidy(() => drop(tf.matMul(dy as tf.Tensor2D, w), settings)),
        tf.tidy(() => tf.matMul(dy as tf.Tensor2D, drop(values, settings), true)),
      ];
    };
    return { value: linear(drop(values, settings), w), gradFunc };
  });
  return tf.tidy(() => op(x, weight) as tf.Tensor2D);
}

function drop<T extends tf.Tensor>(x: T, { rate, seed }: DropoutSettings): T {
  const attributes = { seed, threshold: Math.floor(rate * 2 ** 32), factor: 1 / (1 - rate) };
  if (hasKernel('SeededDropout')) return runKernel('SeededDropout', { x }, attributes)[0] as T;
  return tf.mul(x, tf.tensor(dropoutMask(x.size, attributes), x.shape)) as T;
}
