/**
 * Peak bytes of GPU buffers of a training on the webgpu backend, before it runs. What is held at once at the end of a backward pass: weights,
 * moments and gradients, tables of the vocabulary on their way, and what each token has left behind. The factors were fitted to the counted
 * peaks of small models, which do not depend on the machine and which they meet within 15 %; batches of unequal sequences stay below the
 * estimate.
 */
import type { TrainStage } from '#contract/training.ts';
import { mostHeldBytes } from '../backends/webgpu/most-held-bytes.ts';
import type { ModelConfig } from '../model/config.ts';
import { decoderLinears, layerLinears, linearShape, parameterCount } from '../model/parameters.ts';
import { loadedBytes, type StoredForms } from '../model/stored-forms.ts';

/** Values per token and unit of width that a decoder layer holds, gradients included. Attention holds no scores. */
const held = { hidden: 14, queries: 13, intermediate: 6, adapterOutputs: 1.6, rounded: 2, transformed: 2.5, input: 2, head: 4 };
/** Of a layer's weights, what FlatQuant's transforms, clipping and rounding of them leave behind for the gradient. */
const transformedWeights = 11;
/** Share of a recomputed layer that waits, disposed of, for the commands that used it to be submitted. */
const waitingShare = 0.5;

export interface GpuTrainingMemory {
  /** The model as the stage finds it. */
  forms: StoredForms;
  stage: TrainStage;
  /** Tokens of the longest example (prompt, for RL), where it is known. */
  longest?: number;
  /** KD's teacher; a model like the student in 16 bits where it is not given. */
  teacher?: StoredForms;
}

/** Without the rollouts of RL. */
export function estimateGpuTrainingMemory(training: GpuTrainingMemory): number {
  const { forms, stage, longest } = training;
  return Math.round(trainingStateBytes(training) + activationBytes(forms, stage, longest));
}

/** What is held between steps: weights, moments, gradients on their way. */
export function trainingStateBytes({ forms, stage, teacher }: GpuTrainingMemory): number {
  const { trains, objective } = stage;
  const { config } = forms;
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
  const base = isLora ? loadedBytes({ ...forms, adapter: null }) : 0;
  const derived = isLora || trains.kind === 'weights' ? 0 : 4 * linears;
  return 4 * copies * trained + 4 * tables * table + base + derived + besideBytes(stage, forms, teacher);
}

/** The model that is only read: a teacher, or the policy at the start, whose linears are float32 where they are not quantized. */
function besideBytes({ objective }: TrainStage, forms: StoredForms, teacher?: StoredForms): number {
  if (objective.kind === 'kd') return loadedBytes(teacher ?? { ...forms, adapter: null, linear: () => ({ kind: 'bfloat16' }) });
  if (objective.kind !== 'rl' || objective.beta === 0) return 0;
  const linear: StoredForms['linear'] = (module) => {
    const form = forms.linear(module);
    return form.kind === 'integer' || form.kind === 'nf4' ? form : { kind: 'float32' };
  };
  return loadedBytes({ ...forms, adapter: null, linear });
}

function activationBytes(forms: StoredForms, stage: TrainStage, longest: number | undefined): number {
  const { config } = forms;
  const { objective, batchSize, data, trains } = stage;
  const { hiddenSize, intermediateSize, heads, headDim, layers } = config;
  const allowed = Math.min(config.contextLength, data.maxTokens, longest ?? Number.POSITIVE_INFINITY);
  const length = Math.min(config.contextLength, allowed + (objective.kind === 'rl' ? objective.maxNewTokens : 0));
  const adapters = trains.kind === 'lora' ? held.adapterOutputs * widths(config, trains.modules).outputs : 0;
  const inputs = (trains.kind === 'flatquant' ? held.transformed : 0) + (roundsActivations(forms, stage) ? held.rounded : 0);
  const rounded = inputs * (2 * hiddenSize + heads * headDim + intermediateSize);
  const layer = held.hidden * hiddenSize + held.queries * heads * headDim + held.intermediate * intermediateSize + adapters + rounded;
  const tokenBytes = 4 * batchSize * length;
  const weights = trains.kind === 'flatquant' ? (4 * transformedWeights * linearCount(config)) / layers : 0;
  const ends = held.head * hiddenSize;
  if (!stage.activationCheckpointing) return tokenBytes * (layers * layer + ends) + layers * weights;
  const waiting = Math.min(mostHeldBytes, tokenBytes * waitingShare * layer);
  return tokenBytes * (held.input * layers * hiddenSize + layer + ends) + waiting + weights;
}

function roundsActivations({ activations }: StoredForms, { trains }: TrainStage): boolean {
  if (trains.kind === 'quantized' && trains.scheme) return trains.scheme.activationBits !== undefined;
  return trains.kind !== 'weights' && activations.some((layer) => layer !== null && layer.mlpInput.quantizer !== null);
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
