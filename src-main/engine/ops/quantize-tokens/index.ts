/**
 * Fake quantization of activations, keys and values: dynamic, one scale (and zero point) per row, recomputed at every call.
 * Source: FlatQuant and QuaRot (asymmetric, clip factors), LLM.int8() (symmetric, outliers kept).
 */
import * as tf from '@tensorflow/tfjs-core';
import { hasKernel, runKernel } from '../kernel.ts';
import { quantizeTokensGradientReference, quantizeTokensReference } from './reference.ts';
import './wasm.ts';
import './webgpu.ts';

/** How the values of one token are coded. */
export interface TokenQuantizer {
  bits: number;
  /** Symmetric: s = max|x| / (2^(b−1) − 1). Otherwise the range, widened to 0, is divided into 2^b − 1 steps. */
  symmetric: boolean;
  /** Factors of the largest and the smallest value before scales are taken; both 1 for the full range. */
  clipHigh: number;
  clipLow: number;
  /** Values of at least this magnitude stay as they are and do not count towards the range; null for none. */
  outlierThreshold: number | null;
}

/**
 * Each row of the last axis to its nearest levels. A row of zeros stays 0; infinities and NaN stay what they are where a kernel computes.
 * The gradient passes straight through where the code was not clipped, and at outliers; scales and zero points are constants (learnt
 * ranges: `clippedQuantize`).
 * @param x [..., size]
 */
export function quantizeTokens<T extends tf.Tensor>(x: T, quantizer: TokenQuantizer): T {
  const op = tf.customGrad((...inputs: (tf.Tensor | tf.GradSaveFunc)[]) => {
    const [values, save] = inputs as [tf.Tensor, tf.GradSaveFunc];
    save([values]);
    const onKernel = hasKernel('QuantizeTokens');
    const value = onKernel ? runKernel('QuantizeTokens', { x: values }, { ...quantizer })[0]! : quantizeTokensReference(values, quantizer);
    return { value, gradFunc: (dy: tf.Tensor, [saved]: tf.Tensor[]) => gradientOf(dy, saved!, quantizer) };
  });
  return op(x) as T;
}

function gradientOf(dy: tf.Tensor, x: tf.Tensor, quantizer: TokenQuantizer): tf.Tensor {
  if (!hasKernel('QuantizeTokensGrad')) return quantizeTokensGradientReference(dy, x, quantizer);
  return runKernel('QuantizeTokensGrad', { x, dy }, { ...quantizer })[0]!;
}
