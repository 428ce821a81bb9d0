/**
 * Streams calibration samples through the decoder, layer after layer. It owns their order and their hidden states, so a layer sees
 * what the already quantized layers before it produce, and statistics of one layer at a time are all that is ever held.
 */
import { setImmediate } from 'node:timers/promises';
import * as tf from '@tensorflow/tfjs-core';
import { throwIfCancelled } from '../data/cancellation.ts';
import type { LanguageModel, LayerHooks } from '../model/language-model.ts';
import { InputStatistics } from './input-statistics.ts';

/** Tokens that go through a layer at once. */
const batchTokens = 4096;

/** Thrown by a hook to leave a layer whose remaining outputs nobody needs; it never leaves `capture`. */
class CaptureComplete extends Error {}

export class Calibrator {
  private readonly model: LanguageModel;
  /** Hidden states [batch, seq, hidden] before layer `next`. */
  private readonly hidden: tf.Tensor3D[];
  private readonly signal: AbortSignal | undefined;
  /** Outputs of the layer the calibrator stands before, as it was; empty unless `computeOutputs` was called. */
  private outputs: tf.Tensor3D[] = [];

  /** `samples` are token sequences of equal length. */
  constructor(model: LanguageModel, samples: readonly Int32Array[], options: { signal?: AbortSignal } = {}) {
    this.model = model;
    this.signal = options.signal;
    const sequenceLength = samples[0]!.length;
    const perBatch = Math.max(1, Math.floor(batchTokens / sequenceLength));
    this.hidden = [];
    for (let start = 0; start < samples.length; start += perBatch) {
      const batch = samples.slice(start, start + perBatch);
      this.hidden.push(tf.tidy(() => model.embed(tf.tensor2d(joined(batch), [batch.length, sequenceLength], 'int32'))));
    }
  }

  /**
   * Runs layer `index` up to the last linear of `groups` and gathers the statistics of what the linears read. The linears of one
   * group read the same input. The caller disposes the results, which come in the order of `groups`.
   */
  async capture(index: number, groups: readonly (readonly string[])[]): Promise<InputStatistics[]> {
    const statistics = groups.map(() => new InputStatistics());
    try {
      for (const hidden of this.hidden) {
        await this.breathe();
        this.runUntilCaptured(index, hidden, groups, statistics);
      }
    } catch (error) {
      for (const item of statistics) item.dispose();
      throw error;
    }
    return statistics;
  }

  /** Replaces the hidden states by the outputs of layer `index` as it computes now. */
  async advance(index: number): Promise<void> {
    for (const [batch, hidden] of this.hidden.entries()) {
      await this.breathe();
      this.hidden[batch] = this.model.layer(index, hidden);
      hidden.dispose();
    }
  }

  /** Computes the outputs of layer `index` as it is now, and keeps them beside the inputs until `acceptOutputs`; `hooks` look on. */
  async computeOutputs(index: number, hooks: LayerHooks = {}): Promise<void> {
    for (const hidden of this.hidden) {
      await this.breathe();
      this.outputs.push(this.model.layer(index, hidden, hooks));
    }
  }

  /** Goes on to the next layer with the outputs kept by `computeOutputs`. */
  acceptOutputs(): void {
    for (const [batch, output] of this.outputs.entries()) {
      this.hidden[batch]!.dispose();
      this.hidden[batch] = output;
    }
    this.outputs = [];
  }

  /**
   * Calls `visit` with the layer's inputs [batch, seq, hidden], batch after batch in a fixed order, and with its float outputs where
   * `computeOutputs` kept them. The tensors belong to the calibrator.
   */
  async forEachBatch(visit: (input: tf.Tensor3D, output: tf.Tensor3D | null, batch: number) => void | Promise<void>): Promise<void> {
    for (const [batch, hidden] of this.hidden.entries()) {
      await this.breathe();
      await visit(hidden, this.outputs[batch] ?? null, batch);
    }
  }

  /** How many samples there are. */
  get samples(): number {
    return this.hidden.reduce((sum, { shape }) => sum + shape[0], 0);
  }

  /**
   * The layer's input and its float output (see `computeOutputs`) on some of the samples, each [indices, seq, hidden]. The caller disposes
   * them.
   */
  async gather(indices: readonly number[]): Promise<{ input: tf.Tensor3D; output: tf.Tensor3D }> {
    await this.breathe();
    const perBatch = this.hidden[0]!.shape[0];
    const rows = (batches: readonly tf.Tensor3D[]) =>
      tf.tidy(() => tf.concat(indices.map((index) => tf.slice(batches[Math.floor(index / perBatch)]!, index % perBatch, 1))));
    return { input: rows(this.hidden), output: rows(this.outputs) };
  }

  /** Tokens of each sample. */
  get sequenceLength(): number {
    return this.hidden[0]!.shape[1];
  }

  dispose(): void {
    tf.dispose(this.hidden);
    tf.dispose(this.outputs);
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

  /** Lets messages (a cancellation, say) come in between two batches. */
  private async breathe(): Promise<void> {
    await setImmediate();
    throwIfCancelled(this.signal, 'Quantization');
  }
}

function joined(sequences: readonly Int32Array[]): Int32Array {
  const length = sequences[0]!.length;
  const all = new Int32Array(sequences.length * length);
  for (const [row, sequence] of sequences.entries()) all.set(sequence, row * length);
  return all;
}
