/** Gather whose gradient is a product with the one-hot ids: exact on every backend, where some lack a scatter. */
import * as tf from '@tensorflow/tfjs-core';

/** @param ids [count] */
export function embeddingReference(table: tf.Tensor2D, ids: tf.Tensor1D): tf.Tensor2D {
  const gather = tf.customGrad((...inputs: (tf.Tensor | tf.GradSaveFunc)[]) => {
    const [values, save] = inputs as [tf.Tensor2D, tf.GradSaveFunc];
    save([ids]);
    return {
      value: tf.gather(values, ids),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) =>
        tf.matMul(tf.cast(tf.oneHot(saved[0] as tf.Tensor1D, table.shape[0]), 'float32'), dy as tf.Tensor2D, true),
    };
  });
  return gather(table) as tf.Tensor2D;
}
