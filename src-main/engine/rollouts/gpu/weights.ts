/**
 * A model's weights as the decode engine holds them: linears that read one input stacked over each other, in buffers of its own, so that new
 * values go where the old ones were.
 */
import * as tf from '@tensorflow/tfjs-core';
import { flush } from '../../backends/webgpu/compute.ts';
import { nf4BlockSize } from '../../formats/nf4.ts';
import type { ModelConfig } from '../../model/config.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import { PackedLinearOp } from '../../model/linear-op.ts';
import { embeddingName, headName, linearShape } from '../../model/parameters.ts';
import type { PackedWeight } from '../../ops/index.ts';
import type { WeightPrecision } from '../settings.ts';
import { Buffers } from './buffers.ts';
import { convertRows, copyTensor, expandZeros, flagLosses, lossOf, readWords } from './convert.ts';
import { partWords, type WeightFormat, type WeightPart, weightParts } from './kernels/weight-format.ts';

/** Linears stacked over each other, or a table. */
export interface StackPlan {
  label: string;
  /** Modules (`….q_proj`) of linears, or the name of one parameter. */
  modules: readonly string[];
  inFeatures: number;
  outFeatures: number;
  format: WeightFormat;
  hasBias: boolean;
}

export interface Stack {
  plan: StackPlan;
  parts: Partial<Record<WeightPart, GPUBuffer>>;
  bias: GPUBuffer | null;
}

/** One layer's stacks. */
export const stackModules = {
  attentionInput: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
  attentionOutput: ['self_attn.o_proj'],
  mlpInput: ['mlp.gate_proj', 'mlp.up_proj'],
  mlpOutput: ['mlp.down_proj'],
} as const;
export type StackName = keyof typeof stackModules;
export const stackNames = Object.keys(stackModules) as StackName[];

export interface WeightPlan {
  layers: Record<StackName, StackPlan>[];
  embedding: StackPlan;
  /** Null where the embedding is the head too. */
  head: StackPlan | null;
}

/**
 * How each of the model's weights is to be held: packed codes as they are, half precision where that loses nothing, float32 otherwise.
 * @param precision `half` rounds what would lose to binary16, within its range; `float32` keeps dense weights whole
 */
export async function planWeights(model: LanguageModel, precision: WeightPrecision): Promise<WeightPlan> {
  const plan = layOutWeights(model.config, {
    linear: (module) => heldFormat(packedWeight(model, module)),
    table: { kind: 'float32' },
    hasBias: (module) => model.linear(module).bias() !== null,
  });
  if (precision !== 'float32') await halveDense(model, plan, precision === 'half');
  return plan;
}

/** How weights lie before they are stacked. */
export interface WeightForms {
  linear(module: string): WeightFormat;
  /** Of embeddings and head. */
  table: WeightFormat;
  hasBias(module: string): boolean;
}

export function layOutWeights(config: ModelConfig, forms: WeightForms): WeightPlan {
  const layers = Array.from({ length: config.layers }, (_, index) => {
    const stack = (name: StackName) => {
      const modules = stackModules[name].map((module) => `model.layers.${index}.${module}`);
      return [name, stackPlan(config, modules, forms)];
    };
    return Object.fromEntries(stackNames.map(stack)) as Record<StackName, StackPlan>;
  });
  const { vocabSize, hiddenSize } = config;
  const table = (name: string): StackPlan => ({
    ...{ label: name, modules: [name], inFeatures: hiddenSize, outFeatures: vocabSize, format: forms.table, hasBias: false },
  });
  return { layers, embedding: table(embeddingName), head: config.tiedEmbeddings ? null : table(headName) };
}

/** Gives dense stacks the smallest form that holds their values. */
async function halveDense(model: LanguageModel, { layers, embedding, head }: WeightPlan, mayRound: boolean): Promise<void> {
  const all = [...layers.flatMap((layer) => stackNames.map((name) => layer[name])), embedding, ...(head ? [head] : [])];
  const dense = all.filter(({ format }) => format.kind === 'float32');
  const buffers = new Buffers();
  try {
    const flags = buffers.storage('losses', 4 * dense.length);
    for (const [place, { modules }] of dense.entries()) {
      for (const module of modules) tf.tidy(() => flagLosses(denseValues(model, module), flags, place));
    }
    flush();
    const losses = await readWords(flags);
    for (const [place, stack] of dense.entries()) {
      const kind = (['bfloat16', 'float16'] as const).find((half) => (losses[place]! & lossOf[half]) === 0);
      const rounds = mayRound && (losses[place]! & lossOf.range) === 0;
      if (kind || rounds) stack.format = { kind: kind ?? 'float16' };
    }
  } finally {
    buffers.dispose();
  }
}

function stackPlan(config: ModelConfig, modules: readonly string[], { linear, hasBias }: WeightForms): StackPlan {
  const shapes = modules.map((module) => linearShape(config, module));
  const inFeatures = shapes[0]![1];
  return {
    label: modules.join(' '),
    modules,
    inFeatures,
    outFeatures: shapes.reduce((sum, [out]) => sum + out, 0),
    format: stackFormat(modules.map(linear), inFeatures),
    hasBias: modules.some(hasBias),
  };
}

/** The form of linears that can lie over each other as they are; float32 otherwise. */
function stackFormat(formats: readonly WeightFormat[], inFeatures: number): WeightFormat {
  const first = formats[0]!;
  const isOne = formats.every((format) => JSON.stringify(format) === JSON.stringify(first));
  const isGrouped = first.kind === 'integer' && first.grouped && formats.length > 1;
  const crossesRows = first.kind === 'nf4' && inFeatures % nf4BlockSize !== 0;
  return isOne && !isGrouped && !crossesRows ? first : { kind: 'float32' };
}

function heldFormat(weight: PackedWeight | null): WeightFormat {
  if (!weight) return { kind: 'float32' };
  const { layout, groupIndex } = weight;
  if (layout.coding === 'nf4') return { kind: 'nf4' };
  return { kind: 'integer', bits: layout.bits, groupSize: layout.groupSize, symmetric: layout.symmetric, grouped: groupIndex !== null };
}

function packedWeight(model: LanguageModel, module: string): PackedWeight | null {
  const op = model.linear(module);
  return op instanceof PackedLinearOp ? op.packed : null;
}

/** Float weights of a linear, or a table. Within `tf.tidy`. */
function denseValues(model: LanguageModel, module: string): tf.Tensor2D {
  return (model.parameters.get(module) as tf.Tensor2D | undefined) ?? model.linear(module).weight();
}

/** Buffers for a stack, without values yet. */
export function createStack(plan: StackPlan, buffers: Buffers): Stack {
  const { label, format, inFeatures, outFeatures, hasBias } = plan;
  const parts: Stack['parts'] = {};
  for (const part of weightParts(format)) {
    const rows = part === 'groupIndex' ? plan.modules.length : outFeatures;
    parts[part] = buffers.storage(`${part} of ${label}`, 4 * rows * partWords(format, part, inFeatures));
  }
  return { plan, parts, bias: hasBias ? buffers.storage(`biases of ${label}`, 4 * outFeatures) : null };
}

/** Records copies of the model's present values. */
export function fillStack(model: LanguageModel, stack: Stack): void {
  const { plan, bias } = stack;
  let row = 0;
  for (const module of plan.modules) {
    const isTable = model.parameters.has(module);
    const rows = isTable ? plan.outFeatures : linearShape(model.config, module)[0];
    const packed = isTable ? null : packedWeight(model, module);
    if (packed && (plan.format.kind === 'integer' || plan.format.kind === 'nf4')) fillPacked(stack, packed, row, rows);
    else fillDense(model, stack, module, row, rows);
    const values = isTable ? null : model.linear(module).bias();
    if (values && bias) copyTensor(values, bias, row);
    row += rows;
  }
}

function fillDense(model: LanguageModel, { plan, parts }: Stack, module: string, row: number, rows: number): void {
  const { format, inFeatures } = plan;
  const conversion = format.kind === 'bfloat16' || format.kind === 'float16' ? format.kind : 'copy';
  tf.tidy(() => convertRows(conversion, denseValues(model, module), parts.weights!, { rows, words: inFeatures, first: row }));
}

function fillPacked({ plan, parts }: Stack, { words, scales, zeros, groupIndex }: PackedWeight, row: number, rows: number): void {
  const { format, inFeatures } = plan;
  const perRow = (part: WeightPart) => partWords(format, part, inFeatures);
  convertRows('copy', words, parts.weights!, { rows, words: perRow('weights'), first: row });
  convertRows('copy', scales, parts.scales!, { rows, words: perRow('scales'), first: row });
  if (format.kind !== 'integer') return;
  if (zeros) expandZeros(zeros, format.bits, rows * perRow('zeros'), parts.zeros!, row * perRow('zeros'));
  if (groupIndex) copyTensor(groupIndex, parts.groupIndex!);
}
