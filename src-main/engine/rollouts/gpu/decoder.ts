/**
 * The decoder as a list of kernels on buffers that never change: what a submit of the engine records. A submit copies shared prompts, computes
 * prompt tokens and then several decode steps; tokens are drawn on the GPU and feed the next step there.
 */
import { flush } from '../../backends/webgpu/compute.ts';
import type { LanguageModel } from '../../model/language-model.ts';
import { finalNormName } from '../../model/parameters.ts';
import { tablePositions } from '../../model/rotary-cache.ts';
import type { SamplingSettings } from '../settings.ts';
import { Buffers } from './buffers.ts';
import { convertRows, copyTensor } from './convert.ts';
import { embedShader, normShader } from './kernels/rows.ts';
import { samplerPasses } from './kernels/sample.ts';
import type { SamplerBuffer } from './kernels/sample-common.ts';
import { weightParts } from './kernels/weight-format.ts';
import { DecodeLayer, type RotaryBuffers, recordProduct } from './layer.ts';
import { Product, windowBinding, windowsOf } from './product.ts';
import { type Kernel, kernelOf, type Recorder } from './program.ts';
import type { EngineShape } from './shape.ts';
import { createStack, fillStack, type Stack, type WeightPlan } from './weights.ts';
import { createWorkspace, type RowsFrom, type Workspace } from './workspace.ts';

export interface SamplerKernel {
  kernel: Kernel;
  /** Workgroups: [perRow, rows of logits]. */
  perRow: number;
}

export class Decoder {
  readonly shape: EngineShape;
  readonly plan: WeightPlan;
  readonly workspace: Workspace;
  private readonly buffers: Buffers;
  private readonly embedding: Stack;
  private readonly head: Stack;
  private readonly finalNormWeight: GPUBuffer;
  private readonly layers: DecodeLayer[];
  private readonly embed: Record<RowsFrom, Kernel[]>;
  private readonly finalNorm: Record<RowsFrom, Kernel>;
  private readonly headProduct: Product;

  /** @throws RoundoffError `out-of-memory`; nothing is held then */
  static create(model: LanguageModel, shape: EngineShape, plan: WeightPlan): Decoder {
    const buffers = new Buffers();
    try {
      return new Decoder(model, shape, plan, buffers);
    } catch (error) {
      // Copies into them may be recorded by then.
      flush();
      buffers.dispose();
      throw error;
    }
  }

  private constructor(model: LanguageModel, shape: EngineShape, plan: WeightPlan, buffers: Buffers) {
    this.buffers = buffers;
    const { hiddenSize, vocabSize, rmsNormEps } = shape.config;
    this.shape = shape;
    this.plan = plan;
    const workspace = createWorkspace(shape, buffers);
    this.workspace = workspace;
    const rotary = rotaryBuffers(shape, buffers);
    this.embedding = createStack(this.plan.embedding, buffers);
    this.head = this.plan.head ? createStack(this.plan.head, buffers) : this.embedding;
    this.finalNormWeight = buffers.bound('norms', 4 * hiddenSize);
    this.layers = this.plan.layers.map((plans, index) => new DecodeLayer(index, plans, { shape, workspace, rotary, buffers }));
    this.embed = { prompt: this.embedKernels('prompt'), state: this.embedKernels('state') };
    const norm = (from: RowsFrom) => {
      const { hidden, final, selected } = workspace;
      return kernelOf(normShader(hiddenSize, rmsNormEps, true), [hidden, this.finalNormWeight, final, selected[from]]);
    };
    this.finalNorm = { prompt: norm('prompt'), state: norm('state') };
    this.headProduct = new Product(this.head, { x: workspace.final, y: workspace.logits, stride: vocabSize, epilogue: 'store' }, buffers);
    fillRotary(model, shape, rotary);
    this.fill(model);
  }

  /** Takes the model's present weights. */
  fill(model: LanguageModel): void {
    fillStack(model, this.embedding);
    if (this.head !== this.embedding) fillStack(model, this.head);
    copyTensor(model.parameter(finalNormName), this.finalNormWeight);
    for (const layer of this.layers) layer.fill(model);
    flush();
  }

  /** Kernels that draw tokens, after prompts and in decode steps. @param words uniform, from `samplerWords` */
  samplers(settings: SamplingSettings, endTokens: readonly number[], words: GPUBuffer): Record<RowsFrom, SamplerKernel[]> {
    const { logits, places, selected, states, uniforms, outcomes, step, sampling } = this.workspace;
    const { config, slots } = this.shape;
    const passes = samplerPasses({ vocabSize: config.vocabSize, slots }, settings, endTokens);
    const kernels = (from: RowsFrom) => {
      const rows = { rows: places[from], selected: selected[from] };
      const all: Record<SamplerBuffer, GPUBuffer> = { logits, ...rows, states, outcomes, step, uniforms, work: sampling, settings: words };
      return passes.map(({ shader, buffers, perRow }) => ({
        kernel: kernelOf(
          shader,
          buffers.map((name) => all[name]),
        ),
        perRow,
      }));
    };
    return { prompt: kernels('prompt'), state: kernels('state') };
  }

  recordCopies(recorder: Recorder, pairs: number): void {
    for (const layer of this.layers) layer.recordCopies(recorder, pairs);
  }

  /**
   * One pass over `rows` rows, then logits of `wanted` of them.
   * @param longest most positions that a row attends to
   */
  record(recorder: Recorder, from: RowsFrom, rows: number, wanted: number, longest: number): void {
    for (const kernel of this.embed[from]) recorder.run(kernel, rows);
    for (const layer of this.layers) layer.record(recorder, from, rows, longest);
    if (wanted === 0) return;
    recorder.run(this.finalNorm[from], wanted);
    recordProduct(recorder, this.headProduct, this.shape, 'state', wanted);
  }

  /** Bytes of all buffers. */
  get sizeBytes(): number {
    return this.buffers.sizeBytes;
  }

  dispose(): void {
    this.buffers.dispose();
  }

  /** One per window of the table. */
  private embedKernels(from: RowsFrom): Kernel[] {
    const { hidden, places, states, decodeSlots, step, promptIds } = this.workspace;
    const { config } = this.shape;
    const { format } = this.plan.embedding;
    return windowsOf(this.embedding).map((window) => {
      const range = this.buffers.filled('places', Uint32Array.of(window.first, window.rows, 0, 0), GPUBufferUsage.UNIFORM);
      const rows = from === 'state' ? [states, range, places.state, decodeSlots, step] : [promptIds, range];
      const weights = weightParts(format).map((part) => windowBinding(this.embedding, part, window));
      return kernelOf(embedShader(config, format, from), [hidden, ...rows, ...weights]);
    });
  }
}

function rotaryBuffers({ config, capacity }: EngineShape, buffers: Buffers): RotaryBuffers {
  const table = () => buffers.bound('rotary tables', 2 * config.headDim * tablePositions(capacity));
  return { cosines: table(), sines: table() };
}

/** Angles do not change with the weights, so they are copied once. */
function fillRotary(model: LanguageModel, { config, capacity }: EngineShape, { cosines, sines }: RotaryBuffers): void {
  const { cos, sin } = model.rotary.upTo(capacity);
  const rows = { rows: tablePositions(capacity), words: config.headDim / 2, first: 0 };
  convertRows('copy', cos, cosines, rows);
  convertRows('copy', sin, sines, rows);
}
