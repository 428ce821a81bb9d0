/** A copy of a model as it computes now, which later changes of the original do not reach. */
import * as tf from '@tensorflow/tfjs-core';
import { LanguageModel } from './language-model.ts';
import { DenseLinear, PackedLinearOp, type ParameterMap } from './linear-op.ts';
import { decoderLinears } from './parameters.ts';

export interface CopyOptions {
  /** Packed linears become dense ones of the same values. */
  dense?: boolean;
}

/**
 * Copies values, never shares them, because optimizers update in place. Packed linears stay packed; other linears become dense ones of the
 * weights they compute with (fake-quantized, or with an adapter added). The caller disposes the copy.
 */
export async function copyModel(model: LanguageModel, { dense = false }: CopyOptions = {}): Promise<LanguageModel> {
  const parameters: ParameterMap = new Map();
  for (const [name, tensor] of model.parameters) parameters.set(name, await deepCopy(tensor));
  const copy = new LanguageModel(model.config, parameters);
  for (const module of decoderLinears(model.config)) {
    const op = model.linear(module);
    if (op instanceof DenseLinear) continue;
    if (op instanceof PackedLinearOp && !dense) copy.setLinear(module, new PackedLinearOp(copy.parameters, module, await op.stored()));
    else {
      const weight = op.weight();
      parameters.get(`${module}.weight`)?.dispose();
      parameters.set(`${module}.weight`, await deepCopy(weight));
      weight.dispose();
    }
  }
  for (const [index, settings] of model.layerActivations().entries()) if (settings) copy.setActivations(index, settings);
  return copy;
}

async function deepCopy(tensor: tf.Tensor): Promise<tf.Tensor> {
  const values = (await tensor.data<'float32'>()).slice();
  return tf.keep(tf.tensor(values, tensor.shape, 'float32'));
}
