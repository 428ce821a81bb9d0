/**
 * Takes a model's weights out of tfjs for the CPU decode engine: norms, embeddings and rotary tables into the engine's memory; linears,
 * merged where they share an input, into native sessions that pack them once. Packed weights make a product's rows independent of how many
 * rows it has, bit for bit, and of the number of threads.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { singleNodeModel } from '../../backends/wasm/onnx-model.ts';
import { onnxRuntime } from '../../backends/wasm/onnx-runtime.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import { inputSites, type LayerActivations, type TokenQuantizer } from '../../model/layer-activations.ts';
import { embeddingName, finalNormName } from '../../model/parameters.ts';
import { quantizerFloats } from '../../ops/quantize-tokens/quantizer-words.ts';
import type { ActivationPlan, DecodePlan, LayerSessions } from './plan.ts';
import type { SharedMemory } from './shared-memory.ts';

export interface DecodeSessions {
  layers: LayerSessions[];
  head: bigint;
}

/** Copies everything but the linears to its place in `memory`. */
export function copyConstants(model: LanguageModel, plan: DecodePlan, memory: SharedMemory): void {
  const copy = (offset: number, values: Float32Array) => new Float32Array(memory.buffer, offset, values.length).set(values);
  const parameter = (offset: number, name: string) => copy(offset, floats(model.parameter(name)));
  parameter(plan.embedding, embeddingName);
  parameter(plan.finalNorm, finalNormName);
  const tables = model.rotary.upTo(plan.capacity);
  const tableSize = (plan.capacity * plan.config.headDim) / 2;
  copy(plan.cos, floats(tables.cos).subarray(0, tableSize));
  copy(plan.sin, floats(tables.sin).subarray(0, tableSize));
  plan.layers.forEach((layer, index) => {
    const prefix = `model.layers.${index}`;
    parameter(layer.inputNorm, `${prefix}.input_layernorm.weight`);
    parameter(layer.postNorm, `${prefix}.post_attention_layernorm.weight`);
    if (layer.queryNorm) parameter(layer.queryNorm, `${prefix}.self_attn.q_norm.weight`);
    if (layer.keyNorm) parameter(layer.keyNorm, `${prefix}.self_attn.k_norm.weight`);
    const activations = model.activationOps(index)?.settings;
    if (activations && layer.activations) copyActivations(activations, layer.activations, copy);
  });
}

function copyActivations(settings: LayerActivations, plan: ActivationPlan, copy: (offset: number, values: Float32Array) => void): void {
  const matrix = (offset: number, values: Float32Array | null | undefined) => offset && values && copy(offset, values);
  const quantizer = (offset: number, value: TokenQuantizer | null) => offset && value && copy(offset, quantizerFloats(value));
  for (const site of inputSites) {
    const place = plan[site];
    if (!place) continue;
    matrix(place.left, settings[site].transform?.left);
    matrix(place.right, settings[site].transform?.right);
    quantizer(place.quantizer, settings[site].quantizer);
  }
  matrix(plan.queryTransform, settings.keys.queryTransform);
  matrix(plan.keyTransform, settings.keys.transform);
  quantizer(plan.keyQuantizer, settings.keys.quantizer);
  quantizer(plan.valueQuantizer, settings.values.quantizer);
}

/** One session per product; they live until `releaseSessions`. */
export function createSessions(model: LanguageModel, threads: number): DecodeSessions {
  const merged = (prefix: string, names: string[]) => productSession(mergeLinears(model, prefix, names), threads);
  const layers = Array.from({ length: model.config.layers }, (_, index) => {
    const prefix = `model.layers.${index}`;
    return {
      queryKeyValue: merged(prefix, ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj']),
      output: merged(prefix, ['self_attn.o_proj']),
      gateUp: merged(prefix, ['mlp.gate_proj', 'mlp.up_proj']),
      down: merged(prefix, ['mlp.down_proj']),
    };
  });
  const { vocabSize, hiddenSize } = model.config;
  const head = { weights: floats(model.headWeight()), bias: null, outFeatures: vocabSize, inFeatures: hiddenSize };
  return { layers, head: productSession(head, threads) };
}

export function releaseSessions(sessions: DecodeSessions): void {
  const { releaseSession } = onnxRuntime();
  for (const layer of sessions.layers) for (const pointer of Object.values(layer)) releaseSession(pointer);
  releaseSession(sessions.head);
}

interface DenseWeights {
  /** [outFeatures, inFeatures] */
  weights: Float32Array;
  /** [outFeatures] */
  bias: Float32Array | null;
  outFeatures: number;
  inFeatures: number;
}

/** Stacks linears of the same input over each other. */
function mergeLinears(model: LanguageModel, prefix: string, names: string[]): DenseWeights {
  const parts = names.map((name) => {
    const op = model.linear(`${prefix}.${name}`);
    const weight = op.weight();
    const bias = op.bias();
    const part = { weights: floats(weight), bias: bias && floats(bias), outFeatures: weight.shape[0], inFeatures: weight.shape[1] };
    weight.dispose();
    return part;
  });
  const outFeatures = parts.reduce((sum, part) => sum + part.outFeatures, 0);
  const inFeatures = parts[0]!.inFeatures;
  const weights = new Float32Array(outFeatures * inFeatures);
  const bias = parts.some((part) => part.bias) ? new Float32Array(outFeatures) : null;
  let row = 0;
  for (const part of parts) {
    weights.set(part.weights, row * inFeatures);
    if (part.bias) bias?.set(part.bias, row);
    row += part.outFeatures;
  }
  return { weights, bias, outFeatures, inFeatures };
}

/** y [rows, out] = x [rows, in] · Wᵀ + bias */
function productSession({ weights, bias, outFeatures, inFeatures }: DenseWeights, threads: number): bigint {
  const constants = [{ name: 'w', dims: [outFeatures, inFeatures], values: weights }];
  if (bias) constants.push({ name: 'b', dims: [outFeatures], values: bias });
  const node = { op: 'Gemm', inputs: ['x', ...constants.map(({ name }) => name)], outputs: ['y'], ints: { transB: 1 } };
  const input = { name: 'x', dims: ['rows', inFeatures] };
  const output = { name: 'y', dims: ['rows', outFeatures] };
  return onnxRuntime().createSession(singleNodeModel(node, [input], [output], constants), threads);
}

function floats(tensor: tf.Tensor): Float32Array {
  return tensor.dataSync() as Float32Array;
}
