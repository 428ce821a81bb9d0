/**
 * The seeded order in which examples are visited. Every epoch is a fresh permutation; within a window of it, examples of similar length
 * share a batch, so that little is padded, and the batches of the window are shuffled. Batch n depends on the seed alone, which is all
 * a resumed run needs.
 */
import { RandomStream } from '../data/random-stream.ts';
import type { TrainingData, TrainingExample } from './examples.ts';

export interface BatchOrderSettings {
  seed: number;
  /** Sequences per batch. */
  batchSize: number;
  /** Batches among which sequences are sorted by length; 1 leaves the order purely random. */
  batchesPerWindow: number;
}

export class BatchOrder {
  private readonly data: TrainingData;
  private readonly settings: BatchOrderSettings;
  private readonly stream: RandomStream;
  private epoch: { index: number; permutation: Int32Array } | null = null;
  private window: { index: number; batches: TrainingExample[][] } | null = null;

  constructor(data: TrainingData, settings: BatchOrderSettings) {
    this.data = data;
    this.settings = settings;
    this.stream = new RandomStream(settings.seed, 'batch-order');
  }

  /** Whole batches in one pass over the data; the rest of fewer than `batchSize` examples waits for another permutation. */
  get batchesPerEpoch(): number {
    return Math.max(1, Math.floor(this.data.count / this.settings.batchSize));
  }

  /** Batch number `index`, counted over all epochs. */
  batch(index: number): TrainingExample[] {
    const { batchesPerWindow } = this.settings;
    const epoch = Math.floor(index / this.batchesPerEpoch);
    const inEpoch = index % this.batchesPerEpoch;
    const windowsPerEpoch = Math.ceil(this.batchesPerEpoch / batchesPerWindow);
    const inWindow = Math.floor(inEpoch / batchesPerWindow);
    const window = epoch * windowsPerEpoch + inWindow;
    if (this.window?.index !== window) this.window = { index: window, batches: this.openWindow(epoch, inWindow) };
    return this.window.batches[inEpoch % batchesPerWindow]!;
  }

  private openWindow(epoch: number, inWindow: number): TrainingExample[][] {
    const { batchSize, batchesPerWindow } = this.settings;
    const first = inWindow * batchesPerWindow;
    const count = Math.min(batchesPerWindow, this.batchesPerEpoch - first);
    const indices = this.permutationOf(epoch).subarray(first * batchSize, (first + count) * batchSize);
    const examples = Array.from(indices, (index) => this.data.example(index));
    // Sorting is stable, so equal lengths keep the permutation's order on every platform.
    if (batchesPerWindow > 1) examples.sort((a, b) => a.ids.length - b.ids.length);
    const batches = Array.from({ length: count }, (_, batch) => examples.slice(batch * batchSize, (batch + 1) * batchSize));
    return this.stream.fork(`window ${epoch} ${inWindow}`).shuffle(batches);
  }

  private permutationOf(epoch: number): Int32Array {
    if (this.epoch?.index === epoch) return this.epoch.permutation;
    const all = Array.from({ length: this.data.count }, (_, index) => index);
    const permutation = Int32Array.from(this.stream.fork(`epoch ${epoch}`).shuffle(all));
    this.epoch = { index: epoch, permutation };
    return permutation;
  }
}
