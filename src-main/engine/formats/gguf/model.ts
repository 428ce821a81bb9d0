/**
 * Loads a GGUF file that was exported here back into a `LanguageModel`, to check it against the model it was made from. What the file says
 * about the model must agree with `config`; the scaling of rotary frequencies, of which a file holds only the factors, is taken from there.
 */
import * as tf from '@tensorflow/tfjs-core';
import { RoundoffError } from '#contract/errors.ts';
import { throwIfCancelled } from '../../data/cancellation.ts';
import type { ModelConfig } from '../../model/config.ts';
import { LanguageModel } from '../../model/language-model.ts';
import { DenseLinear, type LinearOp, type ParameterMap } from '../../model/linear-op.ts';
import { LoraLinear } from '../../model/lora-linear.ts';
import { decoderLinears } from '../../model/parameters.ts';
import { mergeAdapter } from '../adapter.ts';
import { decodeGguf, encodeGguf } from './blocks.ts';
import { checkMetadata } from './metadata.ts';
import { type GgufFile, openGguf } from './read.ts';
import { type GgufParameter, ggufParameters, ropeFactors, ropeFactorsName, unpermuteHeads } from './tensors.ts';
import type { GgufTensorType } from './types.ts';

/** The model in the file, on the current backend. The caller disposes it. Throws `model-invalid` when it is not the model `config`. */
export async function loadGgufModel(
  path: string,
  config: ModelConfig,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<LanguageModel> {
  const file = await openGguf(path);
  const parameters: ParameterMap = new Map();
  try {
    checkMetadata(file, config);
    await checkRopeFactors(file, config);
    for (const parameter of ggufParameters(config, 'F32')) {
      throwIfCancelled(options.signal, `Loading ${path}`);
      parameters.set(parameter.source, tf.keep(tf.tensor(await readGgufParameter(file, parameter), [...parameter.shape])));
    }
    return new LanguageModel(config, parameters);
  } catch (error) {
    tf.dispose([...parameters.values()]);
    throw error;
  } finally {
    await file.close();
  }
}

/** A parameter's values with its rows in Hugging Face's order. */
export async function readGgufParameter(file: GgufFile, { name, shape, permutedHeads }: GgufParameter): Promise<Float32Array> {
  const found = file.tensors.get(name)?.shape ?? [];
  if (found.join() !== shape.join()) throw differs(file.path, `${name} has the shape [${found.join(', ')}], not [${shape.join(', ')}].`);
  const values = await file.readFloats(name);
  return permutedHeads > 0 ? unpermuteHeads(values, shape[0]!, permutedHeads) : values;
}

/** Rounds a model's parameters in place as a file with matrices of this type does. Packed linears become dense, adapters are merged. */
export async function roundAsGguf(model: LanguageModel, type: GgufTensorType): Promise<void> {
  const linears = new Set(decoderLinears(model.config));
  for (const { source, shape, type: stored } of ggufParameters(model.config, type)) {
    const module = source.replace(/\.weight$/, '');
    const isDense = !linears.has(module) || model.linear(module).kind === 'dense';
    const floats = isDense ? await model.parameter(source).data<'float32'>() : await weightOf(model.linear(module));
    const values = decodeGguf(stored, encodeGguf(stored, floats));
    if (!isDense) model.setLinear(module, new DenseLinear(model.parameters, module));
    model.setParameter(source, values, shape);
  }
}

/** The float weights [out, in]; an adapter is merged in the same arithmetic as in an export. */
async function weightOf(op: LinearOp): Promise<Float32Array> {
  const tensor = op instanceof LoraLinear ? op.base.weight() : op.weight();
  const values = (await tensor.data<'float32'>()).slice();
  tensor.dispose();
  if (!(op instanceof LoraLinear)) return values;
  const { a, b, scale } = op.update;
  const matrices = { a: await a.data<'float32'>(), b: await b.data<'float32'>() };
  return mergeAdapter(values, matrices, { rank: a.shape[0], alpha: scale * a.shape[0] });
}

async function checkRopeFactors(file: GgufFile, config: ModelConfig): Promise<void> {
  const expected = ropeFactors(config);
  if (!expected && !file.tensors.has(ropeFactorsName)) return;
  const found = file.tensors.has(ropeFactorsName) ? await file.readFloats(ropeFactorsName) : null;
  if (found?.join() !== expected?.join()) throw differs(file.path, `${ropeFactorsName} does not hold the factors of this model.`);
}

function differs(path: string, problem: string): RoundoffError {
  return new RoundoffError('model-invalid', `${path} holds another model: ${problem}`, 'Export the model again.');
}
