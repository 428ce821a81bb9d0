/** RMSNorm from plain tensor ops: x / √(mean(x²) + ε) · weight over the last axis (Zhang & Sennrich, arXiv 1910.07467). */
import * as tf from '@tensorflow/tfjs-core';

export function rmsNormReference<T extends tf.Tensor>(x: T, weight: tf.Tensor1D, epsilon: number): T {
  return tf.tidy(() => {
    const meanSquare = tf.mean(tf.square(x), -1, true);
    return tf.mul(tf.mul(x, tf.rsqrt(tf.add(meanSquare, epsilon))), weight) as T;
  });
}
