/** Multiplies rows by a Kronecker product of two small matrices: online Hadamard and FlatQuant transforms. Differentiable throughout. */
import * as tf from '@tensorflow/tfjs-core';

/**
 * x · (left ⊗ right) row by row: a row [n1 · n2] seen as X [n1, n2] becomes leftᵀ · X · right. Null stands for the identity.
 * @param x [rows, n1 · n2]
 * @param left [n1, n1]
 * @param right [n2, n2]
 */
export function kronecker(x: tf.Tensor2D, left: tf.Tensor2D | null, right: tf.Tensor2D | null): tf.Tensor2D {
  return tf.tidy(() => {
    const [rows, size] = x.shape;
    let y: tf.Tensor = x;
    if (right) y = tf.matMul(tf.reshape(y, [-1, right.shape[0]]) as tf.Tensor2D, right);
    if (left) {
      const n1 = left.shape[0];
      const columns = tf.transpose(tf.reshape(y, [rows, n1, size / n1]), [0, 2, 1]);
      const mixed = tf.matMul(tf.reshape(columns, [-1, n1]) as tf.Tensor2D, left);
      y = tf.transpose(tf.reshape(mixed, [rows, size / n1, n1]), [0, 2, 1]);
    }
    return tf.reshape(y, [rows, size]) as tf.Tensor2D;
  });
}
