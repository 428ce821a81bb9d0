/** One decoder layer of the engine: its weights, its cache and its kernels. */
import type { LanguageModel } from '../../model/language-model.ts';
import type { InputSite } from '../../model/layer-activations.ts';
import { ActivationKernels } from './activations.ts';
import type { Buffers } from './buffers.ts';
import { copyTensor } from './convert.ts';
import { attentionShader, mergeShader, segmentPositions } from './kernels/attention.ts';
import { appendShader, cacheBytes, copyShader } from './kernels/cache.ts';
import type { Epilogue } from './kernels/products.ts';
import { normShader } from './kernels/rows.ts';
import { Product } from './product.ts';
import { type Kernel, kernelOf, type Recorder } from './program.ts';
import { cacheShape, type EngineShape, fewSlots, paddedRows } from './shape.ts';
import { createStack, fillStack, type Stack, type StackName, type StackPlan, stackNames } from './weights.ts';
import type { RowsFrom, Workspace } from './workspace.ts';

/** Shared by all layers; cosines and sines are [positions, headDim / 2]. */
export interface RotaryBuffers {
  cosines: GPUBuffer;
  sines: GPUBuffer;
}

interface AttentionKernels {
  append: Kernel;
  attend: Kernel;
}

export class DecodeLayer {
  private readonly index: number;
  private readonly shape: EngineShape;
  private readonly stacks: Record<StackName, Stack>;
  private readonly products: Record<StackName, Product>;
  private readonly norms: { name: string; buffer: GPUBuffer; first: number }[];
  private readonly inputNorm: Kernel;
  private readonly postNorm: Kernel;
  private readonly attention: Record<RowsFrom, AttentionKernels>;
  private readonly split: Kernel;
  private readonly merge: Kernel;
  private readonly copy: Kernel;
  private readonly activations: ActivationKernels;

  constructor(
    index: number,
    plans: Record<StackName, StackPlan>,
    { shape, workspace, rotary, buffers }: { shape: EngineShape; workspace: Workspace; rotary: RotaryBuffers; buffers: Buffers },
  ) {
    const { config, capacity } = shape;
    const { hiddenSize, headDim, qkNorm, rmsNormEps } = config;
    const { hidden, normed, qkv, mixed, partials, places, copies } = workspace;
    this.index = index;
    this.shape = shape;
    this.activations = new ActivationKernels(index, shape, workspace, buffers);
    this.stacks = Object.fromEntries(stackNames.map((name) => [name, createStack(plans[name], buffers)])) as Record<StackName, Stack>;
    this.products = createProducts(this.stacks, this.activations.inputs, shape, workspace, buffers);
    const [inputNorm, postNorm] = [buffers.bound('norms', 4 * hiddenSize), buffers.bound('norms', 4 * hiddenSize)];
    // Of queries, then of keys.
    const headNorms = qkNorm ? [buffers.bound('norms', 8 * headDim)] : [];
    this.norms = [
      { name: 'input_layernorm', buffer: inputNorm, first: 0 },
      { name: 'post_attention_layernorm', buffer: postNorm, first: 0 },
      ...headNorms.flatMap((buffer) => [
        { name: 'self_attn.q_norm', buffer, first: 0 },
        { name: 'self_attn.k_norm', buffer, first: headDim },
      ]),
    ];
    const norm = (weight: GPUBuffer) => kernelOf(normShader(hiddenSize, rmsNormEps, false), [hidden, weight, normed]);
    this.inputNorm = norm(inputNorm);
    this.postNorm = norm(postNorm);

    const cache = cacheShape(shape, index);
    const keys = buffers.bound('keys of a layer', cacheBytes(cache.keys, cache));
    const values = buffers.bound('values of a layer', cacheBytes(cache.values, cache));
    const { cosines, sines } = rotary;
    const { heads, headBindings } = this.activations;
    const append = appendShader(config, cache, heads);
    const attention = (from: RowsFrom): AttentionKernels => ({
      append: kernelOf(append, [qkv, places[from], cosines, sines, ...headNorms, keys, values, ...headBindings]),
      attend: kernelOf(attentionShader(config, cache, 'whole'), [qkv, places[from], mixed, keys, values]),
    });
    this.attention = { prompt: attention('prompt'), state: attention('state') };
    this.split = kernelOf(attentionShader(config, cache, 'split'), [qkv, places.state, partials, keys, values]);
    this.merge = kernelOf(mergeShader(config, capacity), [partials, places.state, mixed]);
    this.copy = kernelOf(copyShader(cache), [copies, keys, values]);
  }

  /** Records copies of the model's present weights. */
  fill(model: LanguageModel): void {
    for (const name of stackNames) fillStack(model, this.stacks[name]);
    for (const { name, buffer, first } of this.norms) {
      copyTensor(model.parameter(`model.layers.${this.index}.${name}.weight`), buffer, first);
    }
    this.activations.fill(model.activationOps(this.index)?.settings ?? null);
  }

  recordCopies(recorder: Recorder, pairs: number): void {
    recorder.run(this.copy, pairs, this.shape.config.kvHeads);
  }

  /** hidden → hidden. @param longest most positions that a row attends to */
  record(recorder: Recorder, from: RowsFrom, rows: number, longest: number): void {
    recorder.run(this.inputNorm, rows);
    this.product(recorder, 'attentionInput', from, rows);
    this.recordAttention(recorder, from, rows, longest);
    this.product(recorder, 'attentionOutput', from, rows);
    recorder.run(this.postNorm, rows);
    this.product(recorder, 'mlpInput', from, rows);
    this.product(recorder, 'mlpOutput', from, rows);
  }

  private recordAttention(recorder: Recorder, from: RowsFrom, rows: number, longest: number): void {
    const { heads, kvHeads } = this.shape.config;
    const { append, attend } = this.attention[from];
    recorder.run(append, heads + 2 * kvHeads, rows);
    if (from === 'prompt' || longest <= segmentPositions) recorder.run(attend, kvHeads, rows);
    else {
      recorder.run(this.split, kvHeads, rows, Math.ceil(longest / segmentPositions));
      recorder.run(this.merge, heads, rows);
    }
  }

  private product(recorder: Recorder, name: StackName, from: RowsFrom, rows: number): void {
    this.activations.record(recorder, name, rows);
    recordProduct(recorder, this.products[name], this.shape, from, rows);
  }
}

/** Prompts go through tiles; decode steps by how many slots the engine has, never by how many of them are busy. */
export function recordProduct(recorder: Recorder, product: Product, shape: EngineShape, from: RowsFrom, rows: number): void {
  if (from === 'prompt' || shape.slots > fewSlots) product.recordTiles(recorder, rows);
  else product.recordLanes(recorder, paddedRows(shape, rows));
}

function createProducts(
  stacks: Record<StackName, Stack>,
  inputs: Record<InputSite, GPUBuffer>,
  { config }: EngineShape,
  { hidden, qkv, activated }: Workspace,
  buffers: Buffers,
) {
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim } = config;
  const product = (name: StackName, y: GPUBuffer, stride: number, epilogue: Epilogue) =>
    new Product(stacks[name], { x: inputs[name], y, stride, epilogue }, buffers);
  return {
    attentionInput: product('attentionInput', qkv, (heads + 2 * kvHeads) * headDim, 'store'),
    attentionOutput: product('attentionOutput', hidden, hiddenSize, 'add'),
    mlpInput: product('mlpInput', activated, intermediateSize, 'swiglu'),
    mlpOutput: product('mlpOutput', hidden, hiddenSize, 'add'),
  };
}
