/** One decoder layer of the engine: its weights, its cache and its kernels. */
import type { LanguageModel } from '../../model/language-model.ts';
import type { TokenQuantizer } from '../../model/layer-activations.ts';
import type { Buffers } from './buffers.ts';
import { copyTensor } from './convert.ts';
import { attentionShader, mergeShader, segmentPositions } from './kernels/attention.ts';
import { appendShader, cacheBytes, copyShader } from './kernels/cache.ts';
import { largestPromptHead, promptAttentionShader, promptTileRows } from './kernels/prompt-attention.ts';
import { normShader } from './kernels/rows.ts';
import { quantizerWordsOf, quantizeShader } from './kernels/token-grid.ts';
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
  /** Rows of each of its workgroups. */
  tileRows: number;
}

export class DecodeLayer {
  private readonly index: number;
  private readonly shape: EngineShape;
  private readonly stacks: Record<StackName, Stack>;
  private readonly products: Record<StackName, Product>;
  private readonly norms: Map<string, GPUBuffer>;
  private readonly inputNorm: Kernel;
  private readonly postNorm: Kernel;
  private readonly attention: Record<RowsFrom, AttentionKernels>;
  private readonly split: Kernel;
  private readonly merge: Kernel;
  private readonly copy: Kernel;
  /** Of what products read. */
  private readonly quantize: Partial<Record<StackName, Kernel>> = {};

  constructor(
    index: number,
    plans: Record<StackName, StackPlan>,
    { shape, workspace, rotary, buffers }: { shape: EngineShape; workspace: Workspace; rotary: RotaryBuffers; buffers: Buffers },
  ) {
    const { config, capacity } = shape;
    const { hiddenSize, headDim, qkNorm, rmsNormEps } = config;
    const { hidden, normed, qkv, mixed, activated, partials, places, copies } = workspace;
    this.index = index;
    this.shape = shape;
    this.stacks = Object.fromEntries(stackNames.map((name) => [name, createStack(plans[name], buffers)])) as Record<StackName, Stack>;
    this.products = createProducts(this.stacks, shape, workspace, buffers);
    const sizes = { input_layernorm: hiddenSize, post_attention_layernorm: hiddenSize };
    const headSizes = qkNorm ? { 'self_attn.q_norm': headDim, 'self_attn.k_norm': headDim } : {};
    this.norms = new Map(Object.entries({ ...sizes, ...headSizes }).map(([name, size]) => [name, buffers.bound('norms', 4 * size)]));
    const norm = (name: string) => kernelOf(normShader(hiddenSize, rmsNormEps, false), [hidden, this.norms.get(name)!, normed]);
    this.inputNorm = norm('input_layernorm');
    this.postNorm = norm('post_attention_layernorm');

    const cache = cacheShape(shape, index);
    const keys = buffers.bound('keys of a layer', cacheBytes(cache.keys, cache));
    const values = buffers.bound('values of a layer', cacheBytes(cache.values, cache));
    const quantizers = shape.quantizers[index];
    const uniform = (...of: (TokenQuantizer | null)[]) => buffers.filled('quantizers', quantizerWordsOf(of), GPUBufferUsage.UNIFORM);
    const quantized = { keys: Boolean(quantizers?.keys), values: Boolean(quantizers?.values) };
    const grids = quantized.keys || quantized.values ? [uniform(quantizers!.keys, quantizers!.values)] : [];
    const inputs = { attentionInput: normed, attentionOutput: mixed, mlpInput: normed, mlpOutput: activated };
    for (const name of stackNames) {
      const quantizer = quantizers?.[name];
      const size = plans[name].inFeatures;
      if (quantizer) this.quantize[name] = kernelOf(quantizeShader(size), [inputs[name], uniform(quantizer)]);
    }
    const headNorms = Object.keys(headSizes).map((name) => this.norms.get(name)!);
    const { cosines, sines } = rotary;
    const attention = (from: RowsFrom): AttentionKernels => {
      const isTiled = from === 'prompt' && headDim <= largestPromptHead;
      const attend = isTiled ? promptAttentionShader(config, cache) : attentionShader(config, cache, 'whole');
      return {
        append: kernelOf(appendShader(config, cache, quantized), [qkv, places[from], cosines, sines, ...headNorms, keys, values, ...grids]),
        attend: kernelOf(attend, [qkv, places[from], mixed, keys, values]),
        tileRows: isTiled ? promptTileRows(config) : 1,
      };
    };
    this.attention = { prompt: attention('prompt'), state: attention('state') };
    this.split = kernelOf(attentionShader(config, cache, 'split'), [qkv, places.state, partials, keys, values]);
    this.merge = kernelOf(mergeShader(config, capacity), [partials, places.state, mixed]);
    this.copy = kernelOf(copyShader(cache), [copies, keys, values]);
  }

  /** Records copies of the model's present weights. */
  fill(model: LanguageModel): void {
    for (const name of stackNames) fillStack(model, this.stacks[name]);
    for (const [name, buffer] of this.norms) copyTensor(model.parameter(`model.layers.${this.index}.${name}.weight`), buffer);
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
    const { append, attend, tileRows } = this.attention[from];
    recorder.run(append, heads + 2 * kvHeads, rows);
    if (from === 'prompt' || longest <= segmentPositions) recorder.run(attend, kvHeads, Math.ceil(rows / tileRows));
    else {
      recorder.run(this.split, kvHeads, rows, Math.ceil(longest / segmentPositions));
      recorder.run(this.merge, heads, rows);
    }
  }

  private product(recorder: Recorder, name: StackName, from: RowsFrom, rows: number): void {
    const quantize = this.quantize[name];
    if (quantize) recorder.run(quantize, rows);
    recordProduct(recorder, this.products[name], this.shape, from, rows);
  }
}

/** Prompts go through tiles; decode steps by how many slots the engine has, never by how many of them are busy. */
export function recordProduct(recorder: Recorder, product: Product, shape: EngineShape, from: RowsFrom, rows: number): void {
  if (from === 'prompt' || shape.slots > fewSlots) product.recordTiles(recorder, rows);
  else product.recordLanes(recorder, paddedRows(shape, rows));
}

function createProducts(stacks: Record<StackName, Stack>, { config }: EngineShape, workspace: Workspace, buffers: Buffers) {
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim } = config;
  const { hidden, normed, qkv, mixed, activated } = workspace;
  const qkvWidth = (heads + 2 * kvHeads) * headDim;
  return {
    attentionInput: new Product(stacks.attentionInput, { x: normed, y: qkv, stride: qkvWidth, epilogue: 'store' }, buffers),
    attentionOutput: new Product(stacks.attentionOutput, { x: mixed, y: hidden, stride: hiddenSize, epilogue: 'add' }, buffers),
    mlpInput: new Product(stacks.mlpInput, { x: normed, y: activated, stride: intermediateSize, epilogue: 'swiglu' }, buffers),
    mlpOutput: new Product(stacks.mlpOutput, { x: activated, y: hidden, stride: hiddenSize, epilogue: 'add' }, buffers),
  };
}
