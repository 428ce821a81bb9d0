/**
 * Rotary position embedding from plain tensor ops, in the half-rotation layout of Hugging Face checkpoints: component i pairs with
 * i + headDim/2 (Su et al., arXiv 2104.09864; transformers `rotate_half`).
 */
import * as tf from '@tensorflow/tfjs-core';

export function rotaryEmbeddingReference(x: tf.Tensor4D, cos: tf.Tensor2D, sin: tf.Tensor2D, offset: number): tf.Tensor4D {
  return tf.tidy(() => {
    const [, seq, , headDim] = x.shape;
    const half = headDim / 2;
    const rows = (table: tf.Tensor2D) => tf.reshape(tf.slice(table, [offset, 0], [seq, half]), [1, seq, 1, half]);
    const [c, s] = [rows(cos), rows(sin)];
    const [first, second] = tf.split(x, 2, -1) as [tf.Tensor4D, tf.Tensor4D];
    return tf.concat([tf.sub(tf.mul(first, c), tf.mul(second, s)), tf.add(tf.mul(second, c), tf.mul(first, s))], -1) as tf.Tensor4D;
  });
}
