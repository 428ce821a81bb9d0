/** Output layer and policy loss in one expression, differentiated by the tape: the plain form the chunked op is held against. Needs `old`. */
import * as tf from '@tensorflow/tfjs-core';
import type { PolicyRows, PolicySettings } from './index.ts';

export function linearPolicyReference(
  hidden: tf.Tensor2D,
  head: tf.Tensor2D,
  targets: tf.Tensor1D,
  { weights, advantages, old, reference, importance }: PolicyRows,
  { temperature, clipLow, clipHigh, beta }: PolicySettings,
): tf.Scalar {
  return tf.tidy(() => {
    const logSoftmax = tf.logSoftmax(tf.div(tf.matMul(hidden, head, false, true), temperature));
    const logp = tf.sum(tf.mul(logSoftmax, tf.cast(tf.oneHot(targets, head.shape[0]), 'float32')), 1);
    const ratio = tf.exp(tf.sub(logp, old!));
    const held = clip(ratio, 1 - clipLow, 1 + clipHigh);
    let losses = tf.neg(smaller(tf.mul(ratio, advantages), tf.mul(held, advantages)));
    if (importance) losses = tf.mul(losses, importance);
    if (reference) {
      const distance = tf.sub(reference, logp);
      losses = tf.add(losses, tf.mul(beta, tf.sub(tf.sub(tf.exp(distance), distance), 1)));
    }
    return tf.sum(tf.mul(losses, weights)) as tf.Scalar;
  });
}

/** The gradient passes where the value lies inside, as torch's `clamp` has it. */
function clip(x: tf.Tensor, low: number, high: number): tf.Tensor {
  return tf.customGrad((...inputs) => {
    const [x, save] = inputs as unknown as [tf.Tensor, tf.GradSaveFunc];
    const value = tf.clipByValue(x, low, high);
    save([x, value]);
    return { value, gradFunc: (dy: tf.Tensor, [x, value]: tf.Tensor[]) => tf.mul(dy, tf.cast(tf.equal(x!, value!), 'float32')) };
  })(x);
}

/** The gradient passes to the smaller one. */
function smaller(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  return tf.customGrad((...inputs) => {
    const [a, b, save] = inputs as unknown as [tf.Tensor, tf.Tensor, tf.GradSaveFunc];
    save([a, b]);
    const gradFunc = (dy: tf.Tensor, [a, b]: tf.Tensor[]) => {
      const first = tf.cast(tf.lessEqual(a!, b!), 'float32');
      return [tf.mul(dy, first), tf.mul(dy, tf.sub(1, first))];
    };
    return { value: tf.minimum(a, b), gradFunc };
  })(a, b);
}
