/**
 * Peak memory of a training before it runs: the process at rest, the model with its gradients and moments, and what a micro-batch leaves behind
 * for the backward pass. Sizes follow from what the code holds at once; the factors were fitted to measured peaks of models of 0.8 to 25 million
 * parameters on the wasm backend, which they meet within 15 %.
 */
import type { TrainStage } from '#contract/training.ts';
import type { ModelConfig } from '../model/config.ts';
import { layerLinears, linearShape, parameterCount } from '../model/parameters.ts';

/** Node, the libraries, the kernels and native products. */
const restBytes = 248 * 2 ** 20;
/** What is held per value that the backward pass needs: the value, and a share of the gradients on their way. */
const heldPerValue = 1.73;
/** Completions of a micro-batch lie in a row without padding, and seldom do all of them take what the limits allow. */
const filledShare = 0.85;

/** Peak resident memory in bytes. `longest`: tokens of the longest example (prompt, for RL), where it is known: batches are padded to it. */
export function estimateTrainingMemory(config: ModelConfig, stage: TrainStage, longest?: number): number {
  return Math.round(restBytes + weightBytes(config, stage) + activationBytes(config, stage, longest));
}

/** Values with gradients have, beside themselves, a gradient, that of the step so far, and two moments. */
function weightBytes(config: ModelConfig, stage: TrainStage): number {
  const all = parameterCount(config);
  const { trains, objective } = stage;
  const trained = trains.kind === 'lora' ? adapterCount(config, trains.rank, trains.modules) : all;
  const copies = 3 + (stage.accumulation > 1 || objective.kind === 'rl' ? 2 : 1);
  const derived = trains.kind === 'weights' || trains.kind === 'lora' ? 0 : all;
  const reference = objective.kind === 'kd' || (objective.kind === 'rl' && objective.beta > 0) ? all : 0;
  return 4 * (copies * trained + (trains.kind === 'lora' ? all : 0) + derived + reference);
}

function adapterCount(config: ModelConfig, rank: number, modules: readonly string[]): number {
  const { inputs, outputs } = widthsOf(config, modules);
  return config.layers * rank * (inputs + outputs);
}

/** Inputs and outputs of these linears of one layer, added up. */
function widthsOf(config: ModelConfig, modules: readonly string[]): { inputs: number; outputs: number } {
  const shapes = layerLinears
    .filter((name) => modules.some((module) => name.endsWith(module)))
    .map((name) => linearShape(config, `model.layers.0.${name}`));
  return {
    inputs: shapes.reduce((sum, [, inFeatures]) => sum + inFeatures, 0),
    outputs: shapes.reduce((sum, [outFeatures]) => sum + outFeatures, 0),
  };
}

/** An adapter's own activations; of its inputs and of dropout nothing is kept. */
function adapterWidth(config: ModelConfig, { trains }: TrainStage): number {
  return trains.kind === 'lora' ? 0.45 * widthsOf(config, trains.modules).outputs : 0;
}

function activationBytes(config: ModelConfig, stage: TrainStage, longest: number | undefined): number {
  const { objective, batchSize, data } = stage;
  const allowed = Math.min(config.contextLength, data.maxTokens, longest ?? Number.POSITIVE_INFINITY);
  const length = Math.min(config.contextLength, allowed + (objective.kind === 'rl' ? objective.maxNewTokens : 0));
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim, layers } = config;
  const own = 6 * hiddenSize + 3 * heads * headDim + 4 * kvHeads * headDim + 5 * intermediateSize;
  const perLayer = own + adapterWidth(config, stage);
  const kept = stage.activationCheckpointing ? layers * hiddenSize + perLayer : layers * perLayer;
  const filled = objective.kind === 'rl' ? filledShare : 1;
  return 4 * heldPerValue * batchSize * filled * length * kept;
}
