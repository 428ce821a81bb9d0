/** Clamping of rows to shares of their range, and its gradients, from plain tensor ops. */
import * as tf from '@tensorflow/tfjs-core';
import { spreadOver } from '../clipped-quantize/reference.ts';

export function clampRowsReference(x: tf.Tensor2D, high: tf.Tensor1D, low: tf.Tensor1D): tf.Tensor2D {
  return tf.tidy(() => {
    const { top, bottom } = boundsOf(x, high, low);
    return tf.minimum(tf.maximum(x, bottom), top) as tf.Tensor2D;
  });
}

/** @param saved x, high, low @returns their gradients */
export function clampRowsGradientReference(dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] {
  const [x, high, low] = saved as [tf.Tensor2D, tf.Tensor1D, tf.Tensor1D];
  return tf.tidy(() => {
    const { top, bottom, largest, smallest } = boundsOf(x, high, low);
    const above = tf.cast(tf.greater(x, top), 'float32');
    const below = tf.mul(tf.cast(tf.less(x, bottom), 'float32'), tf.sub(1, above));
    const dTop = tf.sum(tf.mul(dy, above), 1, true);
    const dBottom = tf.sum(tf.mul(dy, below), 1, true);
    const dx = tf.addN([
      tf.mul(dy, tf.sub(tf.sub(1, above), below)),
      spreadOver(tf.equal(x, largest), tf.mul(dTop, tf.reshape(high, [-1, 1]))),
      spreadOver(tf.equal(x, smallest), tf.mul(dBottom, tf.reshape(low, [-1, 1]))),
    ]);
    return [dx, tf.reshape(tf.mul(dTop, largest), high.shape), tf.reshape(tf.mul(dBottom, smallest), low.shape)];
  });
}

function boundsOf(x: tf.Tensor2D, high: tf.Tensor1D, low: tf.Tensor1D) {
  const largest = tf.max(x, 1, true);
  const smallest = tf.min(x, 1, true);
  return { largest, smallest, top: tf.mul(largest, tf.reshape(high, [-1, 1])), bottom: tf.mul(smallest, tf.reshape(low, [-1, 1])) };
}
