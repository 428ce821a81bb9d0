/**
 * Mean KL divergence of a changed model from the model as it was, on the same tokens. The unchanged hidden states before the current
 * layer and after the last are kept, so that a change in layer N recomputes only the layers from N on; logits exist for a few rows at a time.
 */
import * as tf from '@tensorflow/tfjs-core';
import { throwIfCancelled } from '../../data/cancellation.ts';
import type { LanguageModel } from '../../model/language-model.ts';

/** Tokens that go through the layers at once. */
const batchTokens = 2048;
/** Logits held at once, in values. */
const chunkValues = 2 ** 24;

export class Divergence {
  private readonly model: LanguageModel;
  private readonly signal: AbortSignal | undefined;
  /** Before the current layer, batch by batch: [batch, seq, hidden]. */
  private readonly before: tf.Tensor3D[] = [];
  /** After the final norm of the unchanged model: [rows, hidden]. */
  private readonly reference: tf.Tensor2D[] = [];

  private constructor(model: LanguageModel, signal: AbortSignal | undefined) {
    this.model = model;
    this.signal = signal;
  }

  /** Runs the unchanged model over samples of equal length. */
  static async start(model: LanguageModel, samples: readonly Int32Array[], signal?: AbortSignal): Promise<Divergence> {
    const divergence = new Divergence(model, signal);
    const length = samples[0]!.length;
    const perBatch = Math.max(1, Math.floor(batchTokens / length));
    try {
      for (let start = 0; start < samples.length; start += perBatch) {
        const batch = samples.slice(start, start + perBatch);
        const ids = tf.tensor2d(Int32Array.from(batch.flatMap((sample) => [...sample])), [batch.length, length], 'int32');
        divergence.before.push(model.embed(ids));
        ids.dispose();
        divergence.reference.push(await divergence.finish(divergence.before.at(-1)!, 0));
      }
      return divergence;
    } catch (error) {
      divergence.dispose();
      throw error;
    }
  }

  /** Mean KL(reference ‖ now) per token in nats, of the model as it computes now from layer `first` on. */
  async from(first: number): Promise<number> {
    let sum = 0;
    let rows = 0;
    for (const [batch, hidden] of this.before.entries()) {
      const changed = await this.finish(hidden, first);
      sum += await this.summed(this.reference[batch]!, changed);
      rows += changed.shape[0];
      changed.dispose();
    }
    return Math.max(0, sum / rows);
  }

  /** Goes on to the layer after `layer`, which must compute as it did at the start. */
  async advance(layer: number): Promise<void> {
    for (const [batch, hidden] of this.before.entries()) {
      throwIfCancelled(this.signal, 'The sensitivity scan');
      this.before[batch] = this.model.layer(layer, hidden);
      hidden.dispose();
    }
  }

  dispose(): void {
    tf.dispose([...this.before, ...this.reference]);
  }

  private async finish(hidden: tf.Tensor3D, first: number): Promise<tf.Tensor2D> {
    let states = hidden;
    for (let index = first; index < this.model.config.layers; index++) {
      throwIfCancelled(this.signal, 'The sensitivity scan');
      const next = this.model.layer(index, states);
      if (states !== hidden) states.dispose();
      states = next;
    }
    const normed = tf.tidy(() => tf.reshape(this.model.finalNorm(states), [-1, this.model.config.hiddenSize]) as tf.Tensor2D);
    if (states !== hidden) states.dispose();
    return normed;
  }

  /** Σ over rows of Σ p·(log p − log q). */
  private async summed(reference: tf.Tensor2D, changed: tf.Tensor2D): Promise<number> {
    const [rows, size] = reference.shape;
    const step = Math.max(1, Math.floor(chunkValues / this.model.config.vocabSize));
    let sum = 0;
    for (let start = 0; start < rows; start += step) {
      const count = Math.min(step, rows - start);
      const chunk = tf.tidy(() => {
        const logits = (states: tf.Tensor2D) => this.model.logits(tf.slice(states, [start, 0], [count, size])) as tf.Tensor2D;
        const p = tf.logSoftmax(logits(reference));
        const q = tf.logSoftmax(logits(changed));
        return tf.sum(tf.mul(tf.exp(p), tf.sub(p, q)));
      });
      sum += (await chunk.data())[0]!;
      chunk.dispose();
    }
    return sum;
  }
}
