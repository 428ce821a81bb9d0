/** Reading what the layer computes back to the host. */
import * as tf from '@tensorflow/tfjs-core';
import type { LanguageModel } from '../../model/language-model.ts';
import { linearShape } from '../../model/parameters.ts';
import type { WeightShape } from '../../observers/weight-observer.ts';

/** Values of tensors that `compute` makes, by name. */
export async function allValues(compute: () => Record<string, tf.Tensor>): Promise<Record<string, Float32Array>> {
  // A tensor that is kept elsewhere may be among them, hence the clones.
  const tensors = tf.tidy(() => Object.fromEntries(Object.entries(compute()).map(([name, tensor]) => [name, tf.clone(tensor)])));
  const values = Object.entries(tensors).map(async ([name, tensor]) => [name, (await tensor.data<'float32'>()).slice()] as const);
  const result = Object.fromEntries(await Promise.all(values));
  tf.dispose(tensors);
  return result;
}

export function shapeOf(model: LanguageModel, module: string): WeightShape {
  const [outFeatures, inFeatures] = linearShape(model.config, module);
  return { outFeatures, inFeatures };
}
