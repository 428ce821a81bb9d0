/**
 * Rounding a weight matrix to a grid and straight back, with a straight-through gradient: what training with quantization in the loop sees.
 * Three grids (names as in GPTQ's and FlatQuant's code): `symmetric` has signed codes and no zero point, `shifted` is symmetric with codes
 * from 0 and the zero in the middle, `asymmetric` spans the values' range widened to 0.
 */

import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { hasKernel, runKernel } from '../kernel.ts';
import { fakeQuantizeReference } from './reference.ts';
import './wasm.ts';
import './webgpu.ts';

export interface Grid {
  bits: number;
  form: 'symmetric' | 'shifted' | 'asymmetric';
  /** Consecutive columns of a row that share a scale; null for the whole row. Must divide the columns. */
  groupSize: number | null;
}

/** Scale and zero point per group, each [rows, groups]. */
export interface GridParameters {
  scale: tf.Tensor2D;
  zeroPoint: tf.Tensor2D;
}

/** Smallest and largest code. */
export function codeRange({ bits, form }: Grid): [lowest: number, highest: number] {
  return form === 'symmetric' ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
}

/** Scales from the largest magnitude (or range) of each group. A group of zeros gets a range of ±1. Not differentiable. */
export function gridParameters(weight: tf.Tensor2D, grid: Grid): GridParameters {
  const groups = groupsOf(weight, grid);
  if (hasKernel('GridParameters')) {
    const { form, bits } = grid;
    const [scale, zeroPoint] = runKernel('GridParameters', { weight }, { form, groups, bits }) as [tf.Tensor2D, tf.Tensor2D];
    return { scale, zeroPoint };
  }
  return tf.tidy(() => {
    const values = tf.reshape(weight, [weight.shape[0], groups, -1]);
    const top = tf.maximum(tf.max(values, 2), 0);
    const bottom = tf.minimum(tf.min(values, 2), 0);
    const empty = tf.equal(tf.sub(top, bottom), 0);
    const high = tf.where(empty, tf.onesLike(top), top);
    const low = tf.where(empty, tf.neg(tf.onesLike(top)), bottom);
    const largest = tf.maximum(high, tf.neg(low));
    const steps = 2 ** grid.bits - 1;
    if (grid.form === 'symmetric') return { scale: tf.div(largest, 2 ** (grid.bits - 1) - 1), zeroPoint: tf.zerosLike(largest) };
    if (grid.form === 'shifted')
      return { scale: tf.div(tf.mul(largest, 2), steps), zeroPoint: tf.fill(largest.shape, 2 ** (grid.bits - 1)) };
    const scale = tf.div(tf.sub(high, low), steps);
    return { scale, zeroPoint: tf.round(tf.div(tf.neg(low), scale)) };
  }) as GridParameters;
}

/**
 * scale · (clip(round(w / scale) + zeroPoint) − zeroPoint). The gradient passes where the unrounded code lies within the code range and is 0
 * elsewhere (Reasoning-QAT, arXiv 2601.14888); scales are constants.
 * @param weight [rows, columns]
 * @param options.parameters frozen scales and zero points; taken from the live weights when left out
 */
export function fakeQuantize(weight: tf.Tensor2D, grid: Grid, options: { parameters?: GridParameters } = {}): tf.Tensor2D {
  groupsOf(weight, grid);
  const [lowest, highest] = codeRange(grid);
  const op = tf.customGrad((...inputs: (tf.Tensor | tf.GradSaveFunc)[]) => {
    const [w, save] = inputs as [tf.Tensor2D, tf.GradSaveFunc];
    const parameters = options.parameters ?? gridParameters(w, grid);
    const { scale, zeroPoint } = parameters;
    const value = hasKernel('FakeQuantize')
      ? runKernel('FakeQuantize', { weight: w, scale, zeroPoint }, { lowest, highest })[0]!
      : fakeQuantizeReference(w, scale, zeroPoint, [lowest, highest]).value;
    save([w, scale, zeroPoint]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [weight, scale, zeroPoint] = saved as [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D];
      return straightThrough(dy, weight, grid, { scale, zeroPoint });
    };
    return { value, gradFunc };
  });
  return op(weight) as tf.Tensor2D;
}

/** dy where the unrounded code of the weight lies within the code range, 0 elsewhere. */
export function straightThrough(dy: tf.Tensor, weight: tf.Tensor2D, grid: Grid, { scale, zeroPoint }: GridParameters): tf.Tensor2D {
  const [lowest, highest] = codeRange(grid);
  if (hasKernel('FakeQuantizeGrad'))
    return runKernel('FakeQuantizeGrad', { weight, scale, zeroPoint, dy }, { lowest, highest })[0] as tf.Tensor2D;
  return tf.tidy(() => tf.mul(dy, fakeQuantizeReference(weight, scale, zeroPoint, [lowest, highest]).inside) as tf.Tensor2D);
}

function groupsOf(weight: tf.Tensor2D, { groupSize, bits }: Grid): number {
  const columns = weight.shape[1];
  const size = groupSize ?? columns;
  if (columns % size !== 0) {
    throw new RoundoffError(
      'recipe-invalid',
      `group size ${size} does not divide the ${columns} inputs of a weight`,
      'Choose a group size that divides it.',
    );
  }
  if (!Number.isInteger(bits) || bits < 2 || bits > 8) {
    throw new RoundoffError('recipe-invalid', `${bits} bits per weight are not supported`, 'Choose 2 to 8 bits.');
  }
  return columns / size;
}
