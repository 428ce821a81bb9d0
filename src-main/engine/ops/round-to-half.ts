/** Rounding scales to binary16, as checkpoints store them, from plain tensor ops. */
import * as tf from '@tensorflow/tfjs-core';

/** 2¹³ + 1 splits a float32 number into its upper 11 bits and the rest (Veltkamp); every op rounds on its own, so nothing is reordered. */
const splitter = 2 ** 13 + 1;
const smallestNormal = 2 ** -14;
const smallest = 2 ** -24;
const largest = 65504;

/** Positive numbers to the nearest ones of binary16: never 0, and infinity above the largest. */
export function roundToHalf<T extends tf.Tensor>(x: T): T {
  return tf.tidy(() => {
    const shifted = tf.mul(x, splitter);
    const normal = tf.sub(shifted, tf.sub(shifted, x));
    const finite = tf.where(tf.greater(normal, largest), tf.fill(x.shape, Infinity), normal);
    const subnormal = tf.mul(tf.maximum(tf.round(tf.div(x, smallest)), 1), smallest);
    return tf.where(tf.less(x, smallestNormal), subnormal, finite) as T;
  });
}
