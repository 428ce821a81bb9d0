/**
 * Fake quantization of activations, keys and values: dynamic, one scale (and zero point) per row, recomputed at every call.
 * Source: FlatQuant and QuaRot (asymmetric, clip factors), LLM.int8() (symmetric, outliers kept).
 */
import type * as tf from '@tensorflow/tfjs-core';
import { hasKernel, runKernel } from '../kernel.ts';
import { quantizeTokensReference } from './reference.ts';
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
 * Each row of the last axis to its nearest levels. A row of zeros stays 0. Not differentiable on backends with a kernel: training
 * quantizes through `clippedQuantize`.
 * @param x [..., size]
 */
export function quantizeTokens<T extends tf.Tensor>(x: T, quantizer: TokenQuantizer): T {
  if (!hasKernel('QuantizeTokens')) return quantizeTokensReference(x, quantizer);
  return runKernel('QuantizeTokens', { x }, { ...quantizer })[0] as T;
}
