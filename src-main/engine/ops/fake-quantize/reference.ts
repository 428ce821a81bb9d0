/** Fake quantization from plain tensor ops, with the mask its straight-through gradient needs. */
import * as tf from '@tensorflow/tfjs-core';

/**
 * @param weight [rows, columns]; `scale` and `zeroPoint` [rows, groups]
 * @returns the dequantized value, and 1 where lowest ≤ w/scale + zeroPoint ≤ highest (before rounding), else 0
 */
export function fakeQuantizeReference(
  weight: tf.Tensor2D,
  scale: tf.Tensor2D,
  zeroPoint: tf.Tensor2D,
  [lowest, highest]: [number, number],
): { value: tf.Tensor2D; inside: tf.Tensor2D } {
  return tf.tidy(() => {
    const [rows] = weight.shape;
    const groups = scale.shape[1];
    const s = tf.reshape(scale, [rows, groups, 1]);
    const z = tf.reshape(zeroPoint, [rows, groups, 1]);
    const ratio = tf.div(tf.reshape(weight, [rows, groups, -1]), s);
    const codes = tf.clipByValue(tf.add(tf.round(ratio), z), lowest, highest);
    const exact = tf.add(ratio, z);
    const inside = tf.logicalAnd(tf.greaterEqual(exact, lowest), tf.lessEqual(exact, highest));
    return {
      value: tf.reshape(tf.mul(tf.sub(codes, z), s), weight.shape),
      inside: tf.reshape(tf.cast(inside, 'float32'), weight.shape),
    };
  });
}
