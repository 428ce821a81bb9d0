/**
 * Peak bytes of GPU buffers of a training on the webgpu backend, before it runs. What is held at once at the end of a backward pass: weights,
 * moments and gradients, tables of the vocabulary on their way, and what each token has left behind. The factors were fitted to the counted
 * peaks of small models, which do not depend on the machine and which they meet within 15 %; batches of unequal sequences stay below the
 * estimate.
 */
import type { TrainStage } from '#contract/training.ts';
import { mostHeldBytes } from '../backends/webgpu/most-held-bytes.ts';
import { nf4BlockSize } from '../formats/nf4.ts';
import { openCheckpoint } from '../formats/safetensors.ts';
import type { ModelConfig } from '../model/config.ts';
import { decoderLinears, layerLinears, linearShape, parameterCount } from '../model/parameters.ts';
import { readTrainingStart } from './start.ts';

/** Values per token and unit of width that a decoder layer holds, gradients included. Attention holds no scores. */
const held = { hidden: 14, queries: 13, intermediate: 6, adapterOutputs: 1.6, input: 2, head: 4 };
/** Share of a recomputed layer that waits, disposed of, for the commands that used it to be submitted. */
const waitingShare = 0.5;

export const nf4Form: FrozenForm = { bits: 4, groupSize: nf4BlockSize, isNf4: true, hasZeroPoints: false };

export interface GpuTrainingMemory {
  config: ModelConfig;
  stage: TrainStage;
  /** Tokens of the longest example (prompt, for RL), where it is known. */
  longest?: number;
  /** Bytes per weight of the linears of a frozen model; 16 bits by default. */
  frozenBytes?: number;
}

export function estimateGpuTrainingMemory({ config, stage, longest, frozenBytes = 2 }: GpuTrainingMemory): number {
  return Math.round(weightBytes(config, stage, frozenBytes) + activationBytes(config, stage, longest));
}

function weightBytes(config: ModelConfig, stage: TrainStage, frozenBytes: number): number {
  const { trains, objective } = stage;
  const all = parameterCount(config);
  const linears = linearCount(config);
  const table = config.vocabSize * config.hiddenSize;
  const isLora = trains.kind === 'lora';
  const trained = isLora ? adapterCount(config, trains.rank, trains.modules) : all;
  // Value, two moments, gradient; the gradients of the step so far.
  const copies = 4 + (stage.accumulation > 1 || objective.kind === 'rl' ? 1 : 0);
  // The head's gradient as the loss forms it, and scaled; the embeddings' own where both are one table.
  const trainsHead = !isLora && (trains.kind !== 'quantized' || trains.others === 'trained');
  const tables = !trainsHead ? 0 : config.tiedEmbeddings ? 3 : 1;
  const frozen = (bytes: number) => linears * bytes + 4 * (all - linears);
  const derived = isLora || trains.kind === 'weights' ? 0 : 4 * linears;
  const reference = objective.kind === 'kd' || (objective.kind === 'rl' && objective.beta > 0) ? frozen(2) : 0;
  return 4 * copies * trained + 4 * tables * table + (isLora ? frozen(frozenBytes) : 0) + derived + reference;
}

/** Bytes per weight of a quantized linear in the GPU's memory, whose scales are float32. */
export function quantizedBytes({ bits, groupSize, isNf4, hasZeroPoints }: FrozenForm): number {
  return bits / 8 + (4 + (hasZeroPoints ? bits / 8 : 0)) / (isNf4 ? nf4BlockSize : groupSize);
}

export interface FrozenForm {
  bits: number;
  groupSize: number;
  isNf4: boolean;
  hasZeroPoints: boolean;
}

/** The same for the model in `dir` as it is loaded to be trained around. */
export async function frozenWeightBytes(dir: string, config: ModelConfig): Promise<number> {
  const { schemes } = await readTrainingStart(dir);
  const [stored] = schemes.values();
  if (stored?.coding === 'nf4') return quantizedBytes(nf4Form);
  if (stored) return quantizedBytes({ ...stored, isNf4: false, hasZeroPoints: !stored.symmetric });
  const checkpoint = await openCheckpoint(dir);
  try {
    return checkpoint.entry(`${decoderLinears(config)[0]}.weight`).dtype === 'F32' ? 4 : 2;
  } finally {
    await checkpoint.close();
  }
}

function activationBytes(config: ModelConfig, stage: TrainStage, longest: number | undefined): number {
  const { objective, batchSize, data, trains } = stage;
  const { hiddenSize, intermediateSize, heads, headDim, layers } = config;
  const allowed = Math.min(config.contextLength, data.maxTokens, longest ?? Number.POSITIVE_INFINITY);
  const length = Math.min(config.contextLength, allowed + (objective.kind === 'rl' ? objective.maxNewTokens : 0));
  const adapters = trains.kind === 'lora' ? held.adapterOutputs * widths(config, trains.modules).outputs : 0;
  const layer = held.hidden * hiddenSize + held.queries * heads * headDim + held.intermediate * intermediateSize + adapters;
  const tokenBytes = 4 * batchSize * length;
  const ends = held.head * hiddenSize;
  if (!stage.activationCheckpointing) return tokenBytes * (layers * layer + ends);
  const waiting = Math.min(mostHeldBytes, tokenBytes * waitingShare * layer);
  return tokenBytes * (held.input * layers * hiddenSize + layer + ends) + waiting;
}

function linearCount(config: ModelConfig): number {
  return decoderLinears(config).reduce((sum, module) => {
    const [outFeatures, inFeatures] = linearShape(config, module);
    return sum + outFeatures * inFeatures;
  }, 0);
}

function adapterCount(config: ModelConfig, rank: number, modules: readonly string[]): number {
  const { inputs, outputs } = widths(config, modules);
  return config.layers * rank * (inputs + outputs);
}

/** Inputs and outputs of these linears of one layer, added up. */
function widths(config: ModelConfig, modules: readonly string[]): { inputs: number; outputs: number } {
  const shapes = layerLinears
    .filter((name) => modules.some((module) => name.endsWith(module)))
    .map((name) => linearShape(config, `model.layers.0.${name}`));
  return { inputs: shapes.reduce((sum, [, size]) => sum + size, 0), outputs: shapes.reduce((sum, [size]) => sum + size, 0) };
}
