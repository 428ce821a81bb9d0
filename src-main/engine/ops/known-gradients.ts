/** Losses whose gradients are formed with them, in the forward pass, and only scaled in the backward one (the trick of linkedin/Liger-Kernel). */
import * as tf from '@tensorflow/tfjs-core';

/** @param compute the loss, and its gradients in the order of `inputs` for a loss gradient of 1 */
export function withKnownGradients(
  inputs: readonly tf.Tensor[],
  compute: () => { loss: tf.Scalar; gradients: readonly tf.Tensor[] },
): tf.Scalar {
  const op = tf.customGrad((...given: (tf.Tensor | tf.GradSaveFunc)[]) => {
    const save = given.at(-1) as tf.GradSaveFunc;
    const { loss, gradients } = compute();
    save([...gradients]);
    return { value: loss, gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => saved.map((gradient) => tf.mul(gradient, dy)) };
  });
  return op(...inputs) as tf.Scalar;
}
