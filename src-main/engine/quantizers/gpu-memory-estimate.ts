/**
 * Peak bytes of GPU buffers of a quantization on the webgpu backend, before it runs: one layer at work on a batch, second moments, hidden states
 * that lie there, or what a method searches and learns with. The factors were fitted to counted peaks of small models, which do not depend on the
 * machine and which they meet within 20 %. Methods that look at weights alone take nothing of the GPU's memory.
 */
import { calibrationOf, type QuantizeStage } from '#contract/recipe.ts';
import { mostHeldBytes } from '../backends/webgpu/most-held-bytes.ts';
import type { ModelConfig } from '../model/config.ts';
import { layerLinears, linearShape } from '../model/parameters.ts';
import { searchTokens } from './awq-features.ts';
import { batchTokens, isKept } from './calibrator.ts';
import { fitsOnGpu } from './hidden-states.ts';
import { usesHessian } from './memory-estimate.ts';

/** Sum, its remainder and a part on its way, of the second moments of an input. */
const momentMatrices = 3;
/** Values per token and unit of width while AWQ's layer computes. */
const awq = { hidden: 2, queries: 9, intermediate: 5.1 };
/** Of a layer's weights, and per token and unit of width, while FlatQuant learns. */
const flatquant = { weights: 16.5, widths: 14 };

/** @param budgetBytes of the GPU's memory, what the process may hold; decides whether hidden states lie there */
export function estimateGpuQuantizationMemory(config: ModelConfig, stage: QuantizeStage, budgetBytes: number | null): number {
  const calibration = calibrationOf(stage);
  if (!calibration) return 0;
  const tokens = calibration.samples * calibration.sequenceLength;
  const perBatch = Math.max(1, Math.floor(batchTokens / calibration.sequenceLength)) * calibration.sequenceLength;
  const sizes = { ...sizesOf(config), tokens, batch: Math.min(tokens, perBatch) };
  const stored = (width: number) => storedBytes(width, sizes, stage, budgetBytes);
  // QuaRot embeds with the table it has rotated.
  const embedding = stage.method === 'quarot' ? 4 * config.vocabSize * config.hiddenSize : 0;
  const hidden = stored(config.hiddenSize) * (stage.method === 'awq' || stage.method === 'flatquant' ? 2 : 1);
  const passing = usesHessian(stage) ? gptqBytes(config, sizes, stage, stored) : 0;
  const learning = stage.method === 'awq' ? awqBytes(config, sizes) : 0;
  const training = stage.method === 'flatquant' ? flatquantBytes(config, sizes, stage.options.batchSize * calibration.sequenceLength) : 0;
  return Math.round(hidden + Math.max(embedding, passing, learning, training));
}

interface Sizes {
  queries: number;
  keys: number;
  /** Bytes of one layer's weights in float32. */
  layer: number;
  /** Weights of the largest linear. */
  largest: number;
  tokens: number;
  batch: number;
}

function sizesOf(config: ModelConfig): Pick<Sizes, 'queries' | 'keys' | 'layer' | 'largest'> {
  const sizes = layerLinears.map((name) => linearShape(config, `model.layers.0.${name}`)).map(([rows, columns]) => rows * columns);
  return {
    queries: config.heads * config.headDim,
    keys: config.kvHeads * config.headDim,
    layer: 4 * sizes.reduce((sum, size) => sum + size, 0),
    largest: Math.max(...sizes),
  };
}

/** Of values that wait for the next layer or step; elsewhere only the batch at work is on the GPU. */
function storedBytes(width: number, { tokens, batch }: Sizes, stage: QuantizeStage, budgetBytes: number | null): number {
  const all = 4 * width * tokens;
  return !stage.spillActivations && fitsOnGpu(all, budgetBytes, 0) ? all : 4 * width * batch;
}

function gptqBytes(
  { hiddenSize, intermediateSize }: ModelConfig,
  sizes: Sizes,
  { method }: QuantizeStage,
  stored: (width: number) => number,
): number {
  const { queries, keys, layer, largest, tokens, batch } = sizes;
  const isTransformed = method === 'quarot' || method === 'flatquant' ? 1 : 0;
  const attention = hiddenSize + (3 + 2 * isTransformed) * queries + (4 + isTransformed) * keys;
  const mlp = hiddenSize + (2 + isTransformed) * intermediateSize;
  const phase = (width: number, temporary: number) => {
    // Temporaries of the batch before wait for the commands that used them to be submitted.
    const waiting = tokens > batch ? Math.min(mostHeldBytes, 4 * batch * temporary) : 0;
    const inner = isKept(width, tokens) ? stored(width) : 4 * batch * width;
    return inner + 4 * batch * temporary + waiting;
  };
  const moments = 4 * momentMatrices * Math.max(hiddenSize, intermediateSize, queries) ** 2;
  return layer + moments + Math.max(phase(queries, attention), phase(intermediateSize, mlp), 4 * 3 * largest);
}

function awqBytes({ hiddenSize, intermediateSize }: ModelConfig, { queries, layer, tokens, batch }: Sizes): number {
  const moments = 4 * momentMatrices * (2 * hiddenSize ** 2 + queries ** 2 + intermediateSize ** 2);
  const samples = 4 * Math.min(tokens, searchTokens) * (2 * hiddenSize + queries + intermediateSize);
  return layer + moments + samples + 4 * batch * (awq.hidden * hiddenSize + awq.queries * queries + awq.intermediate * intermediateSize);
}

function flatquantBytes({ hiddenSize, intermediateSize }: ModelConfig, { queries, keys, layer, tokens }: Sizes, learnt: number): number {
  return flatquant.weights * layer + 4 * flatquant.widths * Math.min(tokens, learnt) * (hiddenSize + intermediateSize + queries + keys);
}
