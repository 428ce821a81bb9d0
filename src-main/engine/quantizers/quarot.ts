/**
 * QuaRot (Ashkboos et al. 2024): the residual stream, values, the attention's output and the MLP's inner activations are rotated by Hadamard
 * matrices, most of them folded into weights, so that no channel stands out when everything is rounded; the function computed stays the
 * same. Head sizes come from the configuration, biases of values are rotated too, as Qwen2 needs (QRM).
 */
import { RoundoffError } from '#contract/errors.ts';
import { RandomStream } from '../data/random-stream.ts';
import type { DenseParameter } from '../formats/quantized-checkpoint.ts';
import type { ModelConfig } from '../model/config.ts';
import type { LanguageModel } from '../model/language-model.ts';
import { type LayerActivations, plainActivations, withoutQuantizers } from '../model/layer-activations.ts';
import { embeddingName, finalNormName, hasBias, headName, layerLinears } from '../model/parameters.ts';
import { quantizeLayerGptq } from './gptq-layer.ts';
import { type BlockFactors, blockHadamardFactors, type HadamardFactors, hadamardFactors } from './hadamard.ts';
import type { GlobalResult, LayerQuantizer, LayerResult, MethodContext, QuantizedLinear } from './layer-quantizer.ts';
import { type Rotation, rotateInputs, rotateOutputs, rotateRows, rotationOf, toTransform } from './rotation.ts';
import { roundLayer } from './rtn-layer.ts';
import { activationsFor } from './scheme-map.ts';

/** The rotations of one model. */
export interface ModelRotations {
  /** Of the residual stream, with random signs. */
  residual: Rotation;
  /** Of each head of values (and of queries and keys after rotary embedding). */
  head: Rotation;
  /** Across heads, before the attention's output projection; null when the number of heads has no Hadamard matrix. */
  heads: Rotation | null;
  /** Of the MLP's inner activations. */
  mlp: Rotation;
}

/** Embedding rows rotated at once. */
const chunkRows = 4096;

export function quarotQuantizer(context: MethodContext<'quarot'>): LayerQuantizer {
  const { model, stage } = context;
  const rotations = rotationsFor(model.config, stage.options.seed, context.onNote);
  return {
    advance: 'quantized',
    begin: () => rotateGlobals(model, rotations),
    async layer(index, calibrator) {
      const parameters = await rotateLayer(model, index, rotations);
      const activations = rotatedActivations(activationsFor(stage, index), rotations);
      model.setActivations(index, withoutQuantizers(activations));
      const { mseSearch, dampPercent, blockSize, weights } = stage.options;
      const gptq = { mseSearch, dampPercent, blockSize, actOrder: false, staticGroups: false, trueSequential: true };
      const linears: QuantizedLinear[] =
        weights === 'gptq'
          ? await quantizeLayerGptq(index, calibrator!, { ...context, map: stage, options: gptq, symmetricGrid: 'signed' })
          : await roundLayer(context, index, { mseSearch });
      for (const { module } of linears) parameters.delete(`${module}.weight`);
      return { linears, parameters, activations } satisfies LayerResult;
    },
  };
}

/** Throws `unsupported` naming an odd size, which has no Hadamard matrix. */
export function rotationsFor(config: ModelConfig, seed: number, onNote: (note: string) => void): ModelRotations {
  const { hiddenSize, headDim, heads, intermediateSize } = config;
  const stream = new RandomStream(seed, 'quarot-signs');
  const signs = Float64Array.from({ length: hiddenSize }, () => (stream.uniform() < 0.5 ? -1 : 1));
  const residual = factorsFor('hidden_size', hiddenSize, 'the residual stream is', onNote);
  const head = factorsFor('head_dim', headDim, 'each head is', onNote);
  const mlp = factorsFor('intermediate_size', intermediateSize, "the MLP's inner activations are", onNote);
  const across = hadamardFactors(heads);
  if (!across) onNote(`QuaRot: there is no Hadamard matrix of ${heads} heads; the attention's output is rotated head by head only`);
  return {
    residual: rotationOf(residual, signs),
    head: wholeRotation(head),
    heads: across && acrossHeads(across, headDim),
    mlp: rotationOf(mlp),
  };
}

/** A size without a Hadamard matrix is rotated in the largest equal blocks that have one, which is noted. */
function factorsFor(name: string, size: number, what: string, onNote: (note: string) => void): BlockFactors {
  const factors = blockHadamardFactors(size);
  if (!factors) {
    throw new RoundoffError(
      'unsupported',
      `QuaRot needs Hadamard matrices, but the model's ${name} ${size} is odd.`,
      'Choose FlatQuant, whose transforms fit every size, or a method that changes weights only.',
    );
  }
  const { blocks } = factors;
  if (blocks > 1) onNote(`QuaRot: no Hadamard matrix of ${size} is known; ${what} rotated in ${blocks} blocks of ${size / blocks}`);
  return factors;
}

/** Both factors in one, for small sizes that are applied as one matrix. */
function wholeRotation({ rows, columns, left, right }: Omit<BlockFactors, 'blocks'>): Rotation {
  const size = rows * columns;
  const whole = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      const [a, b] = [Math.floor(i / columns), Math.floor(j / columns)];
      const outer = left ? left[a * rows + b]! : Number(a === b);
      whole[i * size + j] = outer * right[(i % columns) * columns + (j % columns)]!;
    }
  }
  return { rows: 1, columns: size, left: null, right: whole, signs: null };
}

/** M ⊗ I on [heads · headDim]. */
function acrossHeads(factors: HadamardFactors, headDim: number): Rotation {
  const { columns: heads, right } = wholeRotation(factors);
  return { rows: heads, columns: headDim, left: right, right: null, signs: null };
}

/** Rotates embeddings and head, folds the final norm into the head, and unties them. */
export async function rotateGlobals(model: LanguageModel, { residual }: ModelRotations): Promise<GlobalResult> {
  const { hiddenSize } = model.config;
  const untied = model.config.tiedEmbeddings;
  const embedding = await values(model, embeddingName);
  const head = untied ? embedding.slice() : await values(model, headName);
  const norm = await values(model, finalNormName);
  const parameters = new Map<string, DenseParameter>();
  const set = (name: string, floats: Float32Array, shape: number[]) => {
    model.setParameter(name, floats, shape);
    parameters.set(name, { values: floats, shape });
  };
  if (untied) model.untie();
  for (const [name, floats] of [[embeddingName, embedding] as const, [headName, head] as const]) {
    for (let start = 0; start < floats.length; start += chunkRows * hiddenSize) {
      const chunk = Float64Array.from(floats.subarray(start, start + chunkRows * hiddenSize));
      if (floats === head) scaleInputs(chunk, norm);
      rotateRows(chunk, residual);
      floats.set(chunk, start);
    }
    set(name, floats, [model.config.vocabSize, hiddenSize]);
  }
  set(finalNormName, new Float32Array(hiddenSize).fill(1), [hiddenSize]);
  return { parameters, untied };
}

/** Rotates the weights and biases of a layer on the model and sets its norms to one; returns what changed. */
export async function rotateLayer(model: LanguageModel, index: number, rotations: ModelRotations): Promise<Map<string, DenseParameter>> {
  const prefix = `model.layers.${index}`;
  const changed = new Map<string, DenseParameter>();
  const set = (name: string, floats: Float64Array, shape: readonly number[]) => {
    const rounded = Float32Array.from(floats);
    model.setParameter(name, rounded, shape);
    changed.set(name, { values: rounded, shape });
  };
  const { residual, head, heads, mlp } = rotations;
  const inputNorm = await values(model, `${prefix}.input_layernorm.weight`);
  const postNorm = await values(model, `${prefix}.post_attention_layernorm.weight`);
  for (const name of layerLinears) {
    const module = `${prefix}.${name}`;
    const shape = model.parameter(`${module}.weight`).shape;
    const weight = Float64Array.from(await values(model, `${module}.weight`));
    const readsResidual = !name.endsWith('o_proj') && !name.endsWith('down_proj');
    if (readsResidual) {
      scaleInputs(weight, name.startsWith('mlp') ? postNorm : inputNorm);
      rotateInputs(weight, residual);
    } else rotateOutputs(weight, shape[0]!, residual);
    if (name.endsWith('v_proj')) rotateOutputs(weight, shape[0]!, head);
    if (name.endsWith('o_proj')) {
      rotateInputs(weight, head);
      if (heads) rotateInputs(weight, heads);
    }
    if (name.endsWith('down_proj')) rotateInputs(weight, mlp);
    set(`${module}.weight`, weight, shape);
    await rotateBias(model, module, name, rotations, set);
  }
  const ones = new Float64Array(inputNorm.length).fill(1);
  set(`${prefix}.input_layernorm.weight`, ones, [ones.length]);
  set(`${prefix}.post_attention_layernorm.weight`, ones, [ones.length]);
  return changed;
}

async function rotateBias(
  model: LanguageModel,
  module: string,
  name: string,
  { residual, head }: ModelRotations,
  set: (name: string, floats: Float64Array, shape: readonly number[]) => void,
): Promise<void> {
  const rotation = name.endsWith('v_proj') ? head : name.endsWith('o_proj') ? residual : null;
  if (!rotation || !hasBias(model.config, module)) return;
  const bias = Float64Array.from(await values(model, `${module}.bias`));
  rotateRows(bias, rotation);
  set(`${module}.bias`, bias, [bias.length]);
}

/** The quantizers of a layer with the online part of the rotations before them. */
export function rotatedActivations(quantizers: LayerActivations, rotations: ModelRotations): LayerActivations {
  const { head, heads, mlp } = rotations;
  const rotatesKeys = quantizers.keys.quantizer !== null;
  const matrix = rotatesKeys ? Float32Array.from(head.right!) : null;
  return {
    ...plainActivations(),
    ...quantizers,
    attentionOutput: { transform: heads && toTransform(heads), quantizer: quantizers.attentionOutput.quantizer },
    mlpOutput: { transform: toTransform(mlp), quantizer: quantizers.mlpOutput.quantizer },
    keys: { transform: matrix, queryTransform: matrix, quantizer: quantizers.keys.quantizer },
  };
}

/** weight[:, j] · scale[j], in place. */
function scaleInputs(weight: Float64Array, scale: Float32Array): void {
  for (let i = 0; i < weight.length; i++) weight[i]! *= scale[i % scale.length]!;
}

async function values(model: LanguageModel, name: string): Promise<Float32Array> {
  return (await model.parameter(name).data<'float32'>()).slice();
}
