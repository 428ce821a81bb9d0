/**
 * Peak memory of a quantization before it runs: the process at rest, the calibration's hidden states, and the largest of the phases that
 * follow each other. Sizes follow from what the code holds at once; the factors (copies that wait for the garbage collector, gradients) were
 * fitted to measured peaks of random models of 256 to 1024 hidden units on the wasm backend, which they meet within 20 %.
 */
import { calibrationOf, type QuantizeStage } from '#contract/recipe.ts';
import type { ModelConfig } from '../model/config.ts';
import { layerLinears, linearShape } from '../model/parameters.ts';
import { batchTokens, isKept } from './calibrator.ts';

/** Node, the libraries and the kernels; native products bring threads and buffers of their own. */
const restBytes = 185 * 2 ** 20;
const productBytes = 30 * 2 ** 20;
/** Tokens on which AWQ's search measures, at most. */
const awqTokens = 2048;

/** Peak resident memory in bytes of the process that quantizes by `stage`. */
export function estimateQuantizationMemory(config: ModelConfig, stage: QuantizeStage): number {
  const sizes = sizesOf(config);
  const calibration = calibrationOf(stage);
  // Embeddings and head twice each: in the backend's memory, which keeps its size, and outside it.
  const rotation = stage.method === 'quarot' ? 4 * 4 * config.vocabSize * config.hiddenSize : 0;
  if (!calibration) return restBytes + Math.max(rotation, rotation / 2 + 3.5 * sizes.layer);
  const tokens = calibration.samples * calibration.sequenceLength;
  const batch = Math.min(tokens, Math.max(1, Math.floor(batchTokens / calibration.sequenceLength)) * calibration.sequenceLength);
  const solver = usesHessian(stage) ? 28 * sizes.widest ** 2 + 42 * sizes.largest : 0;
  const passing = Math.max(rotation / 2, layerAtWork(config, sizes, batch)) + solver;
  const work = Math.max(passing, methodAtWork(config, stage, sizes, calibration.sequenceLength, tokens));
  // A file needs room for the batch on its way.
  const stored = storedWidths(config, stage, tokens) * 4 * (stage.spillActivations ? batch : tokens);
  return restBytes + productBytes + Math.max(rotation, stored + work);
}

interface Sizes {
  queries: number;
  keys: number;
  /** Bytes of one layer's weights in float32. */
  layer: number;
  /** Inputs of the linear with most of them. */
  widest: number;
  /** Weights of the largest linear. */
  largest: number;
}

function sizesOf(config: ModelConfig): Sizes {
  const shapes = layerLinears.map((name) => linearShape(config, `model.layers.0.${name}`));
  return {
    queries: config.heads * config.headDim,
    keys: config.kvHeads * config.headDim,
    layer: 4 * shapes.reduce((sum, [outFeatures, inFeatures]) => sum + outFeatures * inFeatures, 0),
    widest: Math.max(...shapes.map(([, inFeatures]) => inFeatures)),
    largest: Math.max(...shapes.map(([outFeatures, inFeatures]) => outFeatures * inFeatures)),
  };
}

export function usesHessian(stage: QuantizeStage): boolean {
  return stage.method === 'gptq' || ((stage.method === 'quarot' || stage.method === 'flatquant') && stage.options.weights === 'gptq');
}

/** Values per token that wait between two passes: hidden states, the layer's float outputs, its inner activations. */
function storedWidths(config: ModelConfig, stage: QuantizeStage, tokens: number): number {
  const { hiddenSize, intermediateSize, heads, headDim } = config;
  const inner = Math.max(0, ...[heads * headDim, intermediateSize].filter((width) => isKept(width, tokens)));
  const outputs = stage.method === 'awq' || stage.method === 'flatquant' ? hiddenSize : 0;
  return hiddenSize + outputs + (usesHessian(stage) ? inner : 0);
}

/** In the backend's memory: weights, a batch on its way through the attention or the MLP, second moments. */
function layerAtWork({ hiddenSize, intermediateSize }: ModelConfig, { queries, keys, layer, widest }: Sizes, batch: number): number {
  const activations = Math.max(2 * hiddenSize + 4 * queries + 4 * keys, 3 * hiddenSize + 3 * intermediateSize);
  return layer + 4 * batch * activations + 5 * widest ** 2;
}

/** Searches and training hold several forms of the weights, and activations of the tokens they look at. */
function methodAtWork(config: ModelConfig, stage: QuantizeStage, sizes: Sizes, sequenceLength: number, tokens: number): number {
  const perToken = 4 * (config.hiddenSize + config.intermediateSize + sizes.queries + sizes.keys);
  if (stage.method === 'awq') return 2.8 * sizes.layer + 12.9 * perToken * Math.min(tokens, awqTokens);
  if (stage.method !== 'flatquant') return 0;
  return 15.6 * sizes.layer + 17.3 * perToken * Math.min(tokens, stage.options.batchSize * sequenceLength);
}
