/**
 * Fake quantization of activations, keys and values: dynamic, one scale (and zero point) per row, recomputed at every call.
 * Source: FlatQuant and QuaRot (asymmetric, clip factors), LLM.int8() (symmetric, outliers kept).
 */
import type * as tf from '@tensorflow/tfjs-core';
import { quantizeTokensReference } from './reference.ts';

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

/** Each row of the last axis to its nearest levels. A row of zeros stays 0. @param x [..., size] */
export function quantizeTokens<T extends tf.Tensor>(x: T, quantizer: TokenQuantizer): T {
  return quantizeTokensReference(x, quantizer);
}
