/**
 * A model's weights as the decode engine holds them: linears that read one input stacked over each other, in buffers of its own, so that new
 * values go where the old ones were. They are copied on the GPU, in the order of the tensor library's own commands.
 */
import * as tf from '@tensorflow/tfjs-core';
import { dispatch, groupNumber, rowWindows } from '../../backends/webgpu/compute.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import { embeddingName, headName, linearShape } from '../../model/parameters.ts';
import type { Buffers } from './buffers.ts';
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

const dense: WeightFormat = { kind: 'float32' };

/** How each of the model's weights is to be held. */
export function planWeights(model: LanguageModel): WeightPlan {
  const layers = Array.from({ length: model.config.layers }, (_, index) => {
    const stack = (name: StackName) => {
      const modules = stackModules[name].map((module) => `model.layers.${index}.${module}`);
      return [name, stackPlan(model, modules)];
    };
    return Object.fromEntries(stackNames.map(stack)) as Record<StackName, StackPlan>;
  });
  return { layers, embedding: tablePlan(model, embeddingName), head: model.config.tiedEmbeddings ? null : tablePlan(model, headName) };
}

function stackPlan(model: LanguageModel, modules: readonly string[]): StackPlan {
  const shapes = modules.map((module) => linearShape(model.config, module));
  return {
    label: modules.join(' '),
    modules,
    inFeatures: shapes[0]![1],
    outFeatures: shapes.reduce((sum, [out]) => sum + out, 0),
    format: dense,
    hasBias: modules.some((module) => model.linear(module).bias()),
  };
}

function tablePlan({ config }: LanguageModel, name: string): StackPlan {
  const { vocabSize, hiddenSize } = config;
  return { label: name, modules: [name], inFeatures: hiddenSize, outFeatures: vocabSize, format: dense, hasBias: false };
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
export function fillStack(model: LanguageModel, { plan, parts, bias }: Stack): void {
  let row = 0;
  for (const module of plan.modules) {
    tf.tidy(() => {
      const isTable = model.parameters.has(module);
      const weight = isTable ? (model.parameter(module) as tf.Tensor2D) : model.linear(module).weight();
      copyRows(weight, parts.weights!, row, plan.inFeatures);
      const values = isTable ? null : model.linear(module).bias();
      if (values) copyRows(values, bias!, row, 1);
      row += weight.shape[0];
    });
  }
}

/** Values of a tensor of 32-bit words into rows of `words` each, from row `first` on. */
export function copyRows(from: tf.Tensor, to: GPUBuffer, first: number, words: number): void {
  const rows = from.size / words;
  for (const window of rowWindows(rows, 4 * words)) {
    const target = alignedWindow(to, 4 * (first + window.first) * words, 4 * window.rows * words);
    dispatch({
      name: 'decode-copy-words',
      reads: { source: { of: from, as: 'u32', offset: 4 * window.first * words, size: 4 * window.rows * words } },
      writes: { to: { of: to, as: 'u32', offset: target.offset, size: target.size } },
      integers: { count: window.rows * words, shift: target.shift },
      workgroups: Math.ceil((window.rows * words) / 256),
      code: () => `${groupNumber}
@compute @workgroup_size(256) fn main(
  @builtin(workgroup_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>, @builtin(local_invocation_index) t : u32
) {
  let place = groupNumber(id, groups) * 256u + t;
  if (place < parameters.count) { to[place + parameters.shift] = source[place]; }
}`,
    });
  }
}

/** A window of a buffer that begins where the device lets a binding begin; the wanted bytes follow after \`shift\` words. */
function alignedWindow(buffer: GPUBuffer, offset: number, size: number): { offset: number; size: number; shift: number } {
  const start = Math.floor(offset / 256) * 256;
  return { offset: start, size: Math.min(buffer.size - start, size + offset - start), shift: (offset - start) / 4 };
}
