/** Rows times a Kronecker product from plain tensor ops. Differentiable throughout. */
import * as tf from '@tensorflow/tfjs-core';

export function kroneckerReference(x: tf.Tensor2D, left: tf.Tensor2D | null, right: tf.Tensor2D | null): tf.Tensor2D {
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
