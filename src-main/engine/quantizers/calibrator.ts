/**
 * Streams calibration samples through the decoder, layer after layer. It owns their order and their hidden states, so a layer sees
 * what the already quantized layers before it produce, and statistics of one layer at a time are all that is ever held. Hidden states lie
 * where `createStore` finds room for them.
 */
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import * as tf from '@tensorflow/tfjs-core';
import { throwIfCancelled } from '../data/cancellation.ts';
import type { LanguageModel, LayerHooks } from '../model/language-model.ts';
import type { InputSite } from '../model/layer-activations.ts';
import { afterAttention, afterMlp, attentionInput, attentionOutput, mlpInput, mlpOutput, transformed } from '../model/layer-steps.ts';
import { type BatchShape, createStore, gatherRows, type HiddenStore, readTensor, writeTensor, writeValues } from './hidden-states.ts';
import { InputStatistics } from './input-statistics.ts';

/** Tokens that go through a layer at once. */
export const batchTokens = 4096;
/** Inner activations of a layer that take more than this are computed again instead of kept. */
const keptBytes = 1.5 * 2 ** 30;

/** Whether inner activations of `width` values per token are kept from one step of a layer to the next. */
export function isKept(width: number, tokens: number, limitBytes = keptBytes): boolean {
  return 4 * width * tokens <= limitBytes;
}

/** Thrown by a hook to leave a layer whose remaining outputs nobody needs; it never leaves `capture`. */
class CaptureComplete extends Error {}

export interface CalibratorOptions {
  signal?: AbortSignal;
  /** Folder for hidden states; memory when left out. */
  spillDir?: string;
  /** Most memory for the inner activations of a layer. */
  keptBytes?: number;
  /** Embeds token ids [batch, seq]; the model's own embeddings when left out. */
  embed?(ids: readonly Int32Array[]): Promise<Float32Array>;
}

export class Calibrator {
  private readonly model: LanguageModel;
  private readonly shapes: BatchShape[] = [];
  private readonly signal: AbortSignal | undefined;
  private readonly spillDir: string | null;
  private readonly keptBytes: number | undefined;
  /** Hidden states before the current layer. */
  private hidden: HiddenStore | null = null;
  /** Outputs of the layer the calibrator stands before, as it was; null unless `computeOutputs` was called. */
  private outputs: HiddenStore | null = null;
  /** What a stepwise capture is at: the attention's mixed values, or the MLP's inner activations. Null where they are computed again. */
  private inner: { store: HiddenStore; layer: number; kind: 'mixed' | 'gated' } | null = null;
  /** The layer whose hidden states a stepwise capture has already moved past its attention. */
  private attended: number | null = null;
  private files = 0;

  private constructor(model: LanguageModel, options: CalibratorOptions) {
    this.model = model;
    this.signal = options.signal;
    this.spillDir = options.spillDir ?? null;
    this.keptBytes = options.keptBytes;
  }

  /** Embeds `samples`, token sequences of equal length. */
  static async start(model: LanguageModel, samples: readonly Int32Array[], options: CalibratorOptions = {}): Promise<Calibrator> {
    const calibrator = new Calibrator(model, options);
    const sequenceLength = samples[0]!.length;
    const perBatch = Math.max(1, Math.floor(batchTokens / sequenceLength));
    const batches: (readonly Int32Array[])[] = [];
    for (let start = 0; start < samples.length; start += perBatch) batches.push(samples.slice(start, start + perBatch));
    for (const batch of batches) calibrator.shapes.push([batch.length, sequenceLength]);
    try {
      calibrator.hidden = await calibrator.newStore(model.config.hiddenSize);
      for (const [index, batch] of batches.entries()) {
        await calibrator.breathe();
        if (options.embed) await writeValues(calibrator.hidden, index, await options.embed(batch));
        else
          await writeTensor(
            calibrator.hidden,
            index,
            tf.tidy(() => model.embed(idTensor(batch))),
          );
      }
      return calibrator;
    } catch (error) {
      await calibrator.dispose();
      throw error;
    }
  }

  /**
   * Runs layer `index` up to the last linear of `groups` and gathers the statistics of what the linears read. The linears of one
   * group read the same input. The caller disposes the results, which come in the order of `groups`.
   */
  async capture(index: number, groups: readonly (readonly string[])[]): Promise<InputStatistics[]> {
    const statistics = groups.map(() => new InputStatistics());
    try {
      await this.forEachBatch((hidden) => this.runUntilCaptured(index, hidden, groups, statistics));
    } catch (error) {
      for (const item of statistics) item.dispose();
      throw error;
    }
    return statistics;
  }

  /**
   * Takes layer `index` to a step and gathers the statistics of what the linears of that step read; steps come in order, each after the
   * linears before it were replaced, and may be left out. Nothing is computed twice where memory allows: the mixed values of the attention
   * and the inner activations of the MLP are kept from step to step, and `advance` goes on from there.
   */
  async captureStep(index: number, step: InputSite): Promise<InputStatistics> {
    const statistics = new InputStatistics();
    const { model } = this;
    const add = (input: tf.Tensor2D) => tf.tidy(() => statistics.add(transformed(model, index, step, input)));
    const addOnce = (input: tf.Tensor2D) => {
      add(input);
      input.dispose();
    };
    try {
      if (step === 'attentionInput') await this.forEachInput(async (hidden) => addOnce(attentionInput(model, index, hidden)));
      else if (step === 'attentionOutput') {
        const { heads, headDim } = model.config;
        await this.fillInner(index, 'mixed', heads * headDim, (hidden) => attentionOutput(model, index, hidden), add);
      } else if (step === 'mlpInput') await this.passAttention(index, (hidden) => addOnce(mlpInput(model, index, hidden)));
      else {
        if (this.attended !== index) await this.passAttention(index);
        await this.fillInner(index, 'gated', model.config.intermediateSize, (hidden) => mlpOutput(model, index, hidden), add);
      }
      return statistics;
    } catch (error) {
      statistics.dispose();
      throw error;
    }
  }

  /** Replaces the hidden states by the outputs of layer `index` as it computes now. */
  async advance(index: number): Promise<void> {
    const { model } = this;
    if (this.innerOf(index, 'mixed')) await this.passAttention(index);
    if (this.attended !== index) {
      await this.forEachInput((hidden, batch) => writeTensor(this.required(this.hidden), batch, model.layer(index, hidden)));
      return;
    }
    await this.replaceHidden(
      this.innerOf(index, 'gated'),
      (hidden) => mlpOutput(model, index, hidden),
      (hidden, inner) => afterMlp(model, index, hidden, inner),
    );
    this.attended = null;
  }

  /** Computes the outputs of layer `index` as it is now, and keeps them beside the inputs until `acceptOutputs`; `hooks` look on. */
  async computeOutputs(index: number, hooks: LayerHooks = {}): Promise<void> {
    this.outputs ??= await this.newStore(this.model.config.hiddenSize);
    const { outputs } = this;
    await this.forEachInput(async (hidden, batch) => writeTensor(outputs, batch, this.model.layer(index, hidden, hooks)));
  }

  /** Goes on to the next layer with the outputs kept by `computeOutputs`. */
  acceptOutputs(): void {
    [this.hidden, this.outputs] = [this.outputs, this.hidden];
    this.attended = null;
  }

  /**
   * Calls `visit` with the layer's inputs [batch, seq, hidden], batch after batch in a fixed order, and with its float outputs where
   * `computeOutputs` kept them. The tensors belong to the calibrator and live until the visit ends.
   */
  async forEachBatch(visit: (input: tf.Tensor3D, output: tf.Tensor3D | null, batch: number) => void | Promise<void>): Promise<void> {
    await this.forEachInput(async (input, batch) => {
      const output = this.outputs ? await this.statesOf(this.outputs, batch) : null;
      try {
        await visit(input, output, batch);
      } finally {
        output?.dispose();
      }
    });
  }

  /** How many samples there are. */
  get samples(): number {
    return this.shapes.reduce((sum, [size]) => sum + size, 0);
  }

  /** Tokens of each sample. */
  get sequenceLength(): number {
    return this.shapes[0]![1];
  }

  /**
   * The layer's input and its float output (see `computeOutputs`) on some of the samples, each [indices, seq, hidden]. The caller disposes
   * them.
   */
  async gather(indices: readonly number[]): Promise<{ input: tf.Tensor3D; output: tf.Tensor3D }> {
    await this.breathe();
    return {
      input: await this.rowsOf(this.required(this.hidden), indices),
      output: await this.rowsOf(this.required(this.outputs), indices),
    };
  }

  async dispose(): Promise<void> {
    for (const store of [this.hidden, this.outputs, this.inner?.store]) await store?.close();
    this.hidden = null;
    this.outputs = null;
    this.inner = null;
  }

  private async rowsOf(store: HiddenStore, indices: readonly number[]): Promise<tf.Tensor3D> {
    const [perBatch, seq] = this.shapes[0]!;
    const rows = indices.map((index) => ({ batch: Math.floor(index / perBatch), first: (index % perBatch) * seq }));
    return gatherRows(store, rows, seq);
  }

  private statesOf(store: HiddenStore, batch: number): Promise<tf.Tensor3D> {
    return readTensor<tf.Rank.R3>(store, batch, [...this.shapes[batch]!, store.width]);
  }

  private async forEachInput(visit: (input: tf.Tensor3D, batch: number) => Promise<void>): Promise<void> {
    for (const batch of this.shapes.keys()) {
      await this.breathe();
      const input = await this.statesOf(this.required(this.hidden), batch);
      try {
        await visit(input, batch);
      } finally {
        input.dispose();
      }
    }
  }

  /** Computes the inner values [rows, width] of every batch from its hidden states, and keeps them unless they are too large. */
  private async fillInner(
    layer: number,
    kind: 'mixed' | 'gated',
    width: number,
    compute: (hidden: tf.Tensor3D) => tf.Tensor2D,
    visit: (inner: tf.Tensor2D) => void,
  ): Promise<void> {
    await this.releaseInner();
    if (isKept(width, this.samples * this.sequenceLength, this.keptBytes)) this.inner = { store: await this.newStore(width), layer, kind };
    await this.forEachInput(async (hidden, batch) => {
      const values = compute(hidden);
      visit(values);
      if (this.inner) await writeTensor(this.inner.store, batch, values);
      else values.dispose();
    });
  }

  /** Inner values as they were kept for layer `index`. */
  private innerOf(index: number, kind: 'mixed' | 'gated'): HiddenStore | null {
    return this.inner?.layer === index && this.inner.kind === kind ? this.inner.store : null;
  }

  /** Takes the hidden states past the attention of layer `index`. */
  private async passAttention(index: number, visit: (hidden: tf.Tensor3D) => void = () => undefined): Promise<void> {
    const { model } = this;
    await this.replaceHidden(
      this.innerOf(index, 'mixed'),
      (hidden) => attentionOutput(model, index, hidden),
      (hidden, mixed) => {
        const next = afterAttention(model, index, hidden, mixed);
        visit(next);
        return next;
      },
    );
    this.attended = index;
  }

  /** Replaces the hidden states by what follows from them and the inner values, which are computed where they were not kept, and let go. */
  private async replaceHidden(
    inner: HiddenStore | null,
    computeInner: (hidden: tf.Tensor3D) => tf.Tensor2D,
    compute: (hidden: tf.Tensor3D, inner: tf.Tensor2D) => tf.Tensor3D,
  ): Promise<void> {
    await this.forEachInput(async (hidden, batch) => {
      const [size, seq] = this.shapes[batch]!;
      const values = inner ? await readTensor<tf.Rank.R2>(inner, batch, [size * seq, inner.width]) : computeInner(hidden);
      const next = compute(hidden, values);
      values.dispose();
      await writeTensor(this.required(this.hidden), batch, next);
    });
    await this.releaseInner();
  }

  private async releaseInner(): Promise<void> {
    await this.inner?.store.close();
    this.inner = null;
  }

  private runUntilCaptured(
    index: number,
    hidden: tf.Tensor3D,
    groups: readonly (readonly string[])[],
    statistics: readonly InputStatistics[],
  ): void {
    const open = new Set(groups.keys());
    const onLinearInput = (module: string, input: tf.Tensor2D) => {
      const group = groups.findIndex((modules) => modules.includes(module));
      if (!open.delete(group)) return;
      statistics[group]!.add(input);
      if (open.size === 0) throw new CaptureComplete();
    };
    try {
      this.model.layer(index, hidden, { onLinearInput }).dispose();
    } catch (error) {
      if (!(error instanceof CaptureComplete)) throw error;
    }
  }

  private newStore(width: number): Promise<HiddenStore> {
    const file = this.spillDir === null ? null : join(this.spillDir, `hidden-${this.files++}`);
    return createStore(this.shapes, width, file);
  }

  private required(store: HiddenStore | null): HiddenStore {
    if (store) return store;
    throw new Error('the calibrator holds no such hidden states');
  }

  /** Lets messages (a cancellation, say) come in between two batches. */
  private async breathe(): Promise<void> {
    await setImmediate();
    throwIfCancelled(this.signal, 'Quantization');
  }
}

function idTensor(sequences: readonly Int32Array[]): tf.Tensor2D {
  const length = sequences[0]!.length;
  const all = new Int32Array(sequences.length * length);
  for (const [row, sequence] of sequences.entries()) all.set(sequence, row * length);
  return tf.tensor2d(all, [sequences.length, length], 'int32');
}
