/** Output layer and cross-entropy in one expression, with all logits at once: the plain form the chunked op is held against. */
import * as tf from '@tensorflow/tfjs-core';

export function linearCrossEntropyReference(hidden: tf.Tensor2D, weight: tf.Tensor2D, targets: tf.Tensor1D, mask: tf.Tensor1D): tf.Scalar {
  return tf.tidy(() => {
    const logits = tf.matMul(hidden, weight, false, true);
    const picked = tf.sum(tf.mul(tf.logSoftmax(logits), tf.cast(tf.oneHot(targets, weight.shape[0]), 'float32')), -1);
    return tf.neg(tf.div(tf.sum(tf.mul(picked, mask)), tf.sum(mask))) as tf.Scalar;
  });
}
