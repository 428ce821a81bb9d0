/**
 * The loss of a model on a batch and its gradient in every parameter.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { LanguageModel } from '../model/language-model.ts';
import { linearCrossEntropy } from '../ops/index.ts';
import type { TrainingBatch } from './examples.ts';

/** Mean cross-entropy of the targets the mask counts. Differentiable in the model's parameters. */
export function batchLoss(model: LanguageModel, batch: TrainingBatch): tf.Scalar {
  return tf.tidy(() => {
    const hidden = tf.reshape(model.forward(batch.inputs), [-1, model.config.hiddenSize]) as tf.Tensor2D;
    return linearCrossEntropy(hidden, model.headWeight(), batch.targets, { mask: batch.mask });
  });
}

/**
 * The loss times `weight`, and its gradients in the order of `parameters`. The caller disposes all of them.
 */
export function lossAndGradients(
  model: LanguageModel,
  parameters: readonly tf.Variable[],
  batch: TrainingBatch,
  weight: number,
): { loss: tf.Scalar; gradients: tf.Tensor[] } {
  const { value, grads } = tf.engine().gradients(() => tf.mul(batchLoss(model, batch), weight) as tf.Scalar, [...parameters]);
  return { loss: value as tf.Scalar, gradients: grads };
}
