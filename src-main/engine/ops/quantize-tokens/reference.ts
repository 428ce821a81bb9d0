/** Per-row fake quantization and its gradient from plain tensor ops. */
import * as tf from '@tensorflow/tfjs-core';
import type { TokenQuantizer } from './index.ts';

/** @param x [..., size] */
export function quantizeTokensReference<T extends tf.Tensor>(x: T, quantizer: TokenQuantizer): T {
  return tf.tidy(() => {
    const { clipped, zero, scale, isOutlier } = codesOf(x, quantizer);
    const value = tf.mul(tf.sub(clipped, zero), scale);
    return isOutlier ? tf.where(isOutlier, x, value) : value;
  }) as T;
}

/** dy where the code was not clipped, and at outliers; 0 elsewhere. */
export function quantizeTokensGradientReference(dy: tf.Tensor, x: tf.Tensor, quantizer: TokenQuantizer): tf.Tensor {
  return tf.tidy(() => {
    const { codes, clipped, isOutlier } = codesOf(x, quantizer);
    const inside = tf.equal(codes, clipped);
    return tf.where(isOutlier ? tf.logicalOr(inside, isOutlier) : inside, dy, tf.zerosLike(dy));
  });
}

function codesOf(x: tf.Tensor, { bits, symmetric, clipHigh, clipLow, outlierThreshold }: TokenQuantizer) {
  const axis = x.rank - 1;
  const isOutlier = outlierThreshold === null ? null : tf.greaterEqual(tf.abs(x), outlierThreshold);
  const kept = isOutlier ? tf.where(isOutlier, tf.zerosLike(x), x) : x;
  const high = tf.mul(tf.maximum(tf.max(kept, axis, true), 0), clipHigh);
  const low = tf.mul(tf.minimum(tf.min(kept, axis, true), 0), clipLow);
  const steps = 2 ** bits - 1;
  const half = 2 ** (bits - 1);
  const largest = tf.maximum(high, tf.neg(low));
  const width = symmetric ? tf.div(largest, half - 1) : tf.div(tf.sub(high, low), steps);
  const scale = tf.where(tf.greater(width, 0), width, tf.onesLike(width));
  const zero = symmetric ? tf.zerosLike(scale) : tf.round(tf.div(tf.neg(low), scale));
  const lowest = symmetric ? -half : 0;
  const codes = tf.add(tf.round(tf.div(kept, scale)), zero);
  return { codes, clipped: tf.clipByValue(codes, lowest, lowest + steps), zero, scale, isOutlier };
}
