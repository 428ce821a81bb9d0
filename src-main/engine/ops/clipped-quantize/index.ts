/**
 * Fake quantization of rows whose range is scaled by factors that are learnt: what FlatQuant trains its transforms and clip factors through.
 * Values are those of `quantizeTokens` (activations, keys, values) and of round-to-nearest with unrounded scales (groups of weights).
 * Source: FlatQuant (arXiv 2410.09426) and its code's order of operations.
 */
import * as tf from '@tensorflow/tfjs-core';
import { hasKernel, runKernel } from '../kernel.ts';
import { clippedQuantizeGradientReference, clippedQuantizeReference, gridOf } from './reference.ts';
import './wasm.ts';
import './webgpu.ts';

export interface ClippedGrid {
  bits: number;
  /** Symmetric: s = max|x| / (2^(b−1) − 1), codes from −2^(b−1). Otherwise the range, widened to 0, is divided into 2^b − 1 steps. */
  symmetric: boolean;
  /** The scale is rounded to binary16, as checkpoints store it, before zero point and codes follow: exactly what round-to-nearest gives. */
  halfScales?: boolean;
}

/** Factors of each row's largest and smallest value before the scale is taken; one for all rows [1] or one per row [rows]. */
export interface RangeFactors {
  high: tf.Tensor1D;
  low: tf.Tensor1D;
}

/** The numbers a grid's kernels work with: the range is divided by `divisor`; codes lie between `lowest` and `highest`. */
export interface GridLimits {
  symmetric: boolean;
  divisor: number;
  lowest: number;
  highest: number;
  halfScales?: boolean;
}

/**
 * Each row of the last axis to its nearest levels. Rounding passes gradients straight through; codes that are clipped after rounding stop
 * them; the scale passes them on to the row's extremes and to the factors. The zero point is a constant.
 * @param x [..., size]
 * @param factors null for the full range
 */
export function clippedQuantize<T extends tf.Tensor>(x: T, grid: ClippedGrid, factors: RangeFactors | null = null): T {
  const limits = limitsOf(grid);
  const attributes = attributesOf(limits);
  const onKernel = hasKernel('ClippedQuantize');
  const op = tf.customGrad((...inputs: (tf.Tensor | tf.GradSaveFunc)[]) => {
    const [values, high, low, save] = inputs as [tf.Tensor, tf.Tensor1D, tf.Tensor1D, tf.GradSaveFunc];
    if (!onKernel) {
      save([values, high, low]);
      const value = clippedQuantizeReference(values, { high, low }, limits);
      return { value, gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => clippedQuantizeGradientReference(dy, saved, limits) };
    }
    const [value, stats] = runKernel('ClippedQuantize', { x: values, high, low }, attributes) as [tf.Tensor, tf.Tensor];
    save([values, stats, high, low]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [x, stats, high, low] = saved as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
      const [dx, dHigh, dLow] = runKernel('ClippedQuantizeGrad', { x, dy, stats, high, low }, attributes) as [
        tf.Tensor,
        tf.Tensor,
        tf.Tensor,
      ];
      return [dx, sumRows(dHigh, high), sumRows(dLow, low)];
    };
    return { value, gradFunc };
  });
  return tf.tidy(() => {
    const { high, low } = factors ?? { high: tf.ones([1]), low: tf.ones([1]) };
    return op(x, high, low) as T;
  });
}

/**
 * The same on the full range without a gradient, with what it was rounded to.
 * @param x [rows, size]
 * @returns value [rows, size]; scale and zero [rows], where symmetric codes are signed and zero is 0
 */
export function roundToGrid(x: tf.Tensor2D, grid: ClippedGrid): { value: tf.Tensor2D; scale: tf.Tensor1D; zero: tf.Tensor1D } {
  const limits = limitsOf(grid);
  return tf.tidy(() => {
    const factors: RangeFactors = { high: tf.ones([1]), low: tf.ones([1]) };
    if (!hasKernel('ClippedQuantize')) {
      const { scale, zero } = gridOf(x, factors, limits);
      const flat = (column: tf.Tensor) => tf.reshape(column, [-1]) as tf.Tensor1D;
      return { value: clippedQuantizeReference(x, factors, limits), scale: flat(scale), zero: flat(zero) };
    }
    const [value, stats] = runKernel('ClippedQuantize', { x, ...factors }, attributesOf(limits)) as [tf.Tensor2D, tf.Tensor2D];
    const column = (index: number) => tf.reshape(tf.slice(stats, [0, index], [x.shape[0], 1]), [-1]) as tf.Tensor1D;
    return { value, scale: column(2), zero: column(3) };
  });
}

function attributesOf(limits: GridLimits): Record<string, number> {
  return { ...limits, symmetric: Number(limits.symmetric), halfScales: Number(limits.halfScales ?? false) };
}

function limitsOf({ bits, symmetric, halfScales = false }: ClippedGrid): GridLimits {
  const half = 2 ** (bits - 1);
  return symmetric
    ? { symmetric, divisor: half - 1, lowest: -half, highest: half - 1, halfScales }
    : { symmetric, divisor: 2 ** bits - 1, lowest: 0, highest: 2 ** bits - 1, halfScales };
}

/** A gradient per row [rows], summed where all rows share one factor. */
function sumRows(gradient: tf.Tensor, factor: tf.Tensor): tf.Tensor {
  return factor.size === gradient.size ? tf.reshape(gradient, factor.shape) : tf.reshape(tf.sum(gradient), factor.shape);
}
