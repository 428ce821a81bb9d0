/** A linear layer from plain tensor ops. */
import * as tf from '@tensorflow/tfjs-core';

export function linearReference<T extends tf.Tensor>(x: T, weight: tf.Tensor2D, bias: tf.Tensor1D | null): T {
  return tf.tidy(() => {
    const [outFeatures, inFeatures] = weight.shape;
    const product = tf.matMul(tf.reshape(x, [-1, inFeatures]) as tf.Tensor2D, weight, false, true);
    const shifted = bias ? tf.add(product, bias) : product;
    return tf.reshape(shifted, [...x.shape.slice(0, -1), outFeatures]) as tf.Tensor as T;
  });
}
